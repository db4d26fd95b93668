"""The car's own bonnet, which many cameras see along the lower edge: the road begins above it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_HIGHEST = 0.2
"""A bonnet ends within this share of the picture's height from below."""
_SLACK = 0.02
"""By so much of the height its edge may waver from frame to frame."""
_RISE_S = 10.0
"""What stands before the car for so long, and is no higher than `_HIGHEST`, is taken for the bonnet."""


class Bonnet:
    """Learns for each column how high the bonnet is: as high as what was never gone in the last seconds.

    A bonnet begins at the lower edge of the picture, ends within its lowest fifth, and road comes above it. It may be
    labelled as anything but a person or the ground beside the road. At the first frame all such things are taken for
    it. When something is lower, or gone, what is learned falls at once; it rises again within ten seconds. So a box
    that comes before the car does block the road, until it has been there for some seconds.
    """

    def __init__(self) -> None:
        self._height: NDArray[np.float64] | None = None
        self._size: tuple[int, ...] = ()
        self._time_s = 0.0

    @staticmethod
    def rows(rows: int) -> int:
        """Of so many rows those that are looked at, from below."""
        return max(1, round(_HIGHEST * rows)) + 1

    def __call__(
        self, road: NDArray[np.bool_], other: NDArray[np.bool_], time_s: float, size: tuple[int, ...]
    ) -> NDArray[np.int64]:
        """bool (`rows`, M) of a picture of this `size`, lowest row first → int64 (M,): the first row above the bonnet.

        `road` is where the road is, `other` where something is that no bonnet is labelled as.
        """
        limit = len(road) - 1
        first = np.where(road.any(axis=0), road.argmax(axis=0), 0)
        below = np.arange(len(road))[:, np.newaxis] < first
        first[(other & below).any(axis=0)] = 0
        if self._height is None or self._size != size:
            self._height = first.astype(np.float64)
        else:
            risen = self._height + limit / _RISE_S * max(0.0, time_s - self._time_s)
            self._height = np.minimum(first, risen)
        self._size, self._time_s = size, time_s
        slack = _SLACK / _HIGHEST * limit
        return np.where(first <= self._height + slack, first, 0)
