"""A histogram of fixed size for values of unknown span: it widens by merging pairs of bins, and loses no count."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS_PER_SIDE = 8192
"""Bins on either side of zero. At least half of one side is in use, so a bin is at most 1/4096 of the peak."""

_LEAST_EXPONENT = -100
"""Smaller peaks share one grid: 2^-100 is zero to any network, and its bins still are normal float32 numbers."""


class Histogram:
    """Counts of values in bins k·w ≤ x < (k+1)·w, k from -8192 to 8191; zeros are counted apart.

    The width w is a power of two, and 0 an edge: doubling w merges pairs of bins exactly, so the counts are those that
    the last width would have given from the start, in whatever order the values came.
    """

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(2 * BINS_PER_SIDE, np.int64)
        """(16384) from the lowest bin to the highest."""
        self.zeros = 0
        """Values that are exactly zero, as half of those after a ReLU: every quantiser here represents them exactly."""
        self._exponent: int | None = None

    @property
    def width(self) -> float:
        """Width of a bin; 0 before any value other than zero."""
        return 0.0 if self._exponent is None else math.ldexp(1.0 / BINS_PER_SIDE, self._exponent)

    @property
    def total(self) -> int:
        """Values counted, zeros included."""
        return int(self.counts.sum()) + self.zeros

    def add(self, values: NDArray[np.floating[Any]], peak: float) -> None:
        """Count finite values (N), whose magnitudes are at most `peak`."""
        if peak == 0:
            self.zeros += values.size
            return
        # peak < 2^exponent, also where it is a power of two itself: the highest bin is open at its end.
        self._widen(max(_LEAST_EXPONENT, math.frexp(peak)[1]))
        places = np.floor(values.astype(np.float32, copy=False) * np.float32(1.0 / self.width)).astype(np.int32)
        counts = np.bincount(places + BINS_PER_SIDE, minlength=2 * BINS_PER_SIDE)
        zeros = values.size - int(np.count_nonzero(values))
        counts[BINS_PER_SIDE] -= zeros
        self.counts += counts
        self.zeros += zeros

    def edges(self) -> NDArray[np.float64]:
        """(16385) ends of the bins, ascending."""
        return np.asarray(np.arange(-BINS_PER_SIDE, BINS_PER_SIDE + 1) * self.width, np.float64)

    def magnitudes(self) -> NDArray[np.int64]:
        """(8192) counts of |x| in bins of the same width from 0 up, without zeros."""
        merged: NDArray[np.int64] = self.counts[BINS_PER_SIDE:] + self.counts[BINS_PER_SIDE - 1 :: -1]
        return merged

    def _widen(self, exponent: int) -> None:
        if self._exponent is None:
            self._exponent = exponent
        while self._exponent < exponent:
            pairs = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts[:] = 0
            half = BINS_PER_SIDE // 2
            self.counts[half : half + BINS_PER_SIDE] = pairs
            self._exponent += 1
