"""Strips along the lower edge of the picture, for what is the matter with it: the gravest lowest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgeseg.types import Frame
from edgeseg.video.health.base import Health
from edgeseg.video.overlay.letters import BLACK, WHITE, Bgr, Letters

RED: Bgr = (40, 40, 200)
AMBER: Bgr = (0, 180, 255)

INVALID_FRAME = "INVALID: the model gave no numbers for this frame"

FAULT_WORDS = {
    "blackout": "no light",
    "whiteout": "blinded",
    "frozen": "picture frozen",
    "blurred": "out of focus",
    "occluded": "lens covered",
    "wrong_colours": "wrong colours",
    "reversed_time": "frames in reverse order",
}
"""What a driver is told of each of `edgeseg.video.health.base.FAULTS`."""

_SEVERE_SIZE = 1.3
"""Of the letters, relative to plain text."""
_MOST_OF_PICTURE = 3
"""All strips together take at most one of so many parts of the picture's height; the gravest is always there."""


@dataclass(frozen=True, slots=True)
class Banner:
    """One line: white on red if `severe`, else black on amber."""

    text: str
    severe: bool


def banners_for(*, valid: bool, health: Health, degraded: Sequence[str | None]) -> list[Banner]:
    """What has to be said, the gravest first: the camera's faults, a frame without numbers, less than was asked for."""
    banners = []
    if not health.ok:
        words = ", ".join(FAULT_WORDS.get(fault, fault.replace("_", " ")) for fault in health.faults)
        banners.append(Banner(f"CAMERA FAULT: {words}", severe=True))
    if not valid:
        banners.append(Banner(INVALID_FRAME, severe=True))
    lines = dict.fromkeys(line for line in degraded if line)  # both say the same at times
    banners += [Banner(line, severe=False) for line in lines]
    return banners


def draw_banners(picture: Frame, banners: Sequence[Banner]) -> int:
    """Draw them into the lowest rows of `picture`, BGR uint8 (H, W, 3), and tell how many rows they take.

    What does not fit the width is cut off; strips for which there is no room, those of the least weight, are left out.
    """
    height, width = picture.shape[:2]
    bottom = height
    for index, banner in enumerate(banners):
        strip = _strip(banner, width, Letters.for_height(height, _SEVERE_SIZE if banner.severe else 1.0))[-height:]
        if index and height - bottom + len(strip) > height // _MOST_OF_PICTURE:
            break
        picture[bottom - len(strip) : bottom] = strip
        bottom -= len(strip)
    return int(height - bottom)


@lru_cache(16)
def _strip(banner: Banner, width: int, letters: Letters) -> Frame:
    """BGR uint8 (strip's height, W, 3): the same text is rendered once, not for every frame."""
    paper, ink = (RED, WHITE) if banner.severe else (AMBER, BLACK)
    padding = letters.line // 6
    strip: Frame = np.empty((letters.line + 2 * padding, width, 3), np.uint8)
    strip[:] = paper
    text = letters.rendered(letters.fit(banner.text, width - 2 * letters.margin), ink, paper)
    place = strip[padding : padding + letters.line, letters.margin : letters.margin + text.shape[1]]
    place[:] = text[:, : place.shape[1]]
    strip.flags.writeable = False
    return strip
