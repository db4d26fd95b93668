"""Blackout: no light anywhere, or one even grey or blue picture, as grabbers send where there is no signal."""

from __future__ import annotations

from edgeseg.video.health.latch import Latch
from edgeseg.video.health.look import Look

DARK = 28
"""Luma: no light. A night without street lamps still has headlights, ours or another's; a covered sensor at its
highest gain has noise of mean 10 to 16 (black level 16 of ITU-R BT.601 read as full range)."""
EVEN = 6
"""Largest luma range of a picture without content. Dense fog keeps the road darker than the sky by more."""
BRIGHT = 235
"""An even picture above this is a white-out (white level of ITU-R BT.601)."""
STRAY = 0.002
"""Share of hot pixels at either end that is not looked at."""


class Blackout:
    """Looks at one frame alone, so a stream that begins black is found as well."""

    def __init__(self, fps: float) -> None:
        self._latch = Latch(on_after=3, off_after=max(3, round(fps / 4)))

    def __call__(self, look: Look) -> bool:
        """Whether the picture is gone."""
        darkest, brightest = look.lumas.quantile(STRAY), look.lumas.quantile(1 - STRAY)
        even = brightest - darkest <= EVEN and brightest < BRIGHT
        return self._latch(brightest < DARK or even)
