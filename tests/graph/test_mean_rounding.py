"""Rounding that keeps means: neighbours only, exact values untouched, and a shift that vanishes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeseg.graph.mean_rounding import round_keeping_means

Array = NDArray[np.float32]


def _case(groups: int, seed: int = 0) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, 0.3, (8, 12 // groups, 3, 3)).astype(np.float32)
    return weights, rng.normal(0, 2, 8).astype(np.float32), rng.uniform(0, 3, 12).astype(np.float32)


def _shift(weights: Array, rounded: NDArray[np.float16], bias: Array, means: Array, groups: int) -> NDArray[np.float64]:
    """Change of each output channel's mean, for an input that has its means everywhere."""
    per_output = np.stack([part for part in means.reshape(groups, -1) for _ in range(8 // groups)])
    error = rounded.astype(np.float64) - weights
    rounded_bias = bias.astype(np.float16).astype(np.float64)
    return np.asarray((error * per_output[:, :, None, None]).sum((1, 2, 3)) + rounded_bias - bias)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_the_mean_of_every_channel_is_kept_far_better_than_by_rounding_to_nearest(groups: int) -> None:
    weights, bias, means = _case(groups)
    kept = _shift(weights, round_keeping_means(weights, bias, means, groups), bias, means, groups)
    nearest = _shift(weights, weights.astype(np.float16), bias, means, groups)
    assert np.abs(kept).max() < np.abs(nearest).max() / 10
    assert (np.abs(kept) <= np.abs(nearest)).all()


def test_a_weight_goes_to_one_of_its_two_neighbours() -> None:
    weights, bias, means = _case(1)
    rounded = round_keeping_means(weights, bias, means, 1).astype(np.float64)
    nearest = weights.astype(np.float16)
    step = np.spacing(np.abs(nearest)).astype(np.float64)
    assert (np.abs(rounded - weights) < step).all()
    changed = rounded != nearest
    assert 0 < changed.mean() < 0.3


def test_what_float16_holds_exactly_stays() -> None:
    weights, bias, means = _case(1)
    weights[:, :6] = weights[:, :6].astype(np.float16)
    weights[:, 0] = 0.0
    rounded = round_keeping_means(weights, bias, means, 1)
    np.testing.assert_array_equal(rounded[:, :6], weights[:, :6])


def test_channels_that_are_always_zero_change_nothing() -> None:
    weights, _, means = _case(1)
    rounded = round_keeping_means(weights, None, np.zeros_like(means), 1)
    np.testing.assert_array_equal(rounded, weights.astype(np.float16))


def test_the_largest_float16_is_not_rounded_to_infinity() -> None:
    weights = np.full((1, 2, 1, 1), 65500.0, np.float32)
    weights[0, 1] = 65510.0
    rounded = round_keeping_means(weights, None, np.array([1.0, 1.0], np.float32), 1)
    assert np.isfinite(rounded).all()
