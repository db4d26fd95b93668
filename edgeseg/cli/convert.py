"""`edgeseg convert`: PyTorch weights (.pth) become a checkpoint that says by itself what it is."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeseg.errors import ConfigError
from edgeseg.lazy import require

_SUFFIX = ".safetensors"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("weights", type=Path, metavar="FILE.pth", help="a state_dict, bare or inside a checkpoint")
    parser.add_argument("output", type=Path, metavar=f"OUT{_SUFFIX}", help="checkpoint to write")
    parser.add_argument("--network", metavar="NAME", help="its network; default: recognised by the tensors' names")
    parser.add_argument("--size", default="360x480", metavar="HxW", help="size it was trained for (default: 360x480)")
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="labels.toml",
        help="names of its classes in id order, and colours, as in a plain dataset folder; "
        "default: 11 classes are CamVid's, 21 PASCAL VOC's, 2 KITTI road's, others are numbered",
    )


def run(args: argparse.Namespace) -> int:
    """Convert and say what was recognised; returns 0."""
    from edgeseg.data.folder import read_label_file
    from edgeseg.graph.recipe import parse_size

    if args.output.suffix != _SUFFIX:
        raise ConfigError(f"{args.output}: a checkpoint's name ends in {_SUFFIX}. Choose another name.")
    size_hw = parse_size(args.size)
    label_map = None if args.labels is None else read_label_file(args.labels).label_map
    require("torch", extra="train")
    from edgeseg.models.checkpoint import load_foreign, save_checkpoint

    model = load_foreign(args.weights, network=args.network, label_map=label_map, size_hw=size_hw)
    save_checkpoint(args.output, model)
    print(f"network: {model.spec.name}{' with an auxiliary head' if model.spec.auxiliary else ''}")
    assumed = "" if args.labels else ", assumed from their number; name others with --labels"
    print(f"classes: {', '.join(model.label_map.names)} ({len(model.label_map)}{assumed})")
    print(f"input:   {size_hw[0]}x{size_hw[1]} pixels, RGB normalised as for ImageNet")
    print(f"wrote    {args.output}")
    return 0
