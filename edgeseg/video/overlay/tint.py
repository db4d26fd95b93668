"""Labels as colours over the frame: tinted, outlined, or alone; hatched where the class is unknown."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.labels import Rgb
from edgeseg.types import UNKNOWN, Frame, Labels
from edgeseg.video.overlay.bands import Band, Buffers, Runs, Table

UNKNOWN_RGB: Rgb = (150, 150, 150)
_FINE_BELOW = 720
"""From so many rows on, colours are looked up on every second row and column: the networks' own labels are coarser."""


@dataclass(frozen=True, slots=True)
class Palette:
    """Which ids are drawn and in which colour, as tables."""

    colours: Table
    weighted: Table
    """The same times alpha."""
    runs: Runs
    """The ids that are not drawn, as runs without a gap: first and last."""
    table: NDArray[np.uint8]
    """uint8 (256,): 255 for each of them."""

    @staticmethod
    def of(drawn: dict[int, Rgb], alpha: float) -> Palette:
        """Id → colour, and the weight of the colours. What is unknown is always drawn."""
        shown = {**drawn, UNKNOWN: UNKNOWN_RGB}
        colours, table = np.zeros((256, 3), np.uint8), np.full(256, 255, np.uint8)
        for index, (red, green, blue) in shown.items():
            colours[index] = blue, green, red
            table[index] = 0
        weighted = np.rint(colours * alpha).astype(np.uint8)
        return Palette(Table(colours), Table(weighted), _runs(np.flatnonzero(table).tolist()), table)


class Tint:
    """Paints frames by their labels; keeps its buffers, so it is for one thread at a time."""

    def __init__(self, alpha: float) -> None:
        self._alpha = alpha
        self._buffers = Buffers((1, 1), 1)

    def paint(self, frame_bgr: Frame, labels: Labels, palette: Palette, mode: str) -> tuple[Frame, float]:
        """Frame BGR uint8 (H, W, 3) and labels uint8 (H, W) → a new picture, and the share of what is unknown in it."""
        height, width = labels.shape
        step = 2 if height >= _FINE_BELOW and width % 2 == 0 else 1
        coarse = labels if step == 1 else _every_second(labels)
        buffers = self._buffers_for((height, width), step)
        picture = np.empty_like(frame_bgr)
        unknown = 0
        highest = int(coarse.max(initial=0))
        for band in buffers.bands:
            rows = coarse[band.coarse]
            # Where a few pixels are unknown, the bands without them still need no masks.
            highest_here = highest if highest < UNKNOWN else int(rows.max())
            bare, empty = None, False
            if mode != "labels":  # there, what is not drawn is black in the table already
                bare, empty = buffers.bare(rows, palette.runs, palette.table, highest_here)
            if empty:
                picture[band.fine] = frame_bgr[band.fine]
            else:
                self._paint_band(frame_bgr, coarse, band, palette, mode, bare, picture)
            if highest_here >= UNKNOWN:
                unknown += buffers.hatch(rows, band, picture)
        return picture, unknown / max(1, coarse.size)

    def _paint_band(
        self,
        frame_bgr: Frame,
        coarse: Labels,
        band: Band,
        palette: Palette,
        mode: str,
        bare: Labels | None,
        picture: Frame,
    ) -> None:
        source, out, buffers = frame_bgr[band.fine], picture[band.fine], self._buffers
        if mode == "labels":
            colours = buffers.look_up(coarse[band.coarse], palette.colours)
            for part in band.split(out):
                part[:] = colours[: len(part)]
        elif mode == "outline":
            out[:] = source
            colours = buffers.look_up(coarse[band.coarse], palette.colours)
            borders = buffers.borders(coarse, band)
            if bare is not None:
                cv2.subtract(borders, bare, borders)  # 0 wherever the mask is 255
            cells = band.cells(colours)
            for part in band.split(band.cells(out)):
                cv2.copyTo(cells[: len(part)], borders[: len(part)], part)
        else:
            # With the colours weighted beforehand this is faster than cv2.addWeighted.
            cv2.convertScaleAbs(source, out, 1 - self._alpha)
            colours = buffers.look_up(coarse[band.coarse], palette.weighted)
            for part in band.split(out):
                cv2.add(part, colours[: len(part)], part)
            if bare is not None:
                for part, plain in zip(band.split(band.cells(out)), band.split(band.cells(source)), strict=True):
                    cv2.copyTo(plain, bare[: len(part)], part)

    def _buffers_for(self, size_hw: tuple[int, int], step: int) -> Buffers:
        if self._buffers.size_hw != size_hw:
            self._buffers = Buffers(size_hw, step)
        return self._buffers


def _every_second(labels: Labels) -> Labels:
    """uint8 (H, W), W even → every second row and column: the low byte of two is faster than a stride of two."""
    rows = labels[::2]
    if rows.strides[1] != 1:
        rows = np.ascontiguousarray(rows)
    return np.asarray(rows.view("<u2").astype(np.uint8), np.uint8)


def _runs(ids: list[int]) -> Runs:
    """Ascending ids as runs without a gap, each with its first and last."""
    runs: list[tuple[int, int]] = []
    for index in ids:
        if runs and runs[-1][1] == index - 1:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    return tuple(runs)
