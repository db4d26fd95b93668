"""`edgeseg export`: a trained model becomes a bundle, if its graphs are shown to be the trained model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeseg.cli.dataset_options import add_dataset_options, add_fixed_camera_option
from edgeseg.cli.output import add_json_option, counter, format_table, write_report
from edgeseg.cli.size_options import add_size_options, asked_sizes
from edgeseg.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeseg.graph.deliver import Quantise
    from edgeseg.models.checkpoint import TrainedModel

_DROPS = ("max_miou_drop", "max_class_drop", "max_disagreement")
_INT8_ONLY = ("calibration_data", "int8_data", "format", "split", "mapping", "fixed_camera", *_DROPS, "ranges")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    from edgeseg.graph.recipe import TRANSPOSED_FORMS

    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="trained model; default: the default model")
    parser.add_argument(
        "--model", metavar="NAME", help="instead: a network, such as deeplabv3_resnet101, with --weights"
    )
    parser.add_argument(
        "--weights", metavar="FILE|pretrained", help="its weights; pretrained: torchvision's, fetched once"
    )
    parser.add_argument("--fp16", action="store_true", default=None, help="add an FP16 graph beside the FP32 one")
    parser.add_argument(
        "--confidence",
        action="store_true",
        default=None,
        help="let every graph say how sure it is of each label, as a second output",
    )
    parser.add_argument("--recipe", type=Path, metavar="FILE", help="settings as TOML; see the folder export/")
    add_size_options(parser)
    parser.add_argument(
        "--transposed",
        choices=TRANSPOSED_FORMS,
        help=f"how transposed convolutions are written (default: {TRANSPOSED_FORMS[0]}); edgeseg selftest tells the "
        "fastest on a device",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="bundle to write; default: NAME.edgeseg, here")
    parser.add_argument("--name", help="name of the model; default: that of the output or of the checkpoint")
    parser.add_argument(
        "--triton", type=Path, metavar="DIR", help="also write a model repository for Triton Inference Server"
    )
    parser.add_argument(
        "--bundle", type=Path, metavar="DIR", help="with --triton: of this bundle and its engines; nothing is exported"
    )
    int8 = parser.add_argument_group("INT8, delivered only within a budget of accuracy")
    int8.add_argument("--int8", action="store_true", default=None, help="add INT8 graphs for CPUs and for TensorRT")
    int8.add_argument(
        "--calibration-data",
        metavar="DIR",
        help="frames like the camera's: a dataset, images, a video or what edgeseg calibrate wrote",
    )
    int8.add_argument(
        "--int8-data", metavar="DIR", help="labelled dataset to judge by; default: the split of --calibration-data"
    )
    add_dataset_options(int8, split=None, otherwise="val")
    add_fixed_camera_option(int8)
    int8.add_argument(
        "--max-miou-drop", type=float, metavar="P", help="points of mIoU that INT8 may cost (default: 0.3)"
    )
    int8.add_argument(
        "--max-class-drop", type=float, metavar="P", help="points of IoU that it may cost any class (default: 0.5)"
    )
    int8.add_argument(
        "--max-disagreement",
        type=float,
        metavar="P",
        help="without labels: percent of pixels that may get another class than in FP32 (default: 0.5)",
    )
    int8.add_argument("--ranges", metavar="METHOD", help="one way of choosing ranges; default: the first that will do")
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Export and print; a gate that fails ends in `GateError`, after the table."""
    if args.bundle is not None:
        return _serve(args)
    from edgeseg.cli.parity import format_parity
    from edgeseg.graph.recipe import merge, read_recipe
    from edgeseg.lazy import require
    from edgeseg.runtime.default import DEFAULT_NAME

    given: dict[str, Any] = {
        **asked_sizes(args),
        "fp16": args.fp16,
        "int8": args.int8,
        "confidence": args.confidence,
        "transposed": args.transposed,
    }
    if args.model is None and args.weights is not None:
        raise ConfigError("--weights belongs to a network: name it with --model.")
    if args.model is not None and args.checkpoint is not None:
        raise ConfigError("--checkpoint and --model exclude each other; name one.")
    given = {name: value for name, value in given.items() if value is not None}
    config = merge({} if args.recipe is None else read_recipe(args.recipe), given)
    if not config.int8 and (useless := next((name for name in _INT8_ONLY if getattr(args, name) is not None), None)):
        raise ConfigError(f"--{useless.replace('_', '-')} is a setting of INT8. Ask for it with --int8.")
    for module in ("torch", "onnxscript", "onnxruntime"):
        require(module, extra="train")

    from edgeseg.engine.triton import require_free
    from edgeseg.graph.deliver import SUFFIX, deliver, require_bundle_name
    from edgeseg.models.checkpoint import load_checkpoint
    from edgeseg.models.pretrained import load_named

    own = args.model or (DEFAULT_NAME if args.checkpoint is None else args.checkpoint.stem)
    output = args.output or Path(f"{args.name or own}{SUFFIX}")
    require_bundle_name(output)
    if args.triton is not None:
        require_free(args.triton, args.name or output.stem)
    trained = load_checkpoint(args.checkpoint) if args.model is None else load_named(args.model, args.weights)
    quantise = _quantise(args, trained, config.size_hw or trained.size_hw, output) if config.int8 else None
    delivery = deliver(trained, config, output, name=args.name, quantise=quantise)
    print(format_parity(delivery.parity))
    if delivery.int8 is not None:
        print(f"\n{format_int8(delivery.int8)}")
    record = delivery.to_dict()
    if args.triton is not None and delivery.bundle is not None:
        record["triton"] = _write_repository(output, args.triton)
    write_report(args, record)
    delivery.raise_if_failed()
    print(f"\nbundle: {output}")
    return 0


def _serve(args: argparse.Namespace) -> int:
    """Of a bundle that is there, the repository alone; needs nothing of the workstation side."""
    given = [
        name
        for name, value in vars(args).items()
        if value not in (None, False) and name not in ("command", "run", "bundle", "triton", "json")
    ]
    if args.triton is None:
        raise ConfigError("--bundle names what --triton is written of: name a folder with --triton.")
    if given:
        option = given[0].replace("_", "-")
        raise ConfigError(f"--{option} is a setting of an export; with --bundle nothing is exported.")
    write_report(args, {"bundle": str(args.bundle), "triton": _write_repository(args.bundle, args.triton)})
    return 0


def _write_repository(bundle: Path, folder: Path) -> list[str]:
    """Write the models and print where they are."""
    from edgeseg.bundle import Bundle
    from edgeseg.engine.triton import triton_models, write_repository

    models = triton_models(Bundle.open(bundle))
    paths = write_repository(models, folder)
    for model, path in zip(models, paths, strict=True):
        print(f"triton: {path}{f' ({model.note})' if model.note else ''}")
    return [str(path) for path in paths]


def _quantise(args: argparse.Namespace, trained: TrainedModel, network_hw: tuple[int, int], output: Path) -> Quantise:
    """Find the frames now, before the work, and return what makes INT8 of the export."""
    from functools import partial

    from edgeseg.quantize.budget import Budget
    from edgeseg.quantize.calibrate import saved_ranges
    from edgeseg.quantize.deliver import METHOD_ORDER, Int8Config, int8_within_budget, require_methods
    from edgeseg.quantize.int8_sources import Asked, find_sources
    from edgeseg.quantize.seen import training_data

    if args.calibration_data is None and (args.checkpoint is not None or args.model is not None):
        raise ConfigError(
            "INT8 is calibrated on frames like the camera's: name some with --calibration-data. "
            "Random ones would give a graph that fails on the road."
        )
    budget = Budget(**{name: value for name in _DROPS if (value := getattr(args, name)) is not None})
    methods = METHOD_ORDER if args.ranges is None else (args.ranges,)
    require_methods(methods)
    asked = Asked(
        args.calibration_data,
        args.int8_data,
        args.format,
        args.split,
        args.mapping,
        fixed_camera=bool(args.fixed_camera),
    )
    sources = find_sources(asked, trained.label_map, network_hw, counter("looked at"))
    for finding in sources.audit.findings:
        print(f"edgeseg: calibration set, {finding.kind}: {finding.text}", file=sys.stderr)
    if args.calibration_data is not None and not sources.audit.compared:
        print("edgeseg: calibration set: no labelled frames to hold it against for leakage", file=sys.stderr)
    if sources.note is not None:
        print(f"edgeseg: INT8 is {sources.note}", file=sys.stderr)
    config = Int8Config(
        sources.calibration,
        sources.evaluation,
        budget,
        methods=methods,
        note=sources.note,
        ranges=None if args.calibration_data is None else saved_ranges(args.calibration_data),
        lineage=trained.lineage if args.ranges is None else {},
        training_data=training_data(trained.lineage),
    )
    return partial(
        int8_within_budget,
        config=config,
        label_map=trained.label_map,
        report_stem=output.with_suffix(""),
        tell=lambda line: print(f"edgeseg: {line}", file=sys.stderr, flush=True),
    )


def format_int8(record: Mapping[str, Any]) -> str:
    """What INT8 costs, pedestrians by size included, and which layers stayed in float for the budget's sake."""
    graphs: Mapping[str, Any] = {"fp32": record["fp32"], **record["graphs"]}
    rows = [["mIoU %", *(_percent(entry["miou"]) for entry in graphs.values())]]
    names = record["fp32"]["iou"]
    rows += [[f"{name} IoU %", *(_percent(entry["iou"][name]) for entry in graphs.values())] for name in names]
    people = record["fp32"]["pedestrians"]
    for index, size in enumerate(people["sizes"] if people else ()):
        below = size["below_px"]
        height = f"{size['from_px']} px or more" if below is None else f"{size['from_px']} to {below - 1} px"
        found = [entry["pedestrians"]["sizes"][index]["object_recall"] for entry in graphs.values()]
        rows.append([f"{people['class']}s {height}, found %", *map(_percent, found)])
    speed = [entry.get("speedup") for entry in graphs.values()]
    rows.append(["times as fast as float", *("-" if value is None else f"{value:.2f}" for value in speed)])
    judged = record["evaluation"]
    title = f"INT8 on {judged['dataset']}, {judged['frames']} frames"
    kept = [
        f"{precision}, in float for accuracy: {', '.join(layer['module'] for layer in entry['kept'].values())}"
        for precision, entry in record["graphs"].items()
        if entry["kept"]
    ]
    return "\n\n".join((title, format_table(["", *graphs], rows), *kept))


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
