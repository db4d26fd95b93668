"""Where to clip a tensor, from the histogram of its values: percentile, entropy (Kullback-Leibler), squared error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeseg.quantize.histogram import BINS_PER_SIDE, Histogram

PERCENTILE = 99.99
"""The highest value kept is this percentile of all values, the lowest is 100 minus it."""

_ENTROPY_BINS, _ENTROPY_LEVELS = 2048, 128
"""S. Migacz, "8-bit Inference with TensorRT", GTC 2017: bins of |x| up to its largest, and levels of a signed byte."""
_ENTROPY_STEP = 8
"""Every eighth bin is tried as the last one kept, which finds the end to 0.4 % of the span in an eighth of the time."""

_STEPS = 255
"""Steps between the 256 values of a byte."""
_SHARES = np.linspace(0.02, 1.0, 99)
"""How much of the span is tried as an end."""
_ROUNDS = 3
"""Each end is searched with the other fixed; from the second round on little moves."""


def percentile_range(histogram: Histogram) -> tuple[float, float]:
    """(low, high): the 0.01th and the 99.99th percentile, interpolated within a bin."""
    total = histogram.total
    if total == histogram.zeros:
        return 0.0, 0.0
    counts = histogram.counts.astype(np.float64)
    below = counts[:BINS_PER_SIDE].sum()
    cumulative = np.concatenate([[0.0], np.cumsum(counts)])
    cut = total * (1 - PERCENTILE / 100)
    edges = histogram.edges()
    # Zeros lie between the two halves; an end is inside a half only where that half has more than is cut.
    low = float(np.interp(cut, cumulative, edges)) if cut < below else 0.0
    above = total - histogram.zeros - below
    high = float(np.interp(cumulative[-1] - cut, cumulative, edges)) if cut < above else 0.0
    return low, high


def entropy_range(histogram: Histogram) -> tuple[float, float]:
    """(-t, t) with the t at which 128 levels tell least less about |x| than the histogram does.

    The bins of |x| up to t, with all that lies beyond in the last one, are the distribution P; Q is the same bins
    merged to 128 levels, each level's mass spread evenly over those of its bins that are not empty. t minimises
    Σ P·log(P/Q). (Migacz, GTC 2017.) Zeros take no part: they are represented exactly whatever t is.
    """
    bins = _resampled(histogram)
    if not bins.any():
        return 0.0, 0.0
    last = int(np.flatnonzero(bins)[-1]) + 1
    used = float(np.flatnonzero(histogram.magnitudes())[-1] + 1) * histogram.width
    width = used / _ENTROPY_BINS
    if last <= _ENTROPY_LEVELS:
        return -used, used
    candidates = np.arange(_ENTROPY_LEVELS, _ENTROPY_BINS + 1, _ENTROPY_STEP)
    divergence = [_divergence(bins, int(count)) for count in candidates]
    # Bin m is the first that is clipped: its middle is what the last level stands for.
    kept = int(candidates[int(np.argmin(divergence))])
    threshold = min((kept + 0.5) * width, used)
    return -threshold, threshold


def mse_range(histogram: Histogram, lowest: float, highest: float) -> tuple[float, float]:
    """(low, high) between `lowest` and `highest` with the least expected squared error of an 8-bit quantiser.

    The error of a value inside is that of rounding to 255 even steps, step²/12; of one outside the distance to the end.
    """
    occupied = np.flatnonzero(histogram.counts)
    if not occupied.size:
        return 0.0, 0.0
    edges = histogram.edges()
    counts = histogram.counts[occupied].astype(np.float64)
    values = (edges[occupied] + edges[occupied + 1]) / 2
    lowest, highest = min(0.0, lowest), max(0.0, highest)
    low, high = lowest, highest
    for _ in range(_ROUNDS):
        high = _best_end(values, counts, highest * _SHARES, other=low)
        low = -_best_end(-values[::-1], counts[::-1], -lowest * _SHARES, other=-high)
    return low, high


def _best_end(
    values: NDArray[np.float64], counts: NDArray[np.float64], ends: NDArray[np.float64], *, other: float
) -> float:
    """The upper end, among `ends`, at which the values (ascending) have the least squared error; `other` is the lower.

    What lies below `other` is clipped there whatever the upper end is.
    """
    if not ends[-1] > 0:
        return 0.0
    first = int(np.searchsorted(values, other))
    values, counts = values[first:], counts[first:]
    # Σ c·(x - end)² over x > end, for all ends at once, from the sums of c, c·x and c·x² above each value.
    sums = [np.concatenate([np.cumsum((counts * values**power)[::-1])[::-1], [0.0]]) for power in range(3)]
    place = np.searchsorted(values, ends, side="right")
    count, first_moment, second_moment = (total[place] for total in sums)
    clipped = second_moment - 2 * ends * first_moment + ends**2 * count
    rounded = (sums[0][0] - count) * ((ends - other) / _STEPS) ** 2 / 12
    return float(ends[int(np.argmin(clipped + rounded))])


def _resampled(histogram: Histogram) -> NDArray[np.float64]:
    """|x| in 2048 bins from 0 to the end of its last bin that is not empty, counts shared out by overlap."""
    counts = histogram.magnitudes()
    occupied = np.flatnonzero(counts)
    if not occupied.size:
        return np.zeros(_ENTROPY_BINS)
    used = int(occupied[-1]) + 1
    cumulative = np.concatenate([[0.0], np.cumsum(counts[:used])])
    ends = np.linspace(0, used, _ENTROPY_BINS + 1)
    return np.diff(np.interp(ends, np.arange(used + 1), cumulative))


def _divergence(bins: NDArray[np.float64], kept: int) -> float:
    """Σ P·log(P/Q) of the first `kept` bins with the rest in the last, against the same in 128 levels."""
    inside = bins[:kept]
    reference = inside.copy()
    reference[-1] += bins[kept:].sum()
    starts = np.arange(_ENTROPY_LEVELS) * kept // _ENTROPY_LEVELS
    mass = np.add.reduceat(inside, starts)
    filled = np.add.reduceat((inside > 0).astype(np.float64), starts)
    level = np.divide(mass, filled, out=np.zeros_like(mass), where=filled > 0)
    spread = np.repeat(level, np.diff(np.append(starts, kept))) * (inside > 0)
    if not spread.any():
        return float("inf")
    p, q = reference / reference.sum(), spread / spread.sum()
    both = p > 0
    # The last bin may be empty inside and hold all that lies beyond: P without Q, which no finite divergence covers.
    if np.any(q[both] == 0):
        return float("inf")
    return float(np.sum(p[both] * np.log(p[both] / q[both])))
