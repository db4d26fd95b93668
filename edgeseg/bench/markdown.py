"""A report as Markdown, to be put into an issue or a README."""

from __future__ import annotations

from edgeseg.bench.report import BenchmarkReport
from edgeseg.bench.tables import Table, machine_line, remarks, tables


def to_markdown(report: BenchmarkReport) -> str:
    """All tables and remarks."""
    lines = ["# edgeseg benchmark", "", f"edgeseg {report.edgeseg}, {report.created}. {machine_line(report)}.", ""]
    for table in tables(report):
        lines += [f"## {table.title}", "", *_table(table), ""]
        lines += [f"{table.found} {table.note}".strip(), ""] if table.found or table.note else []
    if report.deadline is not None:
        lines += [f"## Deadline of {report.deadline.limit_ms:g} ms", ""]
        lines += [*(f"- {line}" for line in report.misses() or [f"held: p95 of {report.gated_by}"]), ""]
    for heading, told in remarks(report):
        lines += [f"## {heading}", "", *(f"- {line}" for line in told), ""]
    return "\n".join(lines)


def _table(table: Table) -> list[str]:
    rows = [table.header, *table.rows]
    rule = ["---", *["---:"] * (len(table.header) - 1)]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (cells[0], rule, *cells[1:])]
