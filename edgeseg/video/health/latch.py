"""Hysteresis: a fault is reported once its signs have stood for some frames, and until they have been gone for some."""

from __future__ import annotations


class Latch:
    """On after `on_after` frames with a sign in a row, off after `off_after` in a row without one."""

    def __init__(self, on_after: int, off_after: int) -> None:
        self._needed = {False: on_after, True: off_after}
        self._against = 0
        """Frames in a row that speak against the present state."""
        self.on = False

    def __call__(self, sign: bool) -> bool:
        """Take one frame's sign; returns the state after it."""
        self._against = self._against + 1 if sign != self.on else 0
        if self._against >= self._needed[self.on]:
            self.on, self._against = sign, 0
        return self.on
