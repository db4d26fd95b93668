from __future__ import annotations

from collections import Counter

import pytest

from edgeseg.bench.rounds import Timed, order_of, take_turns, warm_up


class Ticking:
    """A subject that takes so long, on a clock that it shares."""

    def __init__(self, name: str, milliseconds: float, clock: list[float], log: list[str]) -> None:
        self._name, self._ms, self._clock, self._log = name, milliseconds, clock, log

    def step(self) -> Timed:
        self._clock[0] += self._ms / 1e3
        self._log.append(self._name)
        return Timed(self._ms, self._ms)


class Watching:
    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []
        self.ticks = 0
        self._now: int | None = None

    def began(self, number: int) -> None:
        assert self._now is None
        self._now = number

    def tick(self) -> None:
        self.ticks += 1

    def ended(self, number: int, runs: int) -> None:
        assert self._now == number
        self._now = None
        self.told.append((number, runs))


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_everybody_has_every_place_as_often(count: int) -> None:
    orders = [order_of(number, count) for number in range(2 * count)]
    assert all(sorted(order) == list(range(count)) for order in orders)
    for place in range(count):
        assert set(Counter(order[place] for order in orders).values()) == {2}


def test_slices_by_the_clock_and_the_first_run_after_another_is_left_out() -> None:
    clock, watch = [100.0], Watching()
    log: list[str] = []
    subjects = [Ticking("a", 10, clock, log), Ticking("b", 40, clock, log)]
    slices = take_turns(
        subjects, rounds=4, slice_s=0.1, min_runs=1, clock=lambda: clock[0], watch=watch, tell=lambda _: None
    )
    # Rounds go a b, b a, b a, a b; whoever has just run needs no run to warm up again.
    assert "".join(log) == "a" * 10 + "b" * 4 + "b" * 3 + "a" * 11 + "b" * 4 + "a" * 11 + "a" * 10 + "b" * 4
    assert watch.told == [(0, 10), (1, 4), (1, 3), (0, 11), (1, 4), (0, 11), (0, 10), (1, 4)]
    assert [len(one.timed) for one in slices[0]] == [10] * 4
    assert [len(one.timed) for one in slices[1]] == [3] * 4
    assert watch.ticks == 40 + 12
    assert slices[0][0].at_s == pytest.approx([0.01 * number for number in range(10)])
    assert slices[1][0].at_s == pytest.approx([0.14, 0.18, 0.22])
    assert slices[1][0].wall_s == pytest.approx(0.12)
    assert slices[1][0].median_ms == 40


def test_a_slow_one_runs_often_enough_all_the_same() -> None:
    clock, log = [0.0], list[str]()
    slices = take_turns(
        [Ticking("a", 500, clock, log)], rounds=2, slice_s=0.1, min_runs=5, clock=lambda: clock[0], watch=Watching()
    )
    assert [len(one.timed) for one in slices[0]] == [5, 5]


def test_warming_up_is_by_time_and_once_at_least() -> None:
    clock, log = [0.0], list[str]()
    warm_up(Ticking("a", 30, clock, log), 0.2, lambda: clock[0])
    assert len(log) == 7
    warm_up(Ticking("b", 900, clock, log), 0.2, lambda: clock[0])
    assert log.count("b") == 1
