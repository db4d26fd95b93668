"""How every command is told which graph of a bundle to run, and on how many threads."""

from __future__ import annotations

import argparse


def add_runtime_options(parser: argparse.ArgumentParser, *, precision: str | None = "fp32") -> None:
    """Add `--precision` and `--threads`; a default of None stands for all graphs that the bundle has."""
    from edgeseg.types import ASKED_PRECISIONS

    parser.add_argument(
        "--precision",
        default=precision,
        choices=ASKED_PRECISIONS,
        help=f"the bundle's graph to run; int8: the one for this runtime (default: {precision or 'all that it has'})",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads of the runtime; default: its own choice")
