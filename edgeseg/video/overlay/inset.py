"""A small picture in the corner of the large one, such as the road from above."""

from __future__ import annotations

import cv2

from edgeseg.types import Frame
from edgeseg.video.overlay.letters import WHITE, Letters

_LARGEST_HW = (0.42, 0.25)
"""Shares of the picture's height and width that the inset may take."""


def draw_inset(picture: Frame, inset_bgr: Frame, above: int) -> None:
    """Draw an inset, BGR uint8 (h, w, 3), into the lower right of `picture`, `above` so many rows.

    One that is larger than its place is made smaller, in its own shape; where there is no room it is left out.
    """
    height, width = picture.shape[:2]
    margin = Letters.for_height(height).margin
    most = (_LARGEST_HW[0] * height, _LARGEST_HW[1] * width)
    scale = min(1.0, most[0] / max(1, len(inset_bgr)), most[1] / max(1, inset_bgr.shape[1]))
    inset_hw = (int(scale * len(inset_bgr)), int(scale * inset_bgr.shape[1]))
    bottom, right = height - above - margin, width - margin
    top, left = bottom - inset_hw[0], right - inset_hw[1]
    if min(inset_hw) < 1 or min(top, left) < margin:
        return
    small = inset_bgr if scale == 1 else cv2.resize(inset_bgr, inset_hw[::-1], interpolation=cv2.INTER_AREA)
    picture[top:bottom, left:right] = small
    cv2.rectangle(picture, (left - 1, top - 1), (right, bottom), WHITE)
