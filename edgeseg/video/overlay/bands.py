"""A picture in bands of rows, each so small that it stays in the processor's cache from one step to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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


class Table:
    """Colours by id, as they are looked up: the bytes of one pixel, or of two beside each other, as one number."""

    def __init__(self, colours_bgr: NDArray[np.uint8]) -> None:
        """From uint8 (256, 3)."""
        rows: NDArray[np.uint8] = np.zeros((256, 12), np.uint8)
        rows[:, :3] = rows[:, 4:7] = rows[:, 7:10] = colours_bgr
        # Numbers of eight bytes that OpenCV's table takes are float64; they are copied, never calculated with.
        self._one: NDArray[Any] = rows[:, :4].copy().view(np.int32)
        self._two: NDArray[Any] = rows[:, 4:].copy().view(np.float64)

    def of(self, step: int) -> NDArray[Any]:
        """(256, 1): for one pixel int32, for two float64; their last bytes, a quarter, are unused."""
        return self._one if step == 1 else self._two


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

    def split(self, rows: NDArray[Any]) -> list[NDArray[Any]]:
        """The band of a picture as views, in each of which every row has a row of the labels to itself."""
        return [rows[offset :: self.step] for offset in range(self.step) if offset < len(rows)]

    def cells(self, rows: Frame) -> NDArray[Any]:
        """Rows of a picture with as many columns as the labels: two pixels side by side are one, of three uint16."""
        units = rows.reshape(len(rows), -1).view(np.uint8 if self.step == 1 else np.uint16)
        return units.reshape(len(rows), -1, 3)


class Buffers:
    """Memory for one band, kept between frames: to allocate it each time costs as much as filling it.

    `step` is 1 or 2: so many rows and columns of the picture share one pixel of the labels.
    """

    def __init__(self, size_hw: tuple[int, int], step: int) -> None:
        self.size_hw = size_hw
        self.step = step
        height, width = size_hw
        self._coarse_hw = -(-height // step), width // step
        rows = max(1, _BAND_BYTES // (3 * width * step))
        shape = (rows, self._coarse_hw[1])
        self._reach = max(1, round(max(1, round(height / 400)) / step))
        self.bands = tuple(
            Band(first, min(self._coarse_hw[0], first + rows), step) for first in range(0, self._coarse_hw[0], rows)
        )
        unit: type[np.generic] = np.uint8 if step == 1 else np.uint16
        self._wide = np.empty(shape, np.int32 if step == 1 else np.float64)
        self._wide_units = self._wide.view(unit).reshape(*shape, 4)
        self._colour_units: NDArray[Any] = np.empty((*shape, 3), unit)
        self._colours = self._colour_units.view(np.uint8).reshape(rows, width, 3)
        self._mask = np.empty(shape, np.uint8)
        self._run = np.empty(shape, np.uint8)
        self._borders = np.empty(shape, np.uint8)
        self._steps = np.empty((rows + self._reach, shape[1]), np.uint8)
        self._stripes: NDArray[np.uint8] | None = None
        self._hatch = np.full((*shape, 3), _HATCH if step == 1 else _HATCH * 257, unit)

    def look_up(self, labels: Labels, table: Table) -> Frame:
        """Labels uint8 (n, W / step) → their colours in the `table`, uint8 (n, W, 3), each `step` times in its row.

        All bytes at once, as one number, and then three quarters of them: faster than cv2.applyColorMap and cv2.resize.
        """
        count = len(labels)
        cv2.LUT(labels, table.of(self.step), self._wide[:count])
        cv2.cvtColor(self._wide_units[:count], cv2.COLOR_BGRA2BGR, self._colour_units[:count])
        return self._colours[:count]

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
        rows, count, reach = coarse[band.coarse], band.last - band.first, self._reach
        borders = self._borders[:count]
        borders[:] = 0
        if reach < rows.shape[1]:
            other = cv2.bitwise_xor(rows[:, :-reach], rows[:, reach:], self._run[:count, :-reach])
            borders[:, :-reach] = other
            cv2.bitwise_or(borders[:, reach:], other, borders[:, reach:])
        first, last = max(0, band.first - reach), min(len(coarse) - reach, band.last)
        if first < last:
            above, below = coarse[first:last], coarse[first + reach : last + reach]
            other = cv2.bitwise_xor(above, below, self._steps[: last - first])
            lower = borders[first + reach - band.first :]
            cv2.bitwise_or(lower, other[: len(lower)], lower)
            upper = other[band.first - first :]
            cv2.bitwise_or(borders[: len(upper)], upper, borders[: len(upper)])
        return borders

    def hatch(self, labels: Labels, band: Band, picture: Frame) -> int:
        """Draw stripes over what is unknown in the band of `picture`, and tell how many pixels of `labels` that are."""
        mask = cv2.inRange(labels, UNKNOWN, UNKNOWN, self._mask[: len(labels)])
        count = cv2.countNonZero(mask)
        if count:
            cv2.bitwise_and(mask, self._all_stripes()[band.coarse], mask)
            for part in band.split(band.cells(picture[band.fine])):
                cv2.copyTo(self._hatch[: len(part)], mask[: len(part)], part)
        return count

    def _all_stripes(self) -> NDArray[np.uint8]:
        """uint8, as many rows and columns as the labels: 255 on slanting lines, made when they are first needed."""
        if self._stripes is None:
            height, width = self._coarse_hw
            apart = max(6, round(height / 60))
            down = np.arange(height)[:, np.newaxis] + np.arange(width)
            self._stripes = np.where(down % apart < max(1, apart // 6), 255, 0).astype(np.uint8)
        return self._stripes
