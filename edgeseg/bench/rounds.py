"""Candidates take turns, slice by slice, so that whatever else the machine does meets all of them alike.

One candidate measured for a minute and then the next for another compares two minutes as much as two graphs: clocks,
heat and other programs change in between. Slices of a fraction of a second, in an order that changes from round to
round, leave the ratio alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np


class Timed(NamedTuple):
    """How long one frame took, in milliseconds."""

    session_ms: float
    """In the runtime: frame in the host's memory to labels in the host's memory."""
    total_ms: float
    """All of it: with the resizing and the checks outside the graph."""


class Subject(Protocol):
    """What takes turns."""

    def step(self) -> Timed:
        """Run the next frame."""
        ...


@dataclass(frozen=True, slots=True)
class Slice:
    """One turn of one candidate."""

    at_s: tuple[float, ...]
    """When each run began, in seconds from the first slice's beginning."""
    timed: tuple[Timed, ...]
    wall_s: float
    """From the first measured run's beginning to the last one's end."""

    @property
    def session_s(self) -> float:
        """How long the session took for all of its frames."""
        return sum(run.session_ms for run in self.timed) / 1e3

    @property
    def median_ms(self) -> float:
        """Of the session's latencies."""
        return float(np.median([run.session_ms for run in self.timed]))


class Watch(Protocol):
    """Who looks at the machine while candidates run."""

    def began(self, number: int) -> None:
        """Candidate `number` begins a slice."""
        ...

    def tick(self) -> None:
        """A frame is done. Called very often."""
        ...

    def ended(self, number: int, runs: int) -> None:
        """It has ended the slice, after so many frames, those included that were not measured."""
        ...


def order_of(round_number: int, count: int) -> list[int]:
    """Who goes when: begins one further every other round, and backwards in odd rounds, so that neighbours change."""
    first = round_number // 2 % count
    order = [(first + place) % count for place in range(count)]
    return order[::-1] if round_number % 2 else order


def take_turns(
    subjects: Sequence[Subject],
    *,
    rounds: int,
    slice_s: float,
    min_runs: int,
    clock: Callable[[], float],
    watch: Watch,
    tell: Callable[[int], None] = lambda _: None,
) -> list[list[Slice]]:
    """Slices of each subject, in order of time. Each lasts `slice_s` seconds and `min_runs` frames, at least.

    After another candidate's turn the first run is left out: caches and branch predictors are still the other's. `tell`
    is called with the number of rounds done.
    """
    slices: list[list[Slice]] = [[] for _ in subjects]
    origin_s, last = clock(), None
    for number in range(rounds):
        for index in order_of(number, len(subjects)):
            watch.began(index)
            left_out = int(last is not None and last != index)
            if left_out:
                subjects[index].step()
            taken = run_slice(subjects[index], slice_s, min_runs, clock, origin_s=origin_s, tick=watch.tick)
            watch.ended(index, len(taken.timed) + left_out)
            slices[index].append(taken)
            last = index
        tell(number + 1)
    return slices


def run_slice(
    subject: Subject,
    slice_s: float,
    min_runs: int,
    clock: Callable[[], float],
    *,
    origin_s: float = 0.0,
    tick: Callable[[], None] = lambda: None,
) -> Slice:
    """One slice of `slice_s` seconds and `min_runs` frames, at least; `at_s` counts from `origin_s`."""
    at_s: list[float] = []
    timed: list[Timed] = []
    began_s = now_s = clock()
    while now_s - began_s < slice_s or len(timed) < min_runs:
        at_s.append(now_s - origin_s)
        timed.append(subject.step())
        tick()
        now_s = clock()
    return Slice(tuple(at_s), tuple(timed), now_s - began_s)


def warm_up(subject: Subject, seconds: float, clock: Callable[[], float]) -> None:
    """Run frames for so long, one at least, and forget them."""
    began_s = clock()
    subject.step()
    while clock() - began_s < seconds:
        subject.step()
