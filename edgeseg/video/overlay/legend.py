"""The panel in a picture's corner: a line of status, and each class with its colour and share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edgeseg.labels import Rgb
from edgeseg.types import Frame, Labels
from edgeseg.video.overlay.letters import DIM, WHITE, Letters
from edgeseg.video.overlay.panel import darken

_MAX_PANEL = 0.85
"""Share of the picture's height that the panel may take."""
_ALL_UP_TO = 12
"""So many classes are all listed, present or not: a list that does not jump is easier to read."""
_DIM_BELOW = 0.0005
"""Share below which a class counts as absent."""
_FAINT = 50
"""What is darker than this in a row's letters, their edges, is left to the panel."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A class in the legend, and its name in `Scene.shares`."""

    name: str
    colour: Rgb


Row = tuple[Entry, float]
"""A class with its share of the picture, 0 to 1."""


class Legend:
    """Draws the panel into pictures of any size, in letters that grow with their height."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = tuple(entries)
        self._sheet = _Sheet()

    def draw(
        self, picture: Frame, status: str, shares: Mapping[str, float] | None = None, unknown: Row | None = None
    ) -> int:
        """Draw the status into `picture`, BGR uint8 (H, W, 3), and with `shares`, by name, each class with its own.

        `unknown` stands below them. Returns the column in which the panel ends, 0 if there is none.
        """
        height, width = map(int, picture.shape[:2])
        letters = Letters.for_height(height)
        line, margin = letters.line, letters.margin
        rows = [] if shares is None else self._fitting(height, letters, shares, bool(status), unknown)
        if not rows and not status:
            return 0
        names = max((letters.width(entry.name) for entry, _ in rows), default=0)
        listed = line + names + margin + letters.width("100%") if rows else 0
        right = min(width, margin + 2 * margin + max(letters.width(status), listed))
        panel = darken(picture, margin, margin, right, margin + 2 * margin + (len(rows) + bool(status)) * line)
        top = margin
        if status:
            letters.lighten(panel, status, margin, top)
            top += line
        sheet = self._sheet.of(letters, max(1, right - 3 * margin), [(entry, _percent(share)) for entry, share in rows])
        place = panel[top:, margin:]
        hw = min(len(place), len(sheet.image)), min(place.shape[1], sheet.image.shape[1])
        if min(hw) > 0:
            cv2.copyTo(sheet.image[: hw[0], : hw[1]], sheet.mask[: hw[0], : hw[1]], place[: hw[0], : hw[1]])
        return right

    def _fitting(
        self, height: int, letters: Letters, shares: Mapping[str, float], status: bool, unknown: Row | None
    ) -> list[Row]:
        """Few classes all keep their place; of many, or where there is no room, the largest in the picture."""
        last = [] if unknown is None else [unknown]
        rows = [(entry, shares.get(entry.name, 0.0)) for entry in self._entries]
        room = max(0, int((height * _MAX_PANEL - 2 * letters.margin) // letters.line) - status - len(last))
        if len(rows) > min(room, _ALL_UP_TO):
            present = [row for row in rows if row[1] >= _DIM_BELOW]
            rows = sorted(present, key=lambda row: row[1], reverse=True)[:room]
        return rows + last


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 or share < _DIM_BELOW else "<1%"


class _Sheet:
    """The rows as they were drawn last: of the next picture's, only those that differ are drawn anew."""

    def __init__(self) -> None:
        self.image: Frame = np.zeros((0, 0, 3), np.uint8)
        """uint8 (rows · line, width, 3): swatch, name, share, and a bar as long as the share, on black."""
        self.mask: Labels = np.zeros((0, 0), np.uint8)
        """uint8 (rows · line, width): not 0 for what of it is copied into the panel."""
        self._drawn: list[tuple[Entry, str] | None] = []

    def of(self, letters: Letters, width: int, rows: Sequence[tuple[Entry, str]]) -> _Sheet:
        """The sheet with these rows: classes and their percentages."""
        line = letters.line
        if self.mask.shape != (line * len(rows), width) or len(self._drawn) != len(rows):
            self.image = np.zeros((line * len(rows), width, 3), np.uint8)
            self.mask = np.zeros((line * len(rows), width), np.uint8)
            self._drawn = [None] * len(rows)
        for index, row in enumerate(rows):
            if self._drawn[index] != row:
                place = slice(index * line, (index + 1) * line)
                _draw_row(self.image[place], *row, letters)
                blue, green, red = np.moveaxis(self.image[place], 2, 0)
                np.greater(blue | green | red, _FAINT, out=self.mask[place].view(np.bool_))
                self._drawn[index] = row
        return self


def _draw_row(image: Frame, entry: Entry, percent: str, letters: Letters) -> None:
    line, width = image.shape[:2]
    image[:] = 0
    inset = max(1, line // 6)
    red, green, blue = entry.colour
    bar = 0 if percent == "<1%" else (width - line) * int(percent[:-1]) // 100
    if bar:
        cv2.rectangle(image, (line, line - max(1, line // 10)), (line + bar - 1, line - 1), (blue, green, red), -1)
    cv2.rectangle(image, (0, inset), (line - 3 * inset, line - 1 - inset), (blue, green, red), cv2.FILLED)
    ink = DIM if percent == "0%" else WHITE
    letters.lighten(image, entry.name, line, 0, ink)
    letters.lighten(image, percent, width - letters.width(percent), 0, ink)
