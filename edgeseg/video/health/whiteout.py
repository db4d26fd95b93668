"""White-out: glare or overexposure over most of the picture."""

from __future__ import annotations

from edgeseg.video.health.latch import Latch
from edgeseg.video.health.look import Look

WHITE = 245
"""Luma: nothing can be told from it."""
ON, OFF = 0.62, 0.55
"""Share of the picture that is white. An overexposed sky fills at most half of a road scene, since the road itself is
in view; below this share there is still road to see."""


class Whiteout:
    """Looks at one frame alone, so a stream that begins white is found as well."""

    def __init__(self, fps: float) -> None:
        self._latch = Latch(on_after=3, off_after=max(3, round(fps / 4)))

    def __call__(self, look: Look) -> bool:
        """Whether the picture is white."""
        return self._latch(look.lumas.share_from(WHITE) > (OFF if self._latch.on else ON))
