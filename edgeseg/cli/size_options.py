"""How the commands that make a graph are told its sizes."""

from __future__ import annotations

import argparse
from typing import Any


def add_size_options(parser: argparse._ActionsContainer) -> None:
    """Add `--size`, `--camera-size` and `--dynamic`; None where one is not given."""
    parser.add_argument("--size", metavar="HxW", help="size at which the network runs; default: that of its training")
    parser.add_argument("--camera-size", metavar="HxW", help="size of the frames; default: the network's")
    parser.add_argument("--dynamic", action="store_true", default=None, help="take frames of any size")


def asked_sizes(args: argparse.Namespace) -> dict[str, Any]:
    """Those given, as fields of `ExportConfig`; raises `ConfigError` for a size that is none."""
    from edgeseg.graph.recipe import parse_size

    found = {
        "size_hw": None if args.size is None else parse_size(args.size),
        "camera_hw": None if args.camera_size is None else parse_size(args.camera_size),
        "dynamic": args.dynamic,
    }
    return {name: value for name, value in found.items() if value is not None}
