"""Letters in a size that fits the picture, each line of text rendered once and then copied."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from edgeseg.types import Frame

Bgr = tuple[int, int, int]

WHITE: Bgr = (255, 255, 255)
DIM: Bgr = (150, 150, 150)
BLACK: Bgr = (0, 0, 0)

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SMALLEST = 13
"""Height of a line in pixels below which letters cannot be told apart."""
_KEPT = 256
"""Rendered pieces of text kept: those that stay from picture to picture, and the last few of those that change."""
_PIECES = re.compile(r"\d|\D+")
"""Digits are rendered one by one: where only numbers change, nothing is rendered anew."""


@dataclass(frozen=True, slots=True)
class Letters:
    """Letters of one size. ASCII, as OpenCV's font: what is not is replaced by question marks."""

    line: int
    """Height of a line of text in pixels."""

    @staticmethod
    def for_height(height: int, size: float = 1.0) -> Letters:
        """For a picture of that height, `size` times as large as plain text.

        They grow more slowly than the picture: at 360 rows, on a phone, they are larger in proportion than at 1080.
        """
        return Letters(max(_SMALLEST, round(size * (8 + height / 50))))

    @property
    def margin(self) -> int:
        """Pixels around a text."""
        return max(4, self.line // 3)

    def width(self, text: str) -> int:
        """Pixels that a text takes."""
        return sum(_width(piece, self.line) for piece in _PIECES.findall(text))

    def fit(self, text: str, width: int) -> str:
        """The text, or as much of its beginning as fits into so many pixels, with dots at its end."""
        plain = _ascii(text)
        if self.width(plain) <= width:
            return plain
        length = len(plain)
        while length and self.width(plain[:length].rstrip() + "...") > width:
            length -= 1
        return plain[:length].rstrip() + "..." if length else ""

    def rendered(self, text: str, ink: Bgr = WHITE, paper: Bgr = BLACK) -> Frame:
        """BGR uint8 (line, width, 3): the text on its paper. It may be shared: it is not to be changed."""
        pieces = [_rendered(piece, self.line, ink, paper) for piece in _PIECES.findall(_ascii(text)) or [""]]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1)

    def lighten(self, picture: Frame, text: str, left: int, top: int, ink: Bgr = WHITE) -> None:
        """Write bright letters over a dark place of `picture`, BGR uint8 (H, W, 3); what lies outside is cut off."""
        image = self.rendered(text, ink)
        place = picture[max(0, top) : max(0, top + self.line), max(0, left) : max(0, left + image.shape[1])]
        if place.size:
            cv2.max(place, image[: place.shape[0], : place.shape[1]], place)


def _ascii(text: str) -> str:
    return text if text.isascii() else text.replace("…", "...").encode("ascii", "replace").decode()


def _strokes(line: int) -> tuple[float, int]:
    """Scale and thickness of the letters."""
    scale = line / 34
    return scale, max(1, round(scale * 1.7))


@lru_cache(8 * _KEPT)
def _width(text: str, line: int) -> int:
    return int(cv2.getTextSize(text, _FONT, *_strokes(line))[0][0])


@lru_cache(_KEPT)
def _rendered(text: str, line: int, ink: Bgr, paper: Bgr) -> Frame:
    image: Frame = np.empty((line, max(1, _width(text, line)), 3), np.uint8)
    image[:] = paper
    scale, thickness = _strokes(line)
    cv2.putText(image, text, (0, round(line * 0.75)), _FONT, scale, ink, thickness, cv2.LINE_AA)
    image.flags.writeable = False
    return image
