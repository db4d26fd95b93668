"""Every network of the registry: parameters, multiply-adds and latency, into docs/formats-and-networks.md.

    python benchmarks/zoo.py [--size 360x480] [--threads 2] [NETWORK ...]

Latency is that of the exported FP32 graph in ONNX Runtime, frame to labels, with random weights: weights do not change
it. Each network takes turns with the default one, so the ratio does not depend on what else the machine does. Writes
results/zoo.json beside this file too. Where networks are named, they alone are measured, and the others' rows stay as
they are if they are of the same size and machine; if not, nothing is written.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from graph_passes import random_model
from markdown_page import processor, table, write_between_marks
from networks_arguments import networks_parser, parse_networks
from torch.utils.flop_counter import FlopCounterMode

from edgeseg.data.synthetic import SyntheticDrive
from edgeseg.files import write_json
from edgeseg.graph.export import export_graph
from edgeseg.graph.recipe import ExportConfig, parse_size
from edgeseg.labels import CAMVID
from edgeseg.models.registry import NETWORKS, ModelSpec, build_model
from edgeseg.runtime.ort import OrtSession
from edgeseg.types import Frame

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "formats-and-networks.md"
RESULTS = ROOT / "benchmarks" / "results" / "zoo.json"
DEFAULT = "fcn4s_mobilenet_v2"

_LEAST_ROUNDS, _LEAST_S = 5, 4.0


def main() -> int:
    """Measure, write, tell."""
    args = parse_networks(networks_parser(__doc__, "all of them"))
    size_hw = parse_size(args.size)
    frame, _ = SyntheticDrive(7, "day", size_hw).frame(100)
    rows = {}
    with _session(DEFAULT, size_hw, args.threads) as default:
        for name in args.networks or NETWORKS:
            print(name, file=sys.stderr)
            parameters, macs = size_of(name, size_hw)
            with _session(name, size_hw, args.threads) as session:
                milliseconds, ratio = _latency(session, default, frame)
            rows[name] = {"parameters": parameters, "macs": macs, "latency_ms": milliseconds, "ratio": ratio}
    measured: dict[str, Any] = {
        "size_hw": list(size_hw),
        "machine": f"{platform.machine()}, {args.threads} threads: {processor()}",
    }
    fits = True
    if args.networks:
        before = json.loads(RESULTS.read_text(encoding="utf-8"))
        fits = all(before[key] == value for key, value in measured.items())
        rows = before["networks"] | rows if fits else rows
    measured["networks"] = {name: rows[name] for name in NETWORKS if name in rows}
    text = _markdown(measured)
    if fits:
        write_json(RESULTS, measured)
        write_between_marks(PAGE, text)
    print(text)
    return 0


def size_of(name: str, size_hw: tuple[int, int]) -> tuple[int, int]:
    """Parameters without the auxiliary head, and multiply-adds of convolutions and matrix products for one image."""
    with torch.device("meta"), torch.inference_mode():
        network = build_model(ModelSpec(name, len(CAMVID), auxiliary=False)).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, *size_hw))
    return sum(value.numel() for value in network.parameters()), counter.get_total_flops() // 2


def _session(name: str, size_hw: tuple[int, int], threads: int) -> OrtSession:
    model = export_graph(random_model(name, size_hw), ExportConfig()).model
    return OrtSession(model.SerializeToString(), threads=threads, name=name)


def _latency(session: OrtSession, default: OrtSession, frame_bgr: Frame) -> tuple[float, float]:
    """Median milliseconds a frame, and that as a multiple of the default network's, the two taking turns."""
    batch = np.ascontiguousarray(frame_bgr[np.newaxis])
    times: tuple[list[float], list[float]] = ([], [])
    for each in (session, default):
        each.run(batch)
    ends = time.perf_counter() + _LEAST_S
    while len(times[0]) < _LEAST_ROUNDS or time.perf_counter() < ends:
        for each, kept in zip((session, default), times, strict=True):
            began = time.perf_counter()
            each.run(batch)
            kept.append(1e3 * (time.perf_counter() - began))
    milliseconds, reference = (statistics.median(kept) for kept in times)
    return milliseconds, milliseconds / reference


def _markdown(measured: dict[str, Any]) -> str:
    height, width = measured["size_hw"]
    rows = [
        [
            f"`{name}`",
            f"{row['parameters'] / 1e6:.2f}",
            f"{row['macs'] / 1e9:.2f}",
            f"{row['latency_ms']:.0f}",
            f"{row['ratio']:.2f} ×",
        ]
        for name, row in sorted(measured["networks"].items(), key=lambda item: item[1]["ratio"])
    ]
    return (
        f"{width}×{height}, 11 classes, FP32 graph in ONNX Runtime, frame to labels ({measured['machine']}):\n\n"
        + table(["network", "parameters, M", "multiply-adds, G", "ms", f"against {DEFAULT}"], rows)
    )


if __name__ == "__main__":
    sys.exit(main())
