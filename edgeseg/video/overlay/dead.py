"""The last picture once there is no new one: grey, dark, a banner across it, so that nobody takes it for live."""

from __future__ import annotations

import cv2
import numpy as np

from edgeseg.errors import ConfigError
from edgeseg.types import Frame
from edgeseg.video.overlay.banners import AMBER
from edgeseg.video.overlay.letters import WHITE, Bgr, Letters

_LIGHT = 0.4
"""How much light is left of the last picture."""
_PAPER: Bgr = (24, 24, 24)
_EMPTY: Bgr = (52, 48, 46)
_HEADLINE, _DETAIL = 3.0, 1.3
"""Sizes relative to plain text."""


def dead_picture(picture_bgr: Frame | None, text: str, size_hw: tuple[int, int]) -> Frame:
    """A new picture BGR uint8 (H, W, 3): the last one in dark grey, or a plain card of `size_hw` where there is none.

    `text` is what the banner says; what follows a colon stands below it in smaller letters.
    """
    if picture_bgr is None or picture_bgr.size == 0:
        if min(size_hw) < 1:
            raise ConfigError(f"size_hw={size_hw}: a picture has at least one row and one column.")
        picture: Frame = np.empty((*size_hw, 3), np.uint8)
        picture[:] = _EMPTY
    else:
        grey = cv2.convertScaleAbs(cv2.cvtColor(picture_bgr, cv2.COLOR_BGR2GRAY), None, _LIGHT)
        picture = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)
    headline, _, detail = (part.strip() for part in text.partition(":"))
    _draw_banner(picture, headline, detail)
    return picture


def _draw_banner(picture: Frame, headline: str, detail: str) -> None:
    height, width = picture.shape[:2]
    lines = [_largest(line, size, height, width) for line, size in ((headline, _HEADLINE), (detail, _DETAIL)) if line]
    stripe = max(2, height // 40)
    tall = sum(len(line) for line in lines) + 4 * stripe
    top = max(0, (height - tall) // 2)
    band = picture[top : top + tall]
    band[:] = _PAPER
    for edge in (band[:stripe], band[-stripe:]):
        slant = (np.arange(len(edge))[:, np.newaxis] + np.arange(width)) // (2 * stripe) % 2 == 0
        edge[slant] = AMBER
    row = 2 * stripe
    for line in lines:
        left = (width - line.shape[1]) // 2
        place = band[row : row + len(line), max(0, left) : max(0, left) + line.shape[1]]
        place[:] = line[: place.shape[0], : place.shape[1]]
        row += len(line)


def _largest(text: str, size: float, height: int, width: int) -> Frame:
    """The text in letters of that size, or as large as its width allows."""
    letters = Letters.for_height(height, size)
    letters = Letters(max(8, min(letters.line, round(letters.line * 0.92 * width / max(1, letters.width(text))))))
    return letters.rendered(letters.fit(text, width), WHITE, _PAPER)
