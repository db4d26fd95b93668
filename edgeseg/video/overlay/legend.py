"""The panel in a picture's corner: a line of status, and each class with its colour and share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

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
_KEPT = 192
"""Rows kept, each for a class and a percentage: those of a drive, in 2.5 MB at 1280×720."""


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
        for entry, share in rows:
            image, mask = _row(entry, _percent(share), letters, max(1, right - 3 * margin))
            place = panel[top : top + line, margin : margin + image.shape[1]]
            if place.size:
                cv2.copyTo(image[: len(place), : place.shape[1]], mask[: len(place), : place.shape[1]], place)
            top += line
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


@lru_cache(_KEPT)
def _row(entry: Entry, percent: str, letters: Letters, width: int) -> tuple[Frame, Labels]:
    """Swatch, name and share in one line, over a bar as long as the share, on black: uint8 (line, width, 3).

    With it uint8 (line, width): 255 for what of it is copied into the panel. Both are shared: not to be written to.
    """
    line = letters.line
    image: Frame = np.zeros((line, width, 3), np.uint8)
    inset = max(1, line // 6)
    red, green, blue = entry.colour
    bar = 0 if percent == "<1%" else (width - line) * int(percent[:-1]) // 100
    if bar:
        cv2.rectangle(image, (line, line - max(1, line // 10)), (line + bar - 1, line - 1), (blue, green, red), -1)
    cv2.rectangle(image, (0, inset), (line - 3 * inset, line - 1 - inset), (blue, green, red), cv2.FILLED)
    ink = DIM if percent == "0%" else WHITE
    letters.lighten(image, entry.name, line, 0, ink)
    letters.lighten(image, percent, width - letters.width(percent), 0, ink)
    return image, np.where(image.max(axis=2) > _FAINT, np.uint8(255), np.uint8(0))
