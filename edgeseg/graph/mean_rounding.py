"""Rounding a convolution's weights to float16 so that what it puts out keeps its mean.

To nearest, each weight is off by up to half a step at random; but the inputs of a convolution are mostly positive
(behind a ReLU), so the errors of one output channel add up to a shift of that whole channel, the same in every pixel.
Later layers amplify it: measured on the default network, rounded weights cost more classes than rounded activations.
Here some weights go to their other neighbour instead, chosen so that the expected shift vanishes. Data-aware rounding
is known from INT8 (Nagel et al., "Up or Down? Adaptive Rounding", ICML 2020); keeping the mean is its simplest case.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def round_keeping_means(
    weights: NDArray[np.float32], bias: NDArray[np.float32] | None, input_means: NDArray[np.float32], groups: int
) -> NDArray[np.float16]:
    """Weights (C_out, C_in / groups, kh, kw) of a convolution → float16, each to one of its two neighbours.

    `input_means` (C_in) is the mean of each input channel. `bias` (C_out) is rounded to nearest by the caller; what
    that does to the mean is made up for here as well.
    """
    channels_out, per_group = weights.shape[:2]
    exact = weights.astype(np.float64).reshape(channels_out, -1)
    nearest = exact.astype(np.float16)
    towards = np.where(nearest > exact, -np.inf, np.inf).astype(np.float16)
    with np.errstate(over="ignore"):  # beside the largest float16 lies infinity, which is never chosen
        other = np.nextafter(nearest, towards)
    taps = weights[0, 0].size
    means_by_group = input_means.astype(np.float64).reshape(groups, per_group).repeat(taps, axis=1)
    means = means_by_group.repeat(channels_out // groups, axis=0)
    shift = ((nearest - exact) * means).sum(axis=1)
    if bias is not None:
        shift += bias.astype(np.float16).astype(np.float64) - bias
    rounded = nearest.copy()
    for channel in range(channels_out):
        flips = _flips(exact[channel], nearest[channel], other[channel], means[channel], float(shift[channel]))
        rounded[channel, flips] = other[channel, flips]
    return np.asarray(rounded.reshape(weights.shape), np.float16)


def _flips(
    exact: NDArray[np.float64],
    nearest: NDArray[np.float16],
    other: NDArray[np.float16],
    means: NDArray[np.float64],
    shift: float,
) -> NDArray[np.intp]:
    """Indices of the weights of one output channel that go to their other neighbour."""
    with np.errstate(invalid="ignore"):
        gain = (other.astype(np.float64) - nearest) * means
    # What float16 can hold exactly stays: zeros above all.
    useful = np.flatnonzero((gain * shift < 0) & np.isfinite(gain) & (exact != nearest))
    # Those first that are nearly halfway between their neighbours: there the other one is as good.
    cost = np.abs(other[useful] - exact[useful]) - np.abs(nearest[useful] - exact[useful])
    order = useful[np.argsort(cost, kind="stable")]
    left = np.abs(shift) - np.cumsum(np.abs(gain[order]))
    taken = int(np.count_nonzero(left > 0))
    chosen = order[:taken]
    rest = order[taken:]
    remaining = float(left[taken - 1]) if taken else abs(shift)
    if rest.size:
        # One more, the one that comes nearest to what is left.
        last = rest[np.argmin(np.abs(remaining - np.abs(gain[rest])))]
        if abs(remaining - abs(gain[last])) < remaining:
            chosen = np.append(chosen, last)
    return chosen
