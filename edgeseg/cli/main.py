"""`edgeseg COMMAND`: finds the command's module, turns deliberate errors into one line and an exit code."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from edgeseg import __version__
from edgeseg.errors import EdgesegError

COMMANDS = {
    "train": "train a network by a recipe",
    "convert": "turn PyTorch weights (.pth) into a checkpoint",
    "evaluate": "measure a checkpoint or bundle on a labelled dataset",
    "calibrate": "choose and check frames for INT8, and observe what a model does on them",
    "export": "turn a checkpoint into a sealed bundle, with proof",
    "engine": "build a TensorRT engine for this machine, or show how it would be built",
    "parity": "compare a bundle with its trained model, step by step",
    "lint": "say before the build whether TensorRT takes a graph, and what falls back on a DLA",
    "verify": "check a bundle's hashes and replay its golden frames",
    "selftest": "test this machine with the bundle, on CPU or GPU, and write a report",
    "benchmark": "measure how fast bundles are here, side by side, and how sure that is",
    "profile": "tell where a bundle's time goes, layer by layer, and how far that is from this machine's limit",
    "run": "segment a camera, video, folder or the synthetic drive",
    "serve": "run without a window, watched and steered from a browser",
    "recover": "finish the recordings that killed runs left",
    "predict": "segment photos, also with torchvision's pretrained networks",
    "data": "inspect a dataset, or convert it to a common layout",
    "doctor": "tell what this machine has and which commands will work",
}
"""Name → one-line help. The module is `edgeseg.cli.NAME`, with `configure(parser)` and `run(args) -> exit code`."""

INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """The whole parser; with `only`, just that command gets its options, so the others' modules stay unloaded."""
    parser = argparse.ArgumentParser(
        prog="edgeseg",
        description="Road-scene segmentation from PyTorch to the device, with proof that nothing was lost on the way.",
        epilog="Exit codes: 0 ok, 1 a gate failed, 2 bad input, 3 not possible on this machine.",
    )
    parser.add_argument("--version", action="version", version=f"edgeseg {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if only in (None, name):
            module = importlib.import_module(f"edgeseg.cli.{name}")
            module.configure(command)
            command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    named = next((word for word in arguments if not word.startswith("-")), "")
    args = build_parser(only=named).parse_args(arguments)
    try:
        return int(args.run(args))
    except EdgesegError as error:
        print(f"edgeseg: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("edgeseg: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has left; without this, Python complains again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
