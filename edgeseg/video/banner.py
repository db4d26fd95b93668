"""A strip along the lower edge of the picture, for what must not be overlooked."""

from __future__ import annotations

import cv2

from edgeseg.types import Frame

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_RED, _AMBER = (40, 40, 200), (0, 180, 255)
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
"""BGR."""

INVALID_FRAME = "INVALID: the model gave no numbers for this frame, so nothing is drawn"


def draw_banner(picture: Frame, text: str, *, severe: bool) -> None:
    """Write one line into the lowest rows of `picture`, BGR uint8 (H, W, 3): white on red if `severe`, else on amber.

    What does not fit the width is cut off.
    """
    height, width = picture.shape[:2]
    line = min(max(13, round(height / 27)), height)  # as the legend's
    scale = line / 36
    thickness = max(1, round(scale * 1.6))
    margin = max(4, line // 3)
    paper, ink = (_RED, _WHITE) if severe else (_AMBER, _BLACK)
    picture[height - line :] = paper
    fitted = _fit(text, width - 2 * margin, scale, thickness)
    baseline = height - line + round(line * 0.75)
    cv2.putText(picture, fitted, (margin, baseline), _FONT, scale, ink, thickness, cv2.LINE_AA)


def _fit(text: str, width: int, scale: float, thickness: int) -> str:
    # The font has ASCII alone, and draws question marks for the rest.
    plain = text.replace("…", "...").encode("ascii", "replace").decode()
    if _width(plain, scale, thickness) <= width:
        return plain
    length = len(plain)
    while length and _width(plain[:length].rstrip() + "...", scale, thickness) > width:
        length -= 1
    return plain[:length].rstrip() + "..." if length else ""


def _width(text: str, scale: float, thickness: int) -> int:
    return int(cv2.getTextSize(text, _FONT, scale, thickness)[0][0])
