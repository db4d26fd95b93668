"""Darkened rectangles, on which letters and curves can be read over sky and headlights."""

from __future__ import annotations

import numpy as np

from edgeseg.types import Frame

_BITS = 2
"""A panel lets a quarter of the picture's light through: a shift costs a fifth of a multiplication."""


def darken(picture: Frame, left: int, top: int, right: int, bottom: int) -> Frame:
    """Darken a rectangle of `picture`, BGR uint8 (H, W, 3), and give that part as a view; empty if it lies outside."""
    part = picture[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    np.right_shift(part, _BITS, out=part)
    return part
