"""Accuracy against latency of trained models at several input sizes: the front, and where the default lies.

    EDGESEG_DATA=DIR python benchmarks/front.py [CHECKPOINT@HxW[,HxW]... ...] [--threads 2]

Without a checkpoint: the default model at three sizes. Each is exported for CamVid's frames (480×360) with each size as
the network's, in FP32 and in INT8 for CPUs, calibrated on 16 frames of CamVid train, and scored by the very graph on
CamVid test. Latency is frame to labels in ONNX Runtime, the graphs in turns. A graph is on the front if no other is
both faster and more accurate. Writes results/front.json beside this file, docs/images/front.png, and the table to the
screen. The figures are of the test split, so nothing is to be picked by them: settle on a recipe and size
beforehand, or by a part held out of train.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from in_turns import median_ms
from markdown_page import processor, table

from edgeseg.data import SegmentationDataset, open_dataset
from edgeseg.files import write_json
from edgeseg.graph.export import export_graph
from edgeseg.graph.recipe import ExportConfig, parse_size
from edgeseg.metrics.evaluate import evaluate
from edgeseg.models.checkpoint import TrainedModel, default_checkpoint, load_checkpoint
from edgeseg.quantize.dialects import quantize
from edgeseg.quantize.ranges import observe_ranges
from edgeseg.runtime.ort import OrtSession
from edgeseg.types import Frame

RESULTS = Path(__file__).resolve().parent / "results" / "front.json"
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "front.png"
CAMERA_HW = (360, 480)
DEFAULT = f"{default_checkpoint()}@240x320,288x384,360x480"
_CALIBRATION_FRAMES = 16


def main() -> int:
    """Measure, write, draw, tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", default=[DEFAULT], metavar="CHECKPOINT@HxW,...")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--data", type=Path, default=os.environ.get("EDGESEG_DATA"), help="folder that holds camvid/")
    args = parser.parse_args()
    if args.data is None:
        parser.error("say where camvid/ is: --data DIR, or EDGESEG_DATA")
    for model in args.models:
        if "@" not in model:
            parser.error(f"{model}: at which sizes? For example {model}@288x384,360x480")
    truth = open_dataset("camvid", args.data / "camvid", "test")
    train = open_dataset("camvid", args.data / "camvid", "train")
    calibration = [train[index].image_bgr for index in range(0, len(train), len(train) // _CALIBRATION_FRAMES)]
    graphs: dict[str, bytes] = {}
    rows: list[dict[str, Any]] = []
    for path, _, sizes in (model.rpartition("@") for model in args.models):
        trained = load_checkpoint(Path(path))
        for size in sizes.split(","):
            for precision, model in _graphs(trained, size, calibration):
                row: dict[str, Any] = {"model": Path(path).stem, "network": trained.spec.name, "size": size}
                row |= {"precision": precision, "miou": _miou(model, truth, trained)}
                print(row, file=sys.stderr, flush=True)
                rows.append(row)
                graphs[str(len(rows) - 1)] = model
    for row, milliseconds in zip(rows, _latency(graphs, calibration[0], args.threads, args.rounds), strict=True):
        row["latency_ms"] = milliseconds
    for row in rows:
        row["front"] = not any(
            other["latency_ms"] < row["latency_ms"] and other["miou"] > row["miou"] for other in rows
        )
    measured = {"machine": f"{platform.machine()}, {args.threads} threads: {processor()}", "rows": rows}
    write_json(RESULTS, measured)
    draw(measured, PICTURE)
    print(markdown(measured))
    return 0


def _graphs(trained: TrainedModel, size: str, calibration: list[Frame]) -> Iterator[tuple[str, bytes]]:
    exported = export_graph(trained, ExportConfig(size_hw=parse_size(size), camera_hw=CAMERA_HW)).model
    yield "FP32", exported.SerializeToString()
    ranges = observe_ranges(exported, calibration, calibration_digest="")
    yield "INT8", quantize(exported, ranges, dialect="cpu").model.SerializeToString()


def _miou(model: bytes, truth: SegmentationDataset, trained: TrainedModel) -> float:
    with OrtSession(model) as session:
        return evaluate(truth, lambda frame: session.run(frame[np.newaxis])[0], trained.label_map).miou


def _latency(graphs: dict[str, bytes], frame_bgr: Frame, threads: int, rounds: int) -> list[float]:
    """Median milliseconds, the graphs taking turns."""
    with ExitStack() as stack:
        sessions = {
            name: stack.enter_context(OrtSession(model, threads=threads, name=name)) for name, model in graphs.items()
        }
        return list(median_ms(sessions, frame_bgr, rounds).values())


def markdown(measured: dict[str, Any]) -> str:
    """The table, fastest first."""
    rows = sorted(measured["rows"], key=lambda row: float(row["latency_ms"]))
    header = ["model", "input", "precision", "mIoU, %", "ms", "frames/s", "on the front"]
    return table(
        header,
        [
            [
                f"`{row['model']}`",
                "×".join(reversed(row["size"].split("x"))),
                row["precision"],
                f"{100 * row['miou']:.2f}",
                f"{row['latency_ms']:.1f}",
                f"{1e3 / row['latency_ms']:.0f}",
                "yes" if row["front"] else "",
            ]
            for row in rows
        ],
    )


def draw(measured: dict[str, Any], path: Path) -> None:
    """Every graph as a point, and the front as a line."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 4.5), dpi=110, layout="constrained")
    rows = sorted(measured["rows"], key=lambda row: float(row["latency_ms"]))
    front = [row for row in rows if row["front"]]
    axes.plot(
        [row["latency_ms"] for row in front],
        [100 * row["miou"] for row in front],
        color="#9aa5b1",
        drawstyle="steps-post",
    )
    models = list(dict.fromkeys(row["model"] for row in rows))
    colours = {"INT8": "#0b6bcb", "FP32": "#e5780b"}
    for row in rows:
        shape = "osD^v"[models.index(row["model"]) % 5]
        axes.plot(row["latency_ms"], 100 * row["miou"], shape, color=colours[row["precision"]])
        size = row["size"].split("x")[0] + "p"
        axes.annotate(
            size,
            (row["latency_ms"], 100 * row["miou"]),
            (5, -9),
            textcoords="offset points",
            fontsize=7,
            color="#52606d",
        )
    for name, colour in colours.items():
        axes.plot([], [], "s", color=colour, label=name)
    for name in models:
        axes.plot([], [], "osD^v"[models.index(name) % 5], color="#52606d", markerfacecolor="none", label=name)
    axes.set(xlabel="ms a frame, frame to labels", ylabel="CamVid test mIoU, %", xscale="log")
    axes.set_xticks(ticks := [10, 20, 40, 80, 160], [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_title(measured["machine"], fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
