"""`edgeseg parity`: does a bundle still compute what was trained, and if not, which layer differs first?"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.cli.dataset_options import add_dataset_options, open_named
from edgeseg.cli.output import add_json_option, format_table, write_report

if TYPE_CHECKING:
    from edgeseg.graph.locate import Divergence, LayerError
    from edgeseg.graph.parity import Pair, ParityReport

_DEFAULT_LIMIT = 20

_RUNGS = {
    "torch-fp32": "PyTorch FP32",
    "onnx-fp32": "ONNX FP32",
    "onnx-fp16": "ONNX FP16",
    "onnx-int8-cpu": "INT8 for CPU",
    "onnx-int8-trt": "INT8 for TensorRT",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument(
        "bundle",
        nargs="?",
        type=Path,
        metavar="BUNDLE|GRAPH",
        help="folder of the bundle, or a graph that failed its gate; default: the default model's bundle",
    )
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="what the bundle was exported from")
    parser.add_argument("--data", metavar="DIR", help="compare on frames of a dataset; default: the synthetic drive")
    add_dataset_options(parser, split="val")
    parser.add_argument(
        "--limit", type=int, default=_DEFAULT_LIMIT, metavar="N", help="frames of the dataset (default: %(default)s)"
    )
    parser.add_argument("--locate", action="store_true", help="find the first layer that differs")
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print; a gate that fails ends in `GateError`, after the table."""
    from edgeseg.cli.defaults import bundle_path
    from edgeseg.lazy import require

    require("onnx", extra="train")

    from edgeseg.graph.frames import FRAMES_FROM, road_scenes
    from edgeseg.graph.recheck import Recheck, dataset_frames, open_exported, trained_model

    exported = open_exported(bundle_path(args.bundle))
    trained = trained_model(exported, args.checkpoint) if find_spec("torch") else None
    if args.data is None:
        scenes = road_scenes(exported.camera_hw, exported.network_hw)
        frames, frames_from = [scene.frame_bgr for scene in scenes], FRAMES_FROM
    else:
        dataset = open_named(args)
        frames, frames_from = dataset_frames(dataset, args.limit, exported.camera_hw), dataset.name
    recheck = Recheck(exported, trained)
    report = recheck.measure(frames, frames_from=frames_from)
    print(f"{exported.path}\n\n{format_parity(report)}")
    if trained is None:
        print("\nPyTorch is not installed here, so the trained model itself was not compared, only its graphs.")
    divergences = recheck.locate(frames[0]) if args.locate else []
    for divergence in divergences:
        print(f"\n{format_divergence(divergence)}")
    located = {"located": [divergence.to_dict() for divergence in divergences]} if args.locate else {}
    write_report(args, {"bundle": str(exported.path), **report.to_dict(), **located})
    report.raise_if_failed()
    return 0


def format_parity(report: ParityReport) -> str:
    """Steps with their figures, IoU by class, and the verdict in a sentence."""
    steps = [
        [
            f"{_RUNGS[pair.reference]} -> {_RUNGS[pair.candidate]}",
            _percent(pair.agreement.argmax_agreement, 4),
            _percent(pair.agreement.border_agreement, 4),
            _percent(pair.agreement.image_border_agreement, 4),
            f"{pair.agreement.max_abs:.1e}",
            f"{pair.agreement.mean_abs:.1e}",
            f">= {_percent(pair.gate, 2)}",
            "ok" if pair.passed else "FAILED",
        ]
        for pair in report.pairs
    ]
    header = [
        "% of same class",
        "all",
        "class borders",
        "image edge",
        "max error",
        "mean error",
        "gate",
        "",
    ]
    whole_way = _from_the_start(report)
    iou = [
        [name, *(_percent(pair.agreement.iou[name], 3) for pair in whole_way)] for name in whole_way[0].agreement.iou
    ]
    truth = f"IoU %, {_RUNGS[whole_way[0].reference]} as truth"
    classes = format_table([truth, *(_RUNGS[pair.candidate] for pair in whole_way)], iou)
    return "\n\n".join((format_table(header, steps), *_confidence(report), classes, _verdict(report)))


def _confidence(report: ParityReport) -> list[str]:
    """A table of how far apart the steps are in how sure they are; none where the graphs do not say it."""
    rows = [
        [
            f"{_RUNGS[pair.reference]} -> {_RUNGS[pair.candidate]}",
            f"{pair.agreement.confidence.mean:.1e}",
            f"{pair.agreement.confidence.max:.1e}",
            f"<= {pair.confidence_gate:.1e}",
        ]
        for pair in report.pairs
        if pair.agreement.confidence is not None
    ]
    return [format_table(["probability of the same class", "mean error", "max error", "gate"], rows)] if rows else []


def format_divergence(divergence: Divergence) -> str:
    """The first layer that differs, or where the difference grows most."""
    title = (
        f"{_RUNGS[divergence.reference]} -> {_RUNGS[divergence.candidate]}, {divergence.compared} tensors compared: "
    )
    if divergence.first is not None:
        first = divergence.first
        title += (
            f"the first that differs is {first.tensor} of {first.layer} ({first.operator}). "
            f"It is off by {first.error:.1e} of its largest value, its inputs are off by {first.incoming:.1e}."
        )
    else:
        title += f"none is off by more than {divergence.limit:.0e} of its largest value. The error grows most here:"
    rows = [_layer_row(layer) for layer in divergence.steepest]
    return f"{title}\n\n{format_table(['layer', 'operator', 'tensor', 'error in', 'error out', 'growth'], rows)}"


def _layer_row(layer: LayerError) -> list[str]:
    figures = [f"{layer.incoming:.1e}", f"{layer.error:.1e}", f"{layer.growth:.3g} x"]
    return [layer.layer, layer.operator, layer.tensor, *figures]


def _verdict(report: ParityReport) -> str:
    whole_way = _from_the_start(report)
    agreement = whole_way[0].agreement
    counts = [
        f"{round(pair.agreement.pixels * (1 - pair.agreement.argmax_agreement)):,} in {_RUNGS[pair.candidate]}"
        for pair in whole_way
    ]
    changed = " and ".join([", ".join(counts[:-1]), counts[-1]] if len(counts) > 1 else counts)
    counted = (
        f"Of {agreement.pixels:,} pixels ({agreement.frames} frames, {report.frames}), {changed} "
        f"have another class than in {_RUNGS[whole_way[0].reference]}."
    )
    if sum(value is not None for value in agreement.iou.values()) < 2:
        # Without a border between classes, no rounding can be seen.
        counted += "\nThe model gave every pixel one class, so agreement proves nothing. Compare with --data."
    if report.passed:
        return f"{counted}\nEvery step passed: what was exported is what was trained."
    failed = [pair for pair in report.pairs if not pair.passed]
    reasons = (f"{pair.reference} -> {pair.candidate} FAILED: {'; '.join(pair.problems)}." for pair in failed)
    return "\n".join((counted, *reasons))


def _from_the_start(report: ParityReport) -> list[Pair]:
    """The pairs whose reference is the top of the ladder."""
    return [pair for pair in report.pairs if pair.reference == report.pairs[0].reference]


def _percent(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{100 * value:.{digits}f}"
