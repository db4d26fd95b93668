"""What every command prints and writes the same way: aligned tables, and `--json FILE`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgeseg.files import write_json


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add `--json FILE`."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write what was measured to FILE as JSON")


def png_path(text: str) -> Path:
    """`type` of an option that names a picture: refused while parsing, before minutes of work."""
    path = Path(text)
    if path.suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"{text!r} is a PNG picture: end its name in .png")
    return path


def write_report(args: argparse.Namespace, report: dict[str, Any]) -> None:
    """Write `report` where `--json` says, if it says."""
    if args.json is not None:
        write_json(args.json, report)


def counter(what: str) -> Callable[[int], None] | None:
    """Counts frames on the terminal, where there is one; what is printed next takes the line."""
    if not sys.stderr.isatty():
        return None
    return lambda done: print(f"{what} {done} frames", end="\r", file=sys.stderr, flush=True)


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lines of aligned columns: the first column to the left, the others, which hold figures, to the right."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    formatted = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    formatted.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in formatted)
