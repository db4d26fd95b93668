"""INT8 for CPUs beside FP32, PyTorch's own export and ONNX Runtime's quantiser: latency, size, agreement, lint.

    python benchmarks/int8.py [--images DIR] [--size 360x480] [--threads 2] [NETWORK ...]

The default network has its published weights; others have random ones, which do not change latency, and no labels to
agree on. `--images` is a folder of road scenes: every other one calibrates, the rest are compared; without it, frames
of the synthetic drive. The graphs of a network take turns, so that their ratio does not depend on what else the machine
does. Prints the tables, and writes results/int8.json beside this file when both networks of the target are measured.
"""

from __future__ import annotations

import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from graph_passes import STOCK, random_model, stock_graph
from markdown_page import processor, table
from networks_arguments import networks_parser, parse_networks
from onnx import ModelProto
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from edgeseg.data.synthetic import SyntheticDrive
from edgeseg.errors import GateError
from edgeseg.files import write_json
from edgeseg.graph.contract import FRAME, IMAGE
from edgeseg.graph.export import export_graph
from edgeseg.graph.recipe import ExportConfig, parse_size
from edgeseg.models.checkpoint import TrainedModel, load_checkpoint
from edgeseg.quantize.dialects import quantize
from edgeseg.quantize.lint import check_int8
from edgeseg.quantize.placement import may_be_int8
from edgeseg.quantize.ranges import observe_ranges
from edgeseg.runtime.ort import OrtSession
from edgeseg.types import Frame

RESULTS = Path(__file__).resolve().parent / "results" / "int8.json"
DEFAULT = "fcn4s_mobilenet_v2"
TARGETS = {DEFAULT: 1.5, "fcn_resnet18": 2.7}
"""Times FP32 that INT8 must reach."""

OURS, THEIRS = "int8-cpu", "quantize_static"
_ROUNDS = 200


def main() -> int:
    """Measure, write, tell."""
    parser = networks_parser(__doc__, "those with a target")
    parser.add_argument("--images", type=Path, metavar="DIR")
    args = parse_networks(parser)
    size_hw = parse_size(args.size)
    frames = _images(args.images, size_hw) if args.images else _drawn(size_hw)
    measured = {
        "size_hw": list(size_hw),
        "machine": f"{platform.machine()}, {args.threads} threads: {processor()}",
        "frames": {"from": "images" if args.images else "the synthetic drive", "compared": len(frames[1::2])},
        "networks": {name: _measure(name, size_hw, frames, args.threads) for name in args.networks or TARGETS},
    }
    if not args.networks:
        write_json(RESULTS, measured)
    print(_markdown(measured))
    return 0


def _measure(name: str, size_hw: tuple[int, int], frames: Sequence[Frame], threads: int) -> dict[str, Any]:
    print(name, file=sys.stderr)
    trained, config = _trained(name, size_hw), ExportConfig(size_hw=size_hw)
    fp32 = export_graph(trained, config).model
    calibration = frames[::2]
    ranges = observe_ranges(fp32, calibration, calibration_digest="")
    models = {
        "fp32": fp32,
        STOCK: stock_graph(trained, config),
        THEIRS: _quantize_static(fp32, calibration),
        OURS: quantize(fp32, ranges, dialect="cpu", method="min-max").model,
    }
    sessions = {
        kind: OrtSession(model.SerializeToString(), threads=threads, name=kind) for kind, model in models.items()
    }
    times = _latencies(sessions, frames[0])
    labels = {kind: [session.run(frame[np.newaxis]) for frame in frames[1::2]] for kind, session in sessions.items()}
    return {
        kind: {
            "latency_ms": statistics.median(times[kind]),
            "speed": statistics.median(times["fp32"]) / statistics.median(times[kind]),
            "speed_quartiles": np.percentile(np.divide(times["fp32"], times[kind]), [25, 75]).tolist(),
            "speed_at_best": min(times["fp32"]) / min(times[kind]),
            "megabytes": len(model.SerializeToString()) / 1e6,
            "agreement": float(np.mean(np.equal(labels[kind], labels["fp32"]))) if name == DEFAULT else None,
            "lint": _lint(model) if kind in (THEIRS, OURS) else None,
        }
        for kind, model in models.items()
    }


def _trained(name: str, size_hw: tuple[int, int]) -> TrainedModel:
    if name == DEFAULT:
        return load_checkpoint(None)
    return random_model(name, size_hw)


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # its class has no types
    """The calibration frames, as ONNX Runtime's quantiser takes them."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = iter(frames)

    def get_next(self) -> Mapping[str, Any] | None:
        """The next frame, or None."""
        frame = next(self._frames, None)
        return None if frame is None else {FRAME: frame[np.newaxis]}


def _quantize_static(model: ModelProto, frames: Sequence[Frame]) -> ModelProto:
    """ONNX Runtime's quantiser with the settings that its documentation names for x86 with VNNI, the head left out."""
    with tempfile.TemporaryDirectory() as folder:
        source, prepared, target = (Path(folder, f"{name}.onnx") for name in ("source", "prepared", "target"))
        onnx.save(model, source)
        quant_pre_process(str(source), str(prepared))
        quantize_static(
            str(prepared),
            str(target),
            _Reader(frames),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_head(onnx.load(prepared)),
        )
        written = onnx.load(target)
    # It names every operator set that it knows; none but ONNX's is used.
    for opset in [opset for opset in written.opset_import if opset.domain]:
        written.opset_import.remove(opset)
    return written


def _head(model: ModelProto) -> list[str]:
    """Nodes that make class scores, which it would quantise too."""
    inner = set(may_be_int8(model))
    begins = next(index for index, node in enumerate(model.graph.node) if IMAGE in node.output)
    return [node.name for node in model.graph.node[begins + 1 :] if not inner.intersection(node.output)]


def _latencies(sessions: Mapping[str, OrtSession], frame_bgr: Frame) -> dict[str, list[float]]:
    """Milliseconds of each frame, the sessions taking turns."""
    batch = np.ascontiguousarray(frame_bgr[np.newaxis])
    times: dict[str, list[float]] = {kind: [] for kind in sessions}
    for number in range(_ROUNDS + 3):
        for kind, session in sessions.items():
            began = time.perf_counter()
            session.run(batch)
            if number >= 3:
                times[kind].append(1e3 * (time.perf_counter() - began))
    return times


def _lint(model: ModelProto) -> str:
    try:
        check_int8(model, "cpu")
    except GateError as error:
        return str(error)
    return "passes"


def _images(folder: Path, size_hw: tuple[int, int], count: int = 24) -> list[Frame]:
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
    chosen = [paths[index] for index in np.linspace(0, len(paths) - 1, min(count, len(paths))).astype(int)]
    frames = [cv2.imread(str(path)) for path in chosen]
    return [np.asarray(cv2.resize(frame, size_hw[::-1]), np.uint8) for frame in frames if frame is not None]


def _drawn(size_hw: tuple[int, int], count: int = 12) -> list[Frame]:
    drive = SyntheticDrive(7, "day", size_hw)
    return [drive.frame(40 * index)[0] for index in range(count)]


def _markdown(measured: Mapping[str, Any]) -> str:
    rows = [
        [
            f"`{name}` {kind}",
            f"{row['latency_ms']:.1f}",
            f"{row['speed']:.2f} ×",
            "{:.2f} to {:.2f}".format(*row["speed_quartiles"]),
            f"{row['speed_at_best']:.2f} ×",
            f"{row['megabytes']:.1f}",
            "" if row["agreement"] is None else f"{100 * row['agreement']:.2f} %",
            {None: "", "passes": "passes"}.get(row["lint"], "breaks rules"),
        ]
        for name, kinds in measured["networks"].items()
        for kind, row in kinds.items()
    ]
    height, width = measured["size_hw"]
    return f"{width}×{height}, ONNX Runtime, frame to labels ({measured['machine']}):\n\n" + table(
        ["network", "ms", "speed", "quartiles of rounds", "at best", "MB", "labels as FP32", "lint"], rows
    )


if __name__ == "__main__":
    sys.exit(main())
