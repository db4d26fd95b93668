"""How every command is told which graph of a bundle to run, in which runtime, and on how many threads."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeseg.runtime.segmenter import Segmenter


def add_runtime_options(parser: argparse.ArgumentParser, *, precision: str | None = "fp32") -> None:
    """Add `--precision`, `--backend` and `--threads`; a precision of None stands for all that the bundle has."""
    from edgeseg.types import ASKED_BACKENDS, ASKED_PRECISIONS

    parser.add_argument(
        "--precision",
        default=precision,
        choices=ASKED_PRECISIONS,
        help=f"the bundle's graph to run; int8: the one for this runtime (default: {precision or 'all that it has'})",
    )
    parser.add_argument(
        "--backend",
        choices=ASKED_BACKENDS,
        help="runtime of a bundle; auto: the fastest that is here, and a note why no faster one (default: onnxruntime)",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads of the runtime; default: its own choice")


def say_degraded(segmenter: Segmenter) -> None:
    """Tell on stderr where `--backend auto` passed over a faster runtime, and why."""
    if segmenter.degraded is not None:
        print(f"edgeseg: note: {segmenter.degraded}", file=sys.stderr)
