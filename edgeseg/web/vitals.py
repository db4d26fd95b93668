"""How the run is doing, for the live page and for monitors: the newest frame's facts, and the last two minutes."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edgeseg.video.results import FrameResult, Pulse
from edgeseg.video.stats import Percentiles

PERIOD_S = 0.5
"""One point of the charts is made of the frames of this time."""
_POINTS = 240
_EVENTS = 20
_HUNG_S = 2.0
"""The loop says within half a second that no frame comes. If it says nothing at all for this long, it hangs."""

_MISSED = 3.0
"""A loop slower than two frames a second has periods without a frame. Its rate is zero when it has missed so many."""

AGE_BUCKETS_S = (0.01, 0.02, 0.033, 0.05, 0.067, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0)
"""Upper bounds of the histogram of frame ages: around one to six frames of a camera at 30 frames/s."""


@dataclass(frozen=True, slots=True)
class Point:
    """What the charts show of one period; ages and shares are `None` and nothing where no frame came."""

    number: int
    end_s: float
    """Seconds since the start."""
    fps: float
    age_ms: float | None
    age_p95_ms: float | None
    shares: tuple[float, ...]
    """Mean share of the picture of each class that was named, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that changed on the road."""

    at_s: float
    """Seconds since the start."""
    name: str


@dataclass
class _Period:
    """The frames of the period that is not over yet."""

    ages_ms: list[float] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """All of it at one moment."""

    now_s: float
    """Seconds since the start."""
    result: FrameResult | None
    """The newest frame; `None` before the first."""
    since_frame_s: float | None
    """How long ago it came."""
    stale: bool
    """Whether the picture is older than it looks."""
    points: tuple[Point, ...]
    events: tuple[Event, ...]
    age_buckets: tuple[int, ...]
    """Frames by age: up to each of `AGE_BUCKETS_S`, and the rest."""
    age_sum_s: float

    @property
    def pulse(self) -> Pulse:
        """The newest frame's."""
        return Pulse() if self.result is None else self.result.pulse


class Vitals:
    """Filled by the loop's thread, looked at by others. `classes` are those whose shares are kept, in this order."""

    def __init__(self, classes: tuple[str, ...], clock: Callable[[], float] = time.monotonic) -> None:
        self.classes = classes
        self._clock = clock
        self._lock = threading.Lock()
        self._began_s = self._period_s = clock()
        self._period = _Period()
        self._points: deque[Point] = deque(maxlen=_POINTS)
        self._next_point = 0
        self._events: deque[Event] = deque(maxlen=_EVENTS)
        self._result: FrameResult | None = None
        self._frame_s = self._sign_s = self._began_s
        self._waiting = False
        self._age_buckets = [0] * (len(AGE_BUCKETS_S) + 1)
        self._age_sum_s = 0.0

    def note(self, result: FrameResult) -> None:
        """Take a new frame in."""
        age_ms = result.pulse.age_ms
        with self._lock:
            now_s = self._clock()
            self._roll(now_s)
            self._result = result
            self._frame_s = self._sign_s = now_s
            self._waiting = False
            self._period.ages_ms.append(age_ms)
            self._age_buckets[bisect_left(AGE_BUCKETS_S, age_ms / 1e3)] += 1
            self._age_sum_s += age_ms / 1e3
            if result.scene is not None:
                for name, share in result.scene.shares.items():
                    self._period.shares[name] = self._period.shares.get(name, 0.0) + share
                if result.scene.event is not None:
                    self._events.append(Event(now_s - self._began_s, result.scene.event))

    def note_waiting(self) -> None:
        """The loop lives, but has no new frame."""
        with self._lock:
            self._sign_s = self._clock()
            self._waiting = True

    def view(self) -> View:
        """Everything, as it is now."""
        with self._lock:
            now_s = self._clock()
            self._roll(now_s)
            return View(
                now_s=now_s - self._began_s,
                result=self._result,
                since_frame_s=None if self._result is None else now_s - self._frame_s,
                stale=self._waiting or now_s - self._sign_s > _HUNG_S,
                points=tuple(self._points),
                events=tuple(self._events),
                age_buckets=tuple(self._age_buckets),
                age_sum_s=self._age_sum_s,
            )

    def _roll(self, now_s: float) -> None:
        """Close the periods that are over; those without a frame too, so that a gap shows as one."""
        missed = int((now_s - self._period_s) / PERIOD_S) - _POINTS
        if missed > 0:  # nobody looked and no frame came for longer than the charts reach
            self._period_s += missed * PERIOD_S
        while now_s - self._period_s >= PERIOD_S:
            self._period_s += PERIOD_S
            if self._result is not None:
                self._points.append(self._point())
            self._period = _Period()

    def _point(self) -> Point:
        assert self._result is not None, "there is no point before the first frame"
        ages_ms = self._period.ages_ms
        self._next_point += 1
        count = len(ages_ms)
        fps = self._result.pulse.fps
        if not count and (self._period_s - self._frame_s) * fps > _MISSED:
            fps = 0.0
        return Point(
            number=self._next_point,
            end_s=self._period_s - self._began_s,
            fps=fps,
            age_ms=ages_ms[-1] if ages_ms else None,
            age_p95_ms=Percentiles.of(ages_ms).p95 if ages_ms else None,
            shares=tuple(self._period.shares.get(name, 0.0) / count for name in self.classes) if count else (),
        )


def to_plain(point: Point) -> list[Any]:
    """A point as the page's charts take it: time, rate, age, age p95, shares; rounded, for a phone's connection."""
    ages = [None if age is None else round(age, 1) for age in (point.age_ms, point.age_p95_ms)]
    return [round(point.end_s, 2), round(point.fps, 1), *ages, [round(share, 4) for share in point.shares]]
