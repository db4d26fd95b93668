"""Charts as inline SVG. The drawing stretches with the page; its words are HTML beside it, so a phone can read them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from edgeseg.bench.tables import milliseconds

COLOURS = 6
"""Of the page's style: --c0 to --c5."""
_COLUMNS = 120
"""So many moments are drawn of a run; each is the median of its frames, with the fastest and slowest around it."""
_SVG = '<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
"""Whatever it shows is said in words beside it or in a table below."""

Series = tuple[str, NDArray[np.float64]]
Points = Sequence[tuple[float, float]]


def colour(number: int) -> str:
    """Of the candidate or part `number`."""
    return f"var(--c{number % COLOURS})"


def over_time(runs: Sequence[tuple[str, Sequence[float], Sequence[float]]]) -> str:
    """Name, moments in seconds, latencies in milliseconds → how latency went over the run."""
    end_s = max(max(at_s) for _, at_s, _ in runs) or 1.0
    split = []
    for _, at_s, latency_ms in runs:
        columns = np.minimum(_COLUMNS - 1, np.asarray(at_s) / end_s * _COLUMNS).astype(int)
        used = np.unique(columns)
        split.append(((used + 0.5) / _COLUMNS, [np.asarray(latency_ms)[columns == column] for column in used]))
    # The lines stay inside; a single slow frame may be cut off above them.
    top = 1.1 * max(float(np.median(part)) for _, parts in split for part in parts)
    top = max(top, 1.1 * max(float(np.percentile(latency_ms, 99)) for _, _, latency_ms in runs))
    drawn = []
    for number, (x, parts) in enumerate(split):
        low = [(place, float(part.min()) / top) for place, part in zip(x, parts, strict=True)]
        high = [(place, min(1.0, float(part.max()) / top)) for place, part in zip(x, parts, strict=True)]
        middle = [(place, float(np.median(part)) / top) for place, part in zip(x, parts, strict=True)]
        drawn.append(f'<polygon points="{_points([*low, *reversed(high)])}" fill="{colour(number)}" opacity=".18"/>')
        drawn.append(_line(middle, number))
    return _plot("".join(drawn), _scale(top), _scale(end_s), "ms", "s", [name for name, _, _ in runs])


def shares(runs: Sequence[Series], limit_ms: float | None) -> str:
    """Name, latencies in milliseconds → the share of frames that are done within a time; with the deadline, if any."""
    top = 1.05 * max(float(np.percentile(latency_ms, 99.5)) for _, latency_ms in runs)
    top = max(top, 1.05 * limit_ms) if limit_ms is not None and limit_ms < 4 * top else top
    drawn = []
    for number, (_, latency_ms) in enumerate(runs):
        ranks = np.linspace(0, 1, 201)
        at_ms = np.minimum(1.0, np.quantile(latency_ms, ranks, method="inverted_cdf") / top)
        stairs: list[tuple[float, float]] = [(0.0, 0.0), (float(at_ms[0]), 0.0)]
        for place, rank in zip(at_ms.tolist(), ranks.tolist(), strict=True):
            stairs += [(place, stairs[-1][1]), (place, rank)]
        drawn.append(_line(stairs, number))
    if limit_ms is not None and limit_ms < top:
        x = 100 * limit_ms / top
        drawn.append(
            f'<line x1="{x:.2f}" x2="{x:.2f}" y1="0" y2="100" stroke="var(--bad)" stroke-dasharray="4 3" '
            'vector-effect="non-scaling-stroke"/>'
        )
    names = [name for name, _ in runs]
    return _plot("".join(drawn), ("0 %", "50 %", "100 %"), _scale(top), "", "ms", names)


def intervals(rows: Sequence[tuple[str, str, int, float, float, float]], one: float | None) -> str:
    """Name, figures in words, colour, low, middle, high → a bar each on a common scale; `one` is marked on it."""
    ends = [value for _, _, _, low, _, high in rows for value in (low, high)] + ([] if one is None else [one])
    first, last = (0.0, max(ends)) if one is None else (min(ends), max(ends))
    margin = 0.03 * (last - first or 1.0)
    first, last = first - (0.0 if one is None else margin), last + margin

    def place(value: float) -> float:
        return 100 * (value - first) / (last - first)

    mark = "" if one is None else _stroke(place(one), "var(--soft)", 1)
    bars = []
    for name, words, number, low, middle, high in rows:
        bar = (
            f'<rect x="{place(low):.2f}" width="{max(0.3, place(high) - place(low)):.2f}" y="25" height="50" '
            f'fill="{colour(number)}" opacity=".45"/>{_stroke(place(middle), colour(number), 4)}'
        )
        bars.append(_bar(name, words, f"{mark}{bar}"))
    return f'<div class="bars">{"".join(bars)}</div>'


def stacked(rows: Sequence[tuple[str, Sequence[tuple[str, float]]]]) -> str:
    """Name, parts with their milliseconds → a bar each, of parts side by side on a common scale."""
    longest = max(sum(value for _, value in parts) for _, parts in rows) or 1.0
    names = list(dict.fromkeys(part for _, parts in rows for part, _ in parts))
    bars = []
    for name, parts in rows:
        drawn, x = [], 0.0
        for part, value in parts:
            width = 100 * value / longest
            drawn.append(
                f'<rect x="{x:.2f}" width="{width:.2f}" y="10" height="80" fill="{colour(names.index(part))}">'
                f"<title>{escape(part)} {milliseconds(value)} ms</title></rect>"
            )
            x += width
        words = ", ".join(f"{part} {milliseconds(value)}" for part, value in parts)
        bars.append(_bar(name, f"{words} ms", "".join(drawn)))
    return f'<div class="bars">{"".join(bars)}</div>{_key(names)}'


def _bar(name: str, words: str, drawing: str) -> str:
    return (
        f'<div class="bar"><div><span>{escape(name)}</span><span>{escape(words)}</span></div>'
        f"{_SVG}{drawing}</svg></div>"
    )


def _plot(drawing: str, y: Sequence[str], x: Sequence[str], y_unit: str, x_unit: str, names: Sequence[str]) -> str:
    """Axis words are given from the lowest to the highest."""
    sides = [f"<span>{escape(word)}</span>" for word in (f"{y[-1]} {y_unit}".strip(), *reversed(y[:-1]))]
    below = [f"<span>{escape(word)}</span>" for word in (*x[:-1], f"{x[-1]} {x_unit}".strip())]
    return (
        f'<div class="plot"><div class="y">{"".join(sides)}</div>'
        f'{_SVG}<line x1="0" x2="100" y1="50" y2="50" stroke="var(--line)" vector-effect="non-scaling-stroke"/>'
        f"{drawing}</svg>"
        f'<div class="x">{"".join(below)}</div></div>{_key(names)}'
    )


def _key(names: Sequence[str]) -> str:
    words = (
        f'<span><i style="background:{colour(number)}"></i>{escape(name)}</span>' for number, name in enumerate(names)
    )
    return f'<div class="key">{"".join(words)}</div>'


def _line(points: Points, number: int) -> str:
    return (
        f'<polyline points="{_points(points)}" fill="none" stroke="{colour(number)}" stroke-width="2" '
        'stroke-linejoin="round" vector-effect="non-scaling-stroke"/>'
    )


def _stroke(x: float, paint: str, width: int) -> str:
    return (
        f'<line x1="{x:.2f}" x2="{x:.2f}" y1="5" y2="95" stroke="{paint}" stroke-width="{width}" '
        'vector-effect="non-scaling-stroke"/>'
    )


def _points(points: Points) -> str:
    """Shares of the plot from its lower left → coordinates in it."""
    return " ".join(f"{100 * x:.2f},{100 - 100 * y:.2f}" for x, y in points)


def _scale(top: float) -> tuple[str, str, str]:
    return ("0", milliseconds(top / 2), milliseconds(top))
