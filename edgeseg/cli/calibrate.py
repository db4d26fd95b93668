"""`edgeseg calibrate`: frames for INT8, chosen and audited, and what a model's tensors span on them."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.cli.dataset_options import add_dataset_options, add_fixed_camera_option
from edgeseg.cli.output import add_json_option, counter, format_table, write_report
from edgeseg.cli.size_options import add_size_options, asked_sizes
from edgeseg.errors import ConfigError
from edgeseg.lazy import require

if TYPE_CHECKING:
    from edgeseg.models.checkpoint import TrainedModel
    from edgeseg.quantize.audit import AuditReport
    from edgeseg.quantize.calibration_set import CalibrationSet
    from edgeseg.quantize.frame_source import FrameSource


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument(
        "checkpoint", nargs="?", type=Path, metavar="CHECKPOINT", help="trained model; default: the default model"
    )
    frames = parser.add_mutually_exclusive_group()
    frames.add_argument("--data", metavar="DIR", help="dataset or folder of images, or a calibration.json made before")
    frames.add_argument("--video", metavar="SRC", help="instead: a video file, a glob of images, synthetic://drive?…")
    add_dataset_options(parser, split=None, otherwise="train")
    parser.add_argument("--count", type=int, default=128, metavar="N", help="frames to choose (default: 128)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="the same seed chooses the same (default: 0)")
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="SPLIT",
        help="no frame may be in this split; repeatable; default: the dataset's test split, where it has one",
    )
    parser.add_argument(
        "--against-data", metavar="DIR", help="dataset that --against means; default: the one of --data"
    )
    add_fixed_camera_option(parser)
    sizes = parser.add_argument_group("the graph that is observed: give what edgeseg export will be given")
    add_size_options(sizes)
    parser.add_argument(
        "--tensorrt-cache",
        metavar="VERSION",
        help="also write a calibration cache for TensorRT 7 to 10, such as 10.3.0: for DLA and old pipelines",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="new folder; default: NAME.calibration, here")
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Choose, audit, print, observe, write; a set that is refused ends in `GateError`, after the audit is printed."""
    for module in ("torch", "onnxscript", "onnxruntime"):
        require(module, extra="train")
    from edgeseg.graph.export import export_graph
    from edgeseg.graph.recipe import ExportConfig
    from edgeseg.models.checkpoint import load_checkpoint
    from edgeseg.quantize.audit import audit
    from edgeseg.quantize.calibrate import CACHE_NAME, RANGES_NAME, SHEET_NAME, write_calibration
    from edgeseg.quantize.tensorrt_cache import parse_version
    from edgeseg.runtime.default import DEFAULT_NAME

    tensorrt = None if args.tensorrt_cache is None else parse_version(args.tensorrt_cache)
    config = ExportConfig(**asked_sizes(args))
    name = DEFAULT_NAME if args.checkpoint is None else args.checkpoint.stem
    output = args.output or Path(f"{name}.calibration")
    if output.exists():
        raise ConfigError(f"{output}: is there already. Choose a new folder with --output, or remove it.")
    trained = load_checkpoint(args.checkpoint)
    calibration = _chosen(args, trained)
    against = _against(args, calibration)
    report = audit(
        calibration,
        against=against,
        classes=_classes(trained, calibration),
        fixed_camera=bool(args.fixed_camera),
        progress=counter("audited"),
    )
    print(format_audit(report))
    write_report(args, report.to_dict())
    report.raise_if_failed()
    model = export_graph(trained, config).model
    table = write_calibration(model, calibration, report, output, tensorrt=tensorrt, progress=counter("observed"))
    tensors = len(next(iter(table.ranges.values())))
    print(f"\n{output}: {_count(len(calibration), 'frame')}, {tensors} tensors in {RANGES_NAME}; look at {SHEET_NAME}")
    if tensorrt is not None:
        print(f"{output / CACHE_NAME}: for the FP32 graph of the bundle, in TensorRT {args.tensorrt_cache}")
    print(f"next: {_next_command(args, output)}")
    return 0


def _next_command(args: argparse.Namespace, output: Path) -> str:
    """The export that these frames and ranges are for."""
    given = {
        "checkpoint": args.checkpoint,
        "size": args.size,
        "camera-size": args.camera_size,
        "dynamic": args.dynamic,
        "calibration-data": output,
        "fixed-camera": args.fixed_camera,
    }
    words = [
        f"--{name}" if value is True else f"--{name} {shlex.quote(str(value))}"
        for name, value in given.items()
        if value
    ]
    return " ".join(("edgeseg export --int8", *words))


def _chosen(args: argparse.Namespace, trained: TrainedModel) -> CalibrationSet:
    from edgeseg.quantize.calibration_set import choose_frames, open_calibration, synthetic_sources

    place = args.data or args.video
    progress = counter("looked at")
    if place is not None:
        return open_calibration(
            place,
            count=args.count,
            seed=args.seed,
            format=args.format,
            split=args.split,
            mapping=args.mapping,
            progress=progress,
        )
    if args.checkpoint is not None:
        raise ConfigError("no frames to calibrate on: name a dataset with --data, or a video with --video.")
    print("edgeseg: no --data: calibrating on the synthetic drive in all weathers", file=sys.stderr)
    return choose_frames(synthetic_sources(trained.size_hw, args.count, args.seed), args.count, args.seed)


def _against(args: argparse.Namespace, calibration: CalibrationSet) -> list[FrameSource]:
    from edgeseg.quantize.calibrate import measured_on
    from edgeseg.quantize.frame_source import find_source

    if args.against_data is not None:
        return [find_source(args.against_data, split=split) for split in args.against or ["test"]]
    if args.data is None and not args.against:
        return []
    return measured_on(calibration.sources[0], args.against)


def _classes(trained: TrainedModel, calibration: CalibrationSet) -> tuple[str, ...] | None:
    """The model's classes, where the set is labelled in some of them; else the set's own are looked at."""
    names = trained.label_map.names
    return names if calibration.classes is not None and set(names) & set(calibration.classes) else None


def format_audit(report: AuditReport) -> str:
    """Scenes, brightness, classes and findings, as lines and a table."""
    least, median, largest = report.brightness
    parts = [
        f"calibration set {report.digest[:12]}: {_count(report.frames, 'frame')}, "
        f"{_count(len(report.scenes), 'scene')}; "
        f"brightness {least:.0f} to {largest:.0f}, median {median:.0f}; {report.dark} dark"
    ]
    if report.classes is not None:
        rows = [[name, str(count)] for name, count in report.classes.items()]
        parts.append(format_table(("class", "frames"), rows))
    for title, frames in report.compared.items():
        parts.append(f"held against {title}: {_count(frames, 'frame')}")
    if not report.compared:
        parts.append("held against no other frames: leakage was not looked for (--against, --against-data)")
    lines = [
        f"{'error' if found.is_error else 'warning'}: {found.kind}: {found.text}"
        for found in sorted(report.findings, key=lambda found: not found.is_error)
    ]
    parts.append("\n".join(lines) if lines else "no problem found")
    return "\n\n".join(parts)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
