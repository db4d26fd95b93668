"""How the cost of a frame grows with its pixels: `python benchmarks/resolution.py [--picture FILE]`.

The default network is exported for each size from 240p to 1080p, so that camera and network have the same size, and the
sessions take turns in FP32. A straight line through the points, fitted with weights so that every size's relative error
counts the same, says how far the cost is from linear. The painted picture is measured beside it.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from markdown_page import processor, table

from edgeseg.data.synthetic import SyntheticDrive
from edgeseg.files import write_json
from edgeseg.graph.export import export_graph
from edgeseg.graph.recipe import ExportConfig
from edgeseg.models.checkpoint import default_checkpoint, load_checkpoint
from edgeseg.runtime.ort import OrtSession
from edgeseg.video.overlay import Overlay

SIZES_HW = ((240, 432), (360, 640), (480, 848), (720, 1280), (1088, 1920))
"""Multiples of 16, as near as they come to 16:9."""
RESULTS = Path(__file__).resolve().parent / "results" / "resolution.json"
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "cost_by_pixels.png"


def main() -> int:
    """Measure, write, draw, tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--json", type=Path, default=RESULTS)
    args = parser.parse_args()
    measured: dict[str, Any] = {
        "machine": f"{platform.machine()}, {args.threads} threads: {processor()}",
        "sizes": measure(args.threads, args.rounds),
    }
    write_json(args.json, measured)
    draw(measured, args.picture)
    slope, start_ms = fitted(measured["sizes"])
    header = ["size", "Mpixels", "network, ms", "of it a straight line", "overlay, ms"]
    rows = [
        [
            f"{row['size_hw'][1]}×{row['size_hw'][0]}",
            f"{row['mpixels']:.2f}",
            f"{row['session_ms']:.1f}",
            f"{row['session_ms'] / (start_ms + slope * row['mpixels']):.2f}",
            f"{row['overlay_ms']:.2f}",
        ]
        for row in measured["sizes"]
    ]
    print(table(header, rows))
    print(f"\n{slope:.0f} ms for a million pixels, and {start_ms:.1f} ms for a frame")
    return 0


def measure(threads: int, rounds: int) -> list[dict[str, Any]]:
    """Median milliseconds at each size, the sizes in turns."""
    trained = load_checkpoint(default_checkpoint())
    overlay = Overlay(trained.label_map)
    runs = []
    for size_hw in SIZES_HW:
        print(f"exporting {size_hw}", file=sys.stderr)
        model = export_graph(trained, ExportConfig(size_hw=size_hw, camera_hw=size_hw)).model
        frame_bgr = SyntheticDrive(size_hw=size_hw).frame(40)[0]
        runs.append((size_hw, OrtSession(model.SerializeToString(), threads=threads), frame_bgr))
    session_ms: dict[tuple[int, int], list[float]] = {size_hw: [] for size_hw in SIZES_HW}
    overlay_ms: dict[tuple[int, int], list[float]] = {size_hw: [] for size_hw in SIZES_HW}
    for number in range(rounds + 1):
        for size_hw, session, frame_bgr in runs:
            began = time.perf_counter()
            labels = session.run(np.ascontiguousarray(frame_bgr[np.newaxis]))[0]
            between = time.perf_counter()
            overlay.paint(frame_bgr, labels, "30.0 fps")
            ended = time.perf_counter()
            if number:  # the first is to warm up
                session_ms[size_hw].append(1e3 * (between - began))
                overlay_ms[size_hw].append(1e3 * (ended - between))
    return [
        {
            "size_hw": list(size_hw),
            "mpixels": size_hw[0] * size_hw[1] / 1e6,
            "session_ms": statistics.median(session_ms[size_hw]),
            "overlay_ms": statistics.median(overlay_ms[size_hw]),
        }
        for size_hw in SIZES_HW
    ]


def fitted(sizes: list[dict[str, Any]]) -> tuple[float, float]:
    """Milliseconds for a million pixels, and for a frame of none."""
    pixels, found = (np.array([row[name] for row in sizes]) for name in ("mpixels", "session_ms"))
    slope, start_ms = np.polyfit(pixels, found, 1, w=1 / found)
    return float(slope), float(start_ms)


def draw(measured: dict[str, Any], path: Path) -> None:
    """The points and the line."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    sizes = measured["sizes"]
    slope, start_ms = fitted(sizes)
    figure, axes = plt.subplots(figsize=(7, 4), dpi=110, layout="constrained")
    pixels = np.array([row["mpixels"] for row in sizes])
    axes.plot(pixels, start_ms + slope * pixels, color="#9aa5b1", linewidth=1.5, label="straight line")
    axes.plot(pixels, [row["session_ms"] for row in sizes], "o", color="#0b6bcb", label="network, FP32")
    axes.plot(pixels, [row["overlay_ms"] for row in sizes], "s", color="#e5780b", label="overlay")
    for row in sizes:
        text = f"{row['size_hw'][0]}p" if row["size_hw"][0] != 1088 else "1080p"
        axes.annotate(text, (row["mpixels"], row["session_ms"]), (0, 8), textcoords="offset points", ha="right")
    axes.set(xlabel="million pixels of a frame", ylabel="ms", xlim=(0, None), ylim=(0, None))
    axes.set_title(f"default network, {measured['machine']}", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
