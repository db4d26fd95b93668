"""Darkened rectangles, on which letters and curves can be read over sky and headlights."""

from __future__ import annotations

import cv2

from edgeseg.types import Frame

_LIGHT = 0.3
"""How much of the picture's light a panel lets through."""


def darken(picture: Frame, left: int, top: int, right: int, bottom: int) -> Frame:
    """Darken a rectangle of `picture`, BGR uint8 (H, W, 3), and give that part as a view; empty if it lies outside."""
    part = picture[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    if part.size:
        cv2.convertScaleAbs(part, part, _LIGHT)
    return part
