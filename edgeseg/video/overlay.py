"""Labels over the frame: tinted or outlined classes, a legend with their shares, and a line of status."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ConfigError
from edgeseg.labels import LabelMap
from edgeseg.types import Frame, Labels
from edgeseg.video.banner import INVALID_FRAME, draw_banner
from edgeseg.video.colours import NOT_DRAWN, display_palette
from edgeseg.video.legend import Entry, Legend

MODES = ("blend", "outline", "labels", "off")
"""Classes tinted, classes outlined, classes without the camera picture, and the camera picture alone."""


class Overlay:
    """Paints labels over frames. `mode` is one of `MODES` and may be changed between frames.

    `classes` restricts what is drawn, and listed, to the classes named; `alpha` is the weight of the colours. `banner`
    is a line along the lower edge of every picture.
    """

    def __init__(
        self,
        label_map: LabelMap,
        *,
        alpha: float = 0.45,
        classes: Sequence[str] | None = None,
        mode: str = "blend",
        banner: str | None = None,
    ) -> None:
        if not 0 <= alpha <= 1:
            raise ConfigError(f"alpha={alpha} must lie between 0 (only the camera) and 1 (only the colours).")
        if mode not in MODES:
            raise ConfigError(f"overlay mode {mode!r} is unknown; choose one of: {', '.join(MODES)}.")
        named = classes if classes is not None else [name for name in label_map.names if name not in NOT_DRAWN]
        drawn = sorted(set(label_map.ids(named)))
        colours = display_palette(label_map)
        self.mode = mode
        self._banner = banner
        self._alpha = alpha
        self._colours = np.zeros((256, 4), np.uint8)  # BGR and an unused byte, see _look_up
        self._colours[drawn, :3] = np.array([colours[index][::-1] for index in drawn], np.uint8).reshape(-1, 3)
        self._weighted_colours = np.rint(self._colours * alpha).astype(np.uint8)
        self._drawn_runs = _runs(drawn)
        # Ids below this are all drawn, so that labels without void need no mask.
        self._all_drawn_below = len(label_map) if len(drawn) == len(label_map) else 0
        self._scratch = np.empty((0, 0, 3), np.uint8)
        self._legend = Legend([Entry(index, label_map.names[index], colours[index]) for index in drawn])

    def next_mode(self) -> None:
        """Switch to the mode after this one, in the order of `MODES`."""
        self.mode = MODES[(MODES.index(self.mode) + 1) % len(MODES)]

    def paint(self, frame_bgr: Frame, labels: Labels, status: str = "", *, valid: bool = True) -> Frame:
        """Frame BGR uint8 (H, W, 3) and its labels uint8 (H, W) → a new picture BGR uint8 (H, W, 3).

        A frame that is not `valid` has no classes, and the picture says so in red.
        """
        picture = self._paint(frame_bgr, labels, status)
        if not valid:
            draw_banner(picture, INVALID_FRAME, severe=True)
        elif self._banner is not None:
            draw_banner(picture, self._banner, severe=False)
        return picture

    def _paint(self, frame_bgr: Frame, labels: Labels, status: str) -> Frame:
        if frame_bgr.shape[:2] != labels.shape:
            raise ConfigError(f"a frame of {frame_bgr.shape[:2]} and labels of {labels.shape} do not belong together.")
        if self.mode == "off":
            picture: Frame = frame_bgr.copy()
            self._legend.draw(picture, None, status)
            return picture
        mask = self._drawn_mask(labels)
        rows = slice(0, len(labels)) if mask is None else _rows_with_any(mask)
        picture = np.empty_like(frame_bgr)
        for untouched in (slice(0, rows.start), slice(rows.stop, None)):
            picture[untouched] = 0 if self.mode == "labels" else frame_bgr[untouched]
        if rows.start < rows.stop:
            self._paint_rows(frame_bgr[rows], labels[rows], None if mask is None else mask[rows], picture[rows])
        self._legend.draw(picture, labels, status)
        return picture

    def _paint_rows(self, frame_bgr: Frame, labels: Labels, mask: Labels | None, out: Frame) -> None:
        if self.mode == "labels":
            _look_up(labels, self._colours, out)
        elif self.mode == "outline":
            borders = _borders(labels)
            out[:] = frame_bgr
            cv2.copyTo(
                _look_up(labels, self._colours, self._buffer(out)),
                borders if mask is None else cv2.bitwise_and(borders, mask),
                out,
            )
        else:
            # With the colours weighted beforehand this takes three quarters of the time of cv2.addWeighted.
            cv2.convertScaleAbs(frame_bgr, out, 1 - self._alpha)
            cv2.add(out, _look_up(labels, self._weighted_colours, self._buffer(out)), out)
            if mask is not None:
                cv2.copyTo(frame_bgr, cv2.bitwise_not(mask), out)

    def _buffer(self, like: Frame) -> Frame:
        """Memory that is kept between frames: to allocate it each time costs as much as filling it."""
        if self._scratch.shape != like.shape:
            self._scratch = np.empty_like(like)
        return self._scratch

    def _drawn_mask(self, labels: Labels) -> Labels | None:
        """uint8 mask of the pixels whose class is drawn, or `None` where all are: 255 drawn, 0 not."""
        if labels.max() < self._all_drawn_below:
            return None
        mask = np.zeros_like(labels)
        for first, last in self._drawn_runs:  # a range check is vectorised, a look-up in a table is not
            cv2.bitwise_or(mask, cv2.inRange(labels, first, last), mask)
        return mask


def _look_up(labels: Labels, table: NDArray[np.uint8], out: Frame) -> Frame:
    """Labels uint8 (H, W) → their entries in `table`, uint8 (256, 4), without the fourth byte, written to `out`.

    All four bytes at once, as one int32, and then three of them: a third faster than cv2.applyColorMap.
    """
    wide = cv2.LUT(labels, table.view(np.int32)).view(np.uint8).reshape(*labels.shape, 4)
    cv2.cvtColor(wide, cv2.COLOR_BGRA2BGR, out)
    return out


def _rows_with_any(mask: Labels) -> slice:
    """The rows of `mask` from the first to the last with a pixel set: elsewhere there is nothing to paint."""
    _, top, _, height = cv2.boundingRect(mask)
    return slice(top, top + height)


def _borders(labels: Labels) -> Labels:
    """uint8 mask of the pixels near another class, as wide as the picture's height asks for."""
    width = 2 * max(1, round(len(labels) / 400)) + 1
    return np.asarray(cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, np.ones((width, width), np.uint8)), np.uint8)


def _runs(ids: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending ids as runs without a gap, each with its first and last."""
    runs: list[tuple[int, int]] = []
    for index in ids:
        if runs and runs[-1][1] == index - 1:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    return runs
