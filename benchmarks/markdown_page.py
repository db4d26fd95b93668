"""What the benchmarks share: tables in Markdown, the place in a page where they go, the name of the processor."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

from edgeseg.cli.output import format_table
from edgeseg.files import write_text

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown: the first column to the left, figures to the right."""
    lines = format_table(
        [f"| {header[0]}", *(f"| {name}" for name in header[1:])],
        [[f"| {row[0]}", *(f"| {cell}" for cell in row[1:])] for row in rows],
    )
    first, _, *rest = lines.splitlines()
    return "\n".join([f"{first} |", "|---|" + "---:|" * (len(header) - 1), *(f"{line} |" for line in rest)])


def write_between_marks(page: Path, text: str) -> None:
    """Replace what stands between `BEGIN` and `END` in a page that has both."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    write_text(page, f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def processor() -> str:
    """The processor's name, where Linux tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
