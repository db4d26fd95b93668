"""Reversed time: time stamps that run back, or pictures from a ring buffer that is played backwards or in no order."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.video.health.latch import Latch
from edgeseg.video.health.look import TINY_HW, Look

RING = 16
"""Pictures that a new one is compared with: drivers and encoders keep fewer."""
BLOCK = 4
"""Side of the blocks, in pixels of the picture of `TINY_HW`, that are compared one by one: a wiper that swings back
makes some of them as they were, not most."""
MOVES = 0.25
"""Mean change of a block, in grey levels, above which it says something: the sensor's noise alone gives 0.2."""
MUCH_BETTER = 0.65
"""A block of an older picture fits much better if it differs by less than this share of the last one's difference."""
ENOUGH = 0.25
"""Share of the blocks that must say something."""
MOST = 0.6
"""Of these, the share that one older picture must fit much better."""
WINDOW, NEEDED = 5, 2
"""Of the last frames, how many must look back."""


class ReversedTime:
    """Looks for an older picture that the new one continues better than it continues the last.

    While the car stands, all pictures fit alike, so nothing is said. A car that reverses is not a camera's fault, and
    not taken for one: it sees no picture again that it has just seen.
    """

    def __init__(self, fps: float) -> None:
        self._latch = Latch(on_after=1, off_after=max(5, round(fps / 2)))
        self._ring: deque[NDArray[np.float32]] = deque(maxlen=RING)
        self._back: deque[bool] = deque(maxlen=WINDOW)
        self._stamp_s: float | None = None

    def __call__(self, look: Look) -> bool:
        """Whether time runs back, or to and fro."""
        stamp_s = look.media_s
        back = stamp_s is not None and self._stamp_s is not None and stamp_s < self._stamp_s
        self._stamp_s = stamp_s
        self._back.append(back or self._older_fits(look.tiny))
        self._ring.append(look.tiny)
        return self._latch(sum(self._back) >= NEEDED)

    def _older_fits(self, tiny: NDArray[np.float32]) -> bool:
        if len(self._ring) < 2:
            return False
        height, width = TINY_HW
        rows = height // BLOCK
        # All pictures one below the other, so that one call compares and one call averages.
        away = np.stack(self._ring)
        away -= tiny
        np.abs(away, out=away)
        size = (width // BLOCK, rows * len(away))
        away = away.reshape(-1, width)
        blocks = np.asarray(cv2.resize(away, size, interpolation=cv2.INTER_AREA)).reshape(len(self._ring), -1)
        moves = blocks[-1] > MOVES
        if float(moves.mean()) < ENOUGH:
            return False
        better = (blocks[:-1, moves] < MUCH_BETTER * blocks[-1, moves]).mean(1)
        return float(better.max()) > MOST
