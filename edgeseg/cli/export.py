"""`edgeseg export`: a trained model becomes a bundle, if its graphs are shown to be the trained model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edgeseg.cli.output import add_json_option, write_report
from edgeseg.errors import ConfigError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="trained model; default: the default model")
    parser.add_argument(
        "--model", metavar="NAME", help="instead: a network, such as deeplabv3_resnet101, with --weights"
    )
    parser.add_argument(
        "--weights", metavar="FILE|pretrained", help="its weights; pretrained: torchvision's, fetched once"
    )
    parser.add_argument("--fp16", action="store_true", default=None, help="add an FP16 graph beside the FP32 one")
    parser.add_argument("--recipe", type=Path, metavar="FILE", help="settings as TOML; see the folder export/")
    parser.add_argument("--size", metavar="HxW", help="size at which the network runs; default: that of its training")
    parser.add_argument("--camera-size", metavar="HxW", help="size of the frames; default: the network's")
    parser.add_argument("--dynamic", action="store_true", default=None, help="take frames of any size")
    parser.add_argument("--output", type=Path, metavar="DIR", help="bundle to write; default: NAME.edgeseg, here")
    parser.add_argument("--name", help="name of the model; default: that of the output or of the checkpoint")
    add_json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Export and print; a gate that fails ends in `GateError`, after the table."""
    from edgeseg.cli.parity import format_parity
    from edgeseg.graph.recipe import merge, parse_size, read_recipe
    from edgeseg.lazy import require
    from edgeseg.runtime.default import DEFAULT_NAME

    given: dict[str, Any] = {
        "size_hw": None if args.size is None else parse_size(args.size),
        "camera_hw": None if args.camera_size is None else parse_size(args.camera_size),
        "dynamic": args.dynamic,
        "fp16": args.fp16,
    }
    if args.model is None and args.weights is not None:
        raise ConfigError("--weights belongs to a network: name it with --model.")
    if args.model is not None and args.checkpoint is not None:
        raise ConfigError("--checkpoint and --model exclude each other; name one.")
    flags = {name: value for name, value in given.items() if value is not None}
    config = merge({} if args.recipe is None else read_recipe(args.recipe), flags)
    for module in ("torch", "onnxscript", "onnxruntime"):
        require(module, extra="train")

    from edgeseg.graph.deliver import SUFFIX, deliver
    from edgeseg.models.checkpoint import load_checkpoint
    from edgeseg.models.pretrained import load_named

    own = args.model or (DEFAULT_NAME if args.checkpoint is None else args.checkpoint.stem)
    output = args.output or Path(f"{args.name or own}{SUFFIX}")
    trained = load_checkpoint(args.checkpoint) if args.model is None else load_named(args.model, args.weights)
    delivery = deliver(trained, config, output, name=args.name)
    print(format_parity(delivery.parity))
    write_report(args, delivery.to_dict())
    delivery.raise_if_failed()
    print(f"\nbundle: {output}")
    return 0
