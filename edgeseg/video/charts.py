"""Small charts over the seconds of a drive, as SVG inside a page. Colours are the page's, by class, or given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeseg.video.drive_log import Incident

_WIDTH = 1000
"""Charts are stretched to the page's width; what is written stands beside them, so that it is not."""
_MOST_POINTS = 240
"""A longer drive has several seconds to a point, their mean."""


def areas(bands: Sequence[tuple[str, Mapping[int, float]]], end_s: float, height: int = 240) -> str:
    """Bands of a colour, second → share (all of the same seconds), on top of each other; the scale goes to 1."""
    points = [(colour, _thinned(values, end_s)) for colour, values in bands]
    base = [0.0] * len(points[0][1])
    drawn = []
    for colour, values in points:
        top = [low + value for low, (_, value) in zip(base, values, strict=True)]
        xs = [_x(second, end_s) for second, _ in values]
        there = [(x, _y(value, 1, height)) for x, value in zip(xs, top, strict=True)]
        back = [(x, _y(value, 1, height)) for x, value in zip(xs, base, strict=True)]
        drawn.append(f'<polygon fill="{colour}" points="{_points(there + back[::-1])}"/>')
        base = top
    return _svg("".join(drawn), end_s, height, "100 %")


def line(values: Mapping[int, float], end_s: float, unit: str, height: int = 140) -> str:
    """A curve, second → value, on a scale from 0."""
    points = _thinned(values, end_s)
    top = 1.1 * max((value for _, value in points), default=1.0) or 1.0
    places = [(_x(second, end_s), _y(value, top, height)) for second, value in points]
    return _svg(f'<polyline class="curve" points="{_points(places)}"/>', end_s, height, f"{top:.0f} {unit}")


def marks(incidents: Sequence[Incident], end_s: float, ahead: str, height: int = 56) -> str:
    """Incidents along the drive: above those of the kind `ahead`, below the faults."""
    drawn = []
    for incident in incidents:
        kind, y = ("ahead", 2) if incident.kind == ahead else ("fault", 30)
        x = _x(incident.begin_s, end_s)
        width = max(3.0, _x(incident.end_s, end_s) - x)
        drawn.append(f'<rect class="{kind}" x="{min(x, _WIDTH - width):.1f}" y="{y}" width="{width:.1f}" height="24"/>')
    return _svg("".join(drawn), end_s, height, "above: somebody ahead, below: faults")


def _svg(content: str, end_s: float, height: int, label: str) -> str:
    """A chart of this height in pixels, on any screen; above it `label`, below it the ends of the drive."""
    return (
        f'<p class="scale"><span>{label}</span></p>'
        f'<svg viewBox="0 0 {_WIDTH} {height}" height="{height}" preserveAspectRatio="none" role="img">{content}</svg>'
        f'<p class="scale"><span>0 s</span><span>{end_s:.0f} s</span></p>'
    )


def _thinned(values: Mapping[int, float], end_s: float) -> list[tuple[float, float]]:
    """(time, value) in the middles of the seconds, and at both ends of the drive; some `_MOST_POINTS` at most."""
    ordered = sorted(values.items())
    step = -(-len(ordered) // _MOST_POINTS)
    parts = [ordered[start : start + step] for start in range(0, len(ordered), step)]
    means = [(sum(s + 0.5 for s, _ in part) / len(part), sum(value for _, value in part) / len(part)) for part in parts]
    inner = [(time_s, value) for time_s, value in means if time_s < end_s]
    return [(0.0, means[0][1]), *inner, (end_s, means[-1][1])]


def _x(time_s: float, end_s: float) -> float:
    return _WIDTH * (time_s / end_s if end_s > 0 else 0.0)


def _y(value: float, top: float, height: int) -> float:
    return height * (1 - min(1.0, value / top))


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
