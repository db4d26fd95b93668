from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from edgeseg.bench import ratios
from edgeseg.bench.ratios import Ratio, ratio_apart, ratio_in_turn
from edgeseg.bench.steadiness import steadiness
from edgeseg.bench.summary import Summary


def test_percentiles_are_samples_by_nearest_rank_as_trtexec_takes_them() -> None:
    samples = np.random.default_rng(3).permutation(np.arange(1, 101)).astype(float)
    summary = Summary.of(samples)
    assert (summary.p50_ms, summary.p90_ms, summary.p95_ms, summary.p99_ms) == (50, 90, 95, 99)
    assert (summary.count, summary.min_ms, summary.max_ms) == (100, 1, 100)
    assert summary.mean_ms == 50.5
    for count in range(1, 40):
        ranked = np.arange(count, dtype=float)
        for percent, found in ((90, Summary.of(ranked).p90_ms), (99, Summary.of(ranked).p99_ms)):
            left_out = (100 - percent) * count // 100  # sampleReporting.cpp: the last but so many
            assert found == max(count - 1 - left_out, 0)


def test_jitter_is_what_one_frame_differs_from_the_one_before() -> None:
    assert Summary.of([10, 12, 9, 9]).jitter_ms == pytest.approx((2 + 3 + 0) / 3)
    assert Summary.of([10.0]).jitter_ms == 0
    slow_drift, stutter = Summary.of([1, 2, 3, 4]), Summary.of([1, 4, 2, 3])
    assert slow_drift.cv == stutter.cv == pytest.approx(np.std([1, 2, 3, 4]) / 2.5)
    assert slow_drift.jitter_ms < stutter.jitter_ms


def test_a_ratio_in_turn_cancels_what_the_machine_does_to_both() -> None:
    machine = np.exp(np.random.default_rng(0).normal(0, 0.5, 20))
    found = ratio_in_turn(30 * machine, 20 * machine, np.random.default_rng(1))
    assert (found.speed, found.low, found.high) == pytest.approx((1.5, 1.5, 1.5))
    assert found.decided
    apart = ratio_apart(30 * machine, 20 * machine, np.random.default_rng(1))
    assert apart.speed == pytest.approx(1.5)
    assert apart.high - apart.low > 0.3


def test_a_ratio_is_the_same_for_the_same_seed() -> None:
    rng = np.random.default_rng(2)
    base, this = rng.uniform(9, 11, 20), rng.uniform(9, 11, 20)
    for make in (ratio_in_turn, ratio_apart):
        assert make(base, this, np.random.default_rng(5)) == make(base, this, np.random.default_rng(5))


@pytest.mark.parametrize("rounds", [10, 20])
def test_the_interval_holds_the_truth_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch, rounds: int) -> None:
    monkeypatch.setattr(ratios, "_DRAWS", 600)
    rng = np.random.default_rng(11)
    hits: Counter[str] = Counter()
    experiments = 300
    for _ in range(experiments):
        machine = np.exp(rng.normal(0, 0.3, (2, rounds, 1)))
        base = np.median(30 * machine[0] * np.exp(rng.normal(0, 0.1, (rounds, 5))), axis=1)
        for kind, make, state in (("in turn", ratio_in_turn, machine[0]), ("apart", ratio_apart, machine[1])):
            this = np.median(20 * state * np.exp(rng.normal(0, 0.1, (rounds, 5))), axis=1)
            found = make(base, this, rng)
            hits[kind] += found.low <= 1.5 <= found.high
    for kind in ("in turn", "apart"):
        assert 0.91 <= hits[kind] / experiments <= 0.99, hits


def test_an_interval_around_one_decides_nothing() -> None:
    assert not Ratio(1.01, 0.98, 1.03, 20, "").decided
    assert Ratio(0.9, 0.85, 0.97, 20, "").decided


def test_burst_and_sustained() -> None:
    at_s = np.arange(0, 9, 0.5)
    latency_ms = np.where(at_s < 2, 10.0, np.where(at_s < 6, 999.0, 13.0))
    found = steadiness(at_s, latency_ms, 9.0)
    assert found is not None
    assert (found.burst_ms, found.sustained_ms, found.slowdown) == (10, 13, 1.3)
    assert steadiness(at_s, latency_ms, 2.9) is None, "the last third would begin in the first two seconds"
