"""Frozen: the same picture again and again, also from a video encoder, which changes it a little each time."""

from __future__ import annotations

import cv2

from edgeseg.types import Frame
from edgeseg.video.health.latch import Latch
from edgeseg.video.health.look import Look

REPEATS = 4
"""Repeats in a row that make a freeze. Fewer are common: a stream of constant rate from a camera that exposes longer at
night repeats each picture up to three times (30 frames a second made of 7.5)."""
SAME = 0.006
"""Mean change of the small picture, in grey levels, up to which two pictures are one. A video encoder that is given one
picture again and again leaves 0.000 to 0.006 (MPEG-4); a scene that stands still changes by 0.4 and more for a sensor's
noise of one level, and by 0.009 and more behind the same encoder."""


class Frozen:
    """Compares each picture with the one before.

    A scene without any noise that stands still, as a recording of a screen may be, is frozen by this definition: nobody
    can tell it from a camera that hangs.
    """

    def __init__(self, fps: float) -> None:
        self._latch = Latch(on_after=REPEATS, off_after=max(5, round(fps / 4)))
        self._before: Frame | None = None

    def __call__(self, look: Look) -> bool:
        """Whether the camera sends the same picture again and again."""
        before, self._before = self._before, look.colour
        if before is None:
            return self._latch(False)
        return self._latch(bool(cv2.norm(before, look.colour, cv2.NORM_L1) <= SAME * before.size))
