"""Wrong colours: channels or chroma planes swapped, lost or misread, or everything green or magenta."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeseg.video.health.latch import Latch
from edgeseg.video.health.look import Look

CAST = 0.3
"""How far green is from the mean of blue and red, cell by cell, as a share of the mean luma. Daylight, lamps and sodium
light all lie on one curve from blue to orange, along which this stays near 0: at most 0.05 on real streets by day, 0.10
on streets at night. A lost channel gives 0.5 and more."""
FLAT = 0.8
"""Largest chroma, in grey levels, of a plane that carries nothing, in the means over cells."""
SOME = 4.0
"""Largest chroma of a plane that carries something."""
DIM = 12.0
"""Mean luma below which colours are the noise's."""
OPPOSITE = -0.5
"""Correlation of blue less red, cell by cell, with the frame before, below which the two have changed places."""
SAME_SCENE = 0.5
"""Correlation of the luma, cell by cell, above which it is still the scene of the frame before."""
LEARN = 0.2
"""Weight of the newest frame in the strength of colour of the frames before: about five frames."""
NIGHT_MODE_S = 60.0
"""A camera that has given no colour for so long does so on purpose: it has gone over to infrared at night."""
BACK_S = 3.0
"""Seconds for which colours must be as they used to be before a swap that nobody saw end is over."""
USUAL_S = 10.0
"""Seconds over which it is learned how they used to be."""

Cells = NDArray[np.float32]


class WrongColours:
    """Some faults show in one frame: a strong cast, one empty chroma plane. Others only as a change at once.

    A camera that gives grey pictures from the first frame is a grey camera.
    """

    def __init__(self, fps: float) -> None:
        self._latch = Latch(on_after=3, off_after=max(3, round(fps / 3)))
        self._swap = _Swap(fps)
        self._patience = round(NIGHT_MODE_S * fps)
        self._chroma = 0.0
        """Largest chroma of the frames before."""
        self._grey_for = 0

    def __call__(self, look: Look) -> bool:
        """Whether the colours are wrong."""
        blue, green, red = np.moveaxis(look.cells, -1, 0)
        luma = look.levels
        mean = float(luma.mean())
        lost = self._lost(float(np.abs(blue - luma).max()), float(np.abs(red - luma).max()))
        cast = mean > DIM and float(np.abs(green - (blue + red) / 2).mean()) > CAST * mean
        swapped = self._swap(blue - red, luma)
        return self._latch(lost or cast or swapped)

    def _lost(self, chroma_blue: float, chroma_red: float) -> bool:
        """Whether a chroma plane is empty while the other is not, or both are that were not."""
        largest = max(chroma_blue, chroma_red)
        if largest >= FLAT:
            self._grey_for = 0
            self._chroma += LEARN * (largest - self._chroma)
            return min(chroma_blue, chroma_red) < FLAT and largest > SOME
        self._grey_for += 1
        if self._grey_for > self._patience:
            self._chroma = 0.0
        return self._chroma > SOME


class _Swap:
    """Whether blue and red have changed places since the stream began."""

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._before: tuple[Cells, Cells] | None = None
        """Blue less red, and luma, of the last frame."""
        self._usual: Cells | None = None
        """Blue less red of the last seconds that were right."""
        self._swapped = False
        self._back = 0

    def __call__(self, cold: Cells, luma: Cells) -> bool:
        """Take blue less red, and luma, of each cell."""
        if self._before is None or self._usual is None:
            self._before, self._usual = (cold, luma), cold
            return False
        cold_was, luma_was = self._before
        same_scene = _alike(luma - luma.mean(), luma_was - luma_was.mean()) > SAME_SCENE
        if same_scene and _alike(cold, cold_was) < OPPOSITE:
            self._swapped = not self._swapped
        self._before = cold, luma
        self._watch(cold)
        return self._swapped

    def _watch(self, cold: Cells) -> None:
        """Learn how colours are, and while they are swapped see whether they have come back unseen."""
        if self._usual is None:
            return
        if not self._swapped:
            self._usual = self._usual + (cold - self._usual) / (USUAL_S * self._fps)
            return
        self._back = self._back + 1 if _alike(cold, self._usual) > -OPPOSITE else 0
        if self._back > BACK_S * self._fps:
            self._swapped, self._back = False, 0


def _alike(a: Cells, b: Cells) -> float:
    """Correlation about 0; 0 where one of the two is too weak to tell (one grey level)."""
    strength = float(np.sqrt((a * a).mean() * (b * b).mean()))
    return float((a * b).mean()) / strength if strength > 1.0 else 0.0
