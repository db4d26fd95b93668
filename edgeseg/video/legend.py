"""The panel in a picture's corner: a line of status, and each class with its colour and share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edgeseg.labels import Rgb
from edgeseg.types import Frame, Labels

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_WHITE, _DIM = (255, 255, 255), (150, 150, 150)
_PANEL_LIGHT = 0.3
"""How much of the picture's light the panel lets through: text stays readable over sky and headlights."""
_MAX_PANEL = 0.85
"""Share of the picture's height that the panel may take."""
_ALL_UP_TO = 12
"""So many classes are all listed, present or not: a list that does not jump is easier to read."""
_SAMPLED_ROWS = 90
"""Rows on which shares are counted, evenly spread: exact enough for whole per cent, in an eighth of the time at 720."""
_DIM_BELOW = 0.0005
"""Share below which a class counts as absent."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A class in the legend."""

    index: int
    name: str
    colour: Rgb


@dataclass(frozen=True, slots=True)
class _Layout:
    """Sizes in pixels, all from the picture's height."""

    scale: float
    thickness: int
    line: int
    margin: int
    name_width: int
    share_width: int


def class_shares(labels: Labels) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """float64 (256,): the share of each id among the pixels of some 90 rows."""
    sampled = labels[:: max(1, len(labels) // _SAMPLED_ROWS)]
    counts = cv2.calcHist([sampled], [0], None, [256], [0, 256])
    return np.asarray(counts, np.float64).reshape(256) / sampled.size


class Legend:
    """Draws the panel into pictures of any size, in letters that grow with their height."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = tuple(entries)
        self._layouts: dict[int, _Layout] = {}

    def draw(self, picture: Frame, labels: Labels | None, status: str) -> None:
        """Draw the status into `picture`, BGR uint8 (H, W, 3), and if there are `labels` each class with its share."""
        layout = self._layout(picture.shape[0])
        entries = [] if labels is None else self._fitting(picture.shape[0], layout, labels, bool(status))
        status_width = cv2.getTextSize(status, _FONT, layout.scale, layout.thickness)[0][0]
        legend_width = layout.line + layout.name_width + layout.margin + layout.share_width
        lines = len(entries) + bool(status)
        if not lines:
            return
        width = 2 * layout.margin + max(status_width, legend_width if entries else 0)
        height = 2 * layout.margin + lines * layout.line
        edge = layout.margin
        panel = picture[edge : edge + height, edge : edge + width]
        if panel.size == 0:  # a picture smaller than the margin
            return
        panel[:] = cv2.convertScaleAbs(panel, alpha=_PANEL_LIGHT)
        left, right, top = layout.margin, panel.shape[1] - layout.margin, layout.margin
        if status:
            self._text(panel, status, left, top, layout, _WHITE)
            top += layout.line
        for entry, share in entries:
            self._row(panel, entry, share, left, right, top, layout)
            top += layout.line

    def _row(self, panel: Frame, entry: Entry, share: float, left: int, right: int, top: int, layout: _Layout) -> None:
        inset = max(1, layout.line // 6)
        red, green, blue = entry.colour
        corner, opposite = (left, top + inset), (left + layout.line - 3 * inset, top + layout.line - 1 - inset)
        cv2.rectangle(panel, corner, opposite, (blue, green, red), cv2.FILLED)
        ink = _WHITE if share >= _DIM_BELOW else _DIM
        self._text(panel, entry.name, left + layout.line, top, layout, ink)
        text = f"{share:.0%}" if share >= 0.005 or share < _DIM_BELOW else "<1%"
        text_width = cv2.getTextSize(text, _FONT, layout.scale, layout.thickness)[0][0]
        self._text(panel, text, right - text_width, top, layout, ink)

    @staticmethod
    def _text(panel: Frame, text: str, left: int, top: int, layout: _Layout, ink: tuple[int, int, int]) -> None:
        baseline = top + round(layout.line * 0.75)
        cv2.putText(panel, text, (left, baseline), _FONT, layout.scale, ink, layout.thickness, cv2.LINE_AA)

    def _layout(self, height: int) -> _Layout:
        if height not in self._layouts:
            line = max(13, round(height / 27))
            scale = line / 36
            thickness = max(1, round(scale * 1.6))
            widths = [cv2.getTextSize(entry.name, _FONT, scale, thickness)[0][0] for entry in self._entries]
            share_width = cv2.getTextSize("100%", _FONT, scale, thickness)[0][0]
            self._layouts[height] = _Layout(
                scale, thickness, line, max(4, line // 3), max(widths, default=0), share_width
            )
        return self._layouts[height]

    def _fitting(self, height: int, layout: _Layout, labels: Labels, status: bool) -> list[tuple[Entry, float]]:
        """Few classes all keep their place; of many, or where there is no room, the largest in the picture."""
        shares = class_shares(labels)
        rows = [(entry, float(shares[entry.index])) for entry in self._entries]
        room = max(0, int((height * _MAX_PANEL - 2 * layout.margin) // layout.line) - status)
        if len(rows) <= min(room, _ALL_UP_TO):
            return rows
        present = [row for row in rows if row[1] >= _DIM_BELOW]
        return sorted(present, key=lambda row: row[1], reverse=True)[:room]
