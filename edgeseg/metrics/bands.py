"""Which pixels are near a border between two classes: the one definition behind boundary IoU and trimaps."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.types import Labels

_LOWEST, _HIGHEST = 0, 255
"""Neutral in a maximum, and in a minimum, of class ids, as void must be; and different from any class the other way."""


def near_border(labels: Labels, void: int, distance_px: int, *, frame_edge: bool) -> NDArray[np.bool_]:
    """bool (H, W): labelled pixels with a pixel of another class at most `distance_px` away.

    The distance is the larger of the two along the axes (Chebyshev), so that the neighbourhood is a square. A pixel is
    inside a class where the smallest and the largest id in its square are its own: two passes for all classes at once.
    Void is no class: a border with it is not one, and two classes with void between them meet across it. With
    `frame_edge`, what lies outside the frame is another class.
    """
    void_mask = labels == void
    square = np.ones((2 * distance_px + 1,) * 2, np.uint8)
    smallest = cv2.erode(
        np.where(void_mask, np.uint8(_HIGHEST), labels),
        square,
        borderType=cv2.BORDER_CONSTANT,
        borderValue=_LOWEST if frame_edge else _HIGHEST,
    )
    largest = cv2.dilate(
        np.where(void_mask, np.uint8(_LOWEST), labels),
        square,
        borderType=cv2.BORDER_CONSTANT,
        borderValue=_HIGHEST if frame_edge else _LOWEST,
    )
    near: NDArray[np.bool_] = (np.asarray(smallest) != np.asarray(largest)) & ~void_mask
    return near
