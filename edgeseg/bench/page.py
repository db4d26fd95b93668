"""A report as one HTML page with charts: no script, nothing fetched, to be mailed or kept beside the JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import numpy as np

from edgeseg.bench.charts import intervals, over_time, shares, stacked
from edgeseg.bench.page_style import STYLE
from edgeseg.bench.report import BenchmarkReport
from edgeseg.bench.tables import Table, machine_line, measures, milliseconds, ratio_words, remarks, tables


def to_html(report: BenchmarkReport) -> str:
    """The whole page."""
    first = report.candidates[0].label
    others = len(report.candidates) - 1
    title = first if not others else f"{first} and {others} other{'s' if others > 1 else ''}"
    head = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>edgeseg benchmark: {escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style>"
    )
    body = [
        f'<h1>{escape(title)}</h1><p class="soft">edgeseg benchmark {escape(report.edgeseg)}, '
        f"{escape(report.created)}. {escape(machine_line(report))}.</p>",
        _tiles(report),
        _gate(report),
        *(_remark(heading, lines) for heading, lines in remarks(report) if heading == "Heed"),
        *_charts(report),
        *(_table(table) for table in tables(report)),
        *(_remark(heading, lines) for heading, lines in remarks(report) if heading != "Heed"),
    ]
    return f"{head}<body><main>{''.join(body)}</main></body></html>\n"


def _tiles(report: BenchmarkReport) -> str:
    """The first candidate's figures, large."""
    one = report.candidates[0]
    tiles = [
        (f"{milliseconds(one.session.p50_ms)} ms", "session, median"),
        (f"{milliseconds(one.whole.p95_ms)} ms", "frame to labels, p95"),
        (f"{one.whole_fps:.1f}", "frames/s to labels"),
    ]
    if one.camera is not None:
        tiles += [
            (f"{one.camera.fps:.1f}", "frames/s in the camera loop"),
            (f"{milliseconds(one.camera.age.p95_ms)} ms", "frame age, p95"),
        ]
    memory = None if one.start_up is None else one.start_up.memory_dict()
    if memory is not None:
        tiles.append((f"{memory['peak_mib']:.0f} MiB", "memory at most"))
    drawn = (f'<div class="tile"><b>{escape(figure)}</b><span>{escape(what)}</span></div>' for figure, what in tiles)
    return f'<div class="tiles">{"".join(drawn)}</div>'


def _gate(report: BenchmarkReport) -> str:
    if report.deadline is None:
        return ""
    misses = report.misses()
    words = f"Deadline of {report.deadline.limit_ms:g} ms for the p95 of {report.gated_by}: "
    if not misses:
        return f'<section><b class="good">{escape(words)}held</b></section>'
    return f'<section class="heed failed"><b class="bad">{escape(words)}missed</b>{_list(misses)}</section>'


def _charts(report: BenchmarkReport) -> Iterator[str]:
    candidates = report.candidates
    rows = [
        (
            f"{one.label}: {name}" if len(candidates) > 1 else name,
            f"p50 {milliseconds(found.p50_ms)}, p95 {milliseconds(found.p95_ms)}, p99 {milliseconds(found.p99_ms)} ms",
            number,
            found.min_ms,
            found.p50_ms,
            found.p99_ms,
        )
        for number, one in enumerate(candidates)
        for name, _, found in measures(one)
    ]
    yield _figure(
        "Latency", intervals(rows, None), "From the fastest frame to the 99th percentile; the mark is the median."
    )
    ratios = [
        (one.label, ratio_words(found), number, found.low, found.speed, found.high)
        for number, one in enumerate(candidates)
        if (found := one.ratio) is not None
    ]
    if ratios:
        yield _figure(
            f"Times as fast as {candidates[0].label}",
            intervals(ratios, 1.0),
            "Ratio of medians with its 95 % interval. The line is 1: an interval that holds it tells nothing apart.",
        )
    yield _figure(
        "Over time",
        over_time([(one.label, one.at_s, one.session_ms) for one in candidates]),
        "Session latency: the median, and around it the fastest and slowest frame of each moment.",
    )
    yield _distribution(report)
    split = [
        (one.label, [(stage, times.p50) for stage, times in one.camera.report.stages.items() if stage != "total"])
        for one in candidates
        if one.camera is not None
    ]
    if split:
        yield _figure("What a frame's age is made of", stacked(split), "Median of each stage of the camera loop.")


def _distribution(report: BenchmarkReport) -> str:
    looped = report.config.end_to_end and all(one.camera is not None for one in report.candidates)
    runs = [
        (one.label, np.array([run.total_ms for part in one.slices for run in part.timed])) for one in report.candidates
    ]
    if looped:
        runs = [(one.label, np.array(one.camera.ages_ms)) for one in report.candidates if one.camera is not None]
    limit_ms = None if report.deadline is None else report.deadline.limit_ms
    what = "frame age in the camera loop" if looped else "frame to labels"
    caption = f"By {what}. Steep is steady." + (" The dashed line is the deadline." if limit_ms is not None else "")
    return _figure("Share of frames done in time", shares(runs, limit_ms), caption)


def _figure(title: str, drawing: str, caption: str) -> str:
    below = f"<figcaption>{escape(caption)}</figcaption>"
    return f"<section><h2>{escape(title)}</h2><figure>{drawing}{below}</figure></section>"


def _table(table: Table) -> str:
    header = "".join(f"<th>{escape(cell)}</th>" for cell in table.header)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    words = f"{table.found} {table.note}".strip()
    note = f'<p class="note">{escape(words)}</p>' if words else ""
    return (
        f'<section><h2>{escape(table.title)}</h2><div class="scroll"><table><thead><tr>{header}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{note}</section>"
    )


def _remark(heading: str, lines: Sequence[str]) -> str:
    kind = ' class="heed"' if heading == "Heed" else ""
    return f"<section{kind}><h2>{escape(heading)}</h2>{_list(lines)}</section>"


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"
