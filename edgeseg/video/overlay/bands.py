"""A picture in bands of rows, each so small that it stays in the processor's cache from one step to the next."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.types import UNKNOWN, Frame, Labels

_HATCH: int = 215
"""Grey of the lines over what is unknown."""
_BAND_BYTES = 192 * 1024
"""Size of a band of the picture; with the buffers beside it, it stays in an L2 cache of 1 MiB, where 1280×720, 2.7 MB,
would go through memory once for each step. Bands of a quarter are a third slower: each costs a dozen calls."""
_FEW_RUNS = 3
"""Up to so many runs of ids, range checks are faster than a table."""

Runs = tuple[tuple[int, int], ...]
"""Ids as runs without a gap, ascending: first and last of each."""


@dataclass(frozen=True, slots=True)
class Band:
    """Rows of the labels that are looked at, `first` to before `last`, and of the picture, `step` times as many."""

    first: int
    last: int
    step: int

    @property
    def coarse(self) -> slice:
        """The band's rows of the labels."""
        return slice(self.first, self.last)

    @property
    def fine(self) -> slice:
        """The band's rows of the picture; where the last row of labels has but one, one too many."""
        return slice(self.first * self.step, self.last * self.step)

    def split(self, rows: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        """The band of a picture as views, in each of which every row has a row of the labels to itself."""
        return [rows[offset :: self.step] for offset in range(self.step) if offset < len(rows)]


class Buffers:
    """Memory for one band, kept between frames: to allocate it each time costs as much as filling it."""

    def __init__(self, size_hw: tuple[int, int], step: int) -> None:
        self.size_hw = size_hw
        height, width = size_hw
        rows = max(1, _BAND_BYTES // (3 * width * step))
        shape = (rows, width)
        self._reach_x = max(1, round(height / 400))
        self._reach_y = max(1, round(self._reach_x / step))
        coarse_height = -(-height // step)
        self.bands = tuple(
            Band(first, min(coarse_height, first + rows), step) for first in range(0, coarse_height, rows)
        )
        self._wide = np.empty(shape, np.int32)
        self._wide_bytes = self._wide.view(np.uint8).reshape(*shape, 4)
        self._colours = np.empty((*shape, 3), np.uint8)
        self._mask = np.empty(shape, np.uint8)
        self._run = np.empty(shape, np.uint8)
        self._borders = np.empty(shape, np.uint8)
        self._steps = np.empty((rows + self._reach_y, width), np.uint8)
        self._stripes: NDArray[np.uint8] | None = None
        self._hatch = np.full((*shape, 3), _HATCH, np.uint8)

    def look_up(self, labels: Labels, table: NDArray[np.uint8]) -> Frame:
        """Labels uint8 (n, W) → their entries in `table`, uint8 (256, 4), without the fourth byte: uint8 (n, W, 3).

        All four bytes at once, as one int32, and then three of them: a third faster than cv2.applyColorMap.
        """
        count = len(labels)
        cv2.LUT(labels, table.view(np.int32), self._wide[:count])
        colours = self._colours[:count]
        cv2.cvtColor(self._wide_bytes[:count], cv2.COLOR_BGRA2BGR, colours)
        return colours

    def bare(self, labels: Labels, runs: Runs, table: NDArray[np.uint8], highest: int) -> tuple[Labels | None, bool]:
        """uint8 (n, W): 255 where nothing is drawn, or `None` where all is; and whether nothing at all is drawn.

        `runs` and `table`, 255 for each, are the ids that are not drawn. No label is above `highest`.
        """
        near = [(first, last) for first, last in runs if first <= highest]
        if not near:
            return None, False
        mask, run = self._mask[: len(labels)], self._run[: len(labels)]
        if len(near) > _FEW_RUNS:
            cv2.LUT(labels, table, mask)
        else:  # a range check is vectorised, a look-up in a table is not
            cv2.inRange(labels, *near[0], mask)
            for first, last in near[1:]:
                cv2.inRange(labels, first, last, run)
                cv2.bitwise_or(mask, run, mask)
        count = cv2.countNonZero(mask)
        return (mask, count == mask.size) if count else (None, False)

    def borders(self, coarse: Labels, band: Band) -> Labels:
        """uint8 (n, W): not 0 where a pixel a few steps to the left, right, above or below has another class.

        `coarse` are the labels of the whole picture, for the neighbours lie outside the band too.
        """
        rows, count, reach = coarse[band.coarse], band.last - band.first, self._reach_x
        borders = self._borders[:count]
        borders[:] = 0
        if reach < rows.shape[1]:
            other = np.bitwise_xor(rows[:, :-reach], rows[:, reach:], out=self._run[:count, :-reach])
            borders[:, :-reach] = other
            borders[:, reach:] |= other
        reach = self._reach_y
        first, last = max(0, band.first - reach), min(len(coarse) - reach, band.last)
        if first < last:
            above, below = coarse[first:last], coarse[first + reach : last + reach]
            other = np.bitwise_xor(above, below, out=self._steps[: last - first])
            lower = borders[first + reach - band.first :]
            lower |= other[: len(lower)]
            upper = other[band.first - first :]
            borders[: len(upper)] |= upper
        return borders

    def hatch(self, labels: Labels, band: Band, picture: Frame) -> int:
        """Draw stripes over what is unknown in the band of `picture`, and tell how many pixels of `labels` that are."""
        mask = cv2.inRange(labels, UNKNOWN, UNKNOWN, self._mask[: len(labels)])
        count = cv2.countNonZero(mask)
        if count:
            stripes = band.split(self._all_stripes()[band.fine])
            for part, lines in zip(band.split(picture[band.fine]), stripes, strict=True):
                here = cv2.bitwise_and(mask[: len(part)], lines, self._run[: len(part)])
                cv2.copyTo(self._hatch[: len(part)], here, part)
        return count

    def _all_stripes(self) -> NDArray[np.uint8]:
        """uint8 (H, W): 255 on slanting lines, made when they are first needed."""
        if self._stripes is None:
            height, width = self.size_hw
            apart = max(6, round(height / 60))
            down = np.arange(height)[:, np.newaxis] + np.arange(width)
            self._stripes = np.where(down % apart < max(1, apart // 6), 255, 0).astype(np.uint8)
        return self._stripes
