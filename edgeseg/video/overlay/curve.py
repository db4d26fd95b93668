"""The panel in the other corner: how old the newest pictures were, as a curve against the deadline."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.types import Frame
from edgeseg.video.overlay.banners import AMBER
from edgeseg.video.overlay.letters import DIM, Letters
from edgeseg.video.overlay.panel import darken
from edgeseg.video.results import Pulse

_SAMPLES = 120
"""As many as `Pulse.recent_age_ms` holds; the newest stands at the right edge."""
_LINES = 3
"""Height of the curve in lines of text."""
_LARGEST = 0.45
"""Share of the picture's width above which there is no panel."""
_HEADROOM = 1.4
"""The deadline stands at most so deep below the curve's upper edge."""
_BAR_COLOURS: NDArray[np.uint8] = np.array([(235, 190, 70), AMBER], np.uint8)
"""BGR of a picture in time, and of one that was late."""


def draw_curve(picture: Frame, pulse: Pulse) -> int:
    """Draw the panel into `picture`, BGR uint8 (H, W, 3), if it has room; return the column in which it begins, or W.

    One bar for each frame, amber where it was older than the deadline, which is the dashed line.
    """
    height, width = map(int, picture.shape[:2])
    letters = Letters.for_height(height)
    margin, line = letters.margin, letters.line
    per_sample = max(1, round(width / 640))
    curve_width, curve_height = _SAMPLES * per_sample, _LINES * line
    lines = 1 + _LINES + (pulse.deadline_ms is not None)
    panel_hw = (lines * line + 2 * margin, curve_width + 2 * margin)
    left = width - margin - panel_hw[1]
    if not pulse.recent_age_ms or panel_hw[1] > _LARGEST * width or panel_hw[0] + 2 * margin > height:
        return width
    panel = darken(picture, left, margin, width - margin, margin + panel_hw[0])
    ages = np.array(pulse.recent_age_ms[-_SAMPLES:], np.float64)
    age, peak = f"age {pulse.age_ms:.0f} ms", f"max {ages.max():.0f}"
    letters.lighten(panel, age, margin, margin)
    # In a small picture they would touch.
    if letters.width(age) + letters.width("  ") + letters.width(peak) <= curve_width:
        letters.lighten(panel, peak, panel_hw[1] - margin - letters.width(peak), margin, DIM)
    top = margin + line
    _draw_bars(panel[top : top + curve_height, margin:-margin], ages, pulse.deadline_ms, per_sample)
    if pulse.deadline_ms is not None:
        late = f"{pulse.deadline_misses} late (>{pulse.deadline_ms:.0f} ms)"
        letters.lighten(panel, late, margin, top + curve_height, AMBER if pulse.deadline_misses else DIM)
    return left


def _draw_bars(place: Frame, ages_ms: NDArray[np.float64], deadline_ms: float | None, per_sample: int) -> None:
    height, width = place.shape[:2]
    highest_ms = round_up(max(float(ages_ms.max()), _HEADROOM * (deadline_ms or 0.0)))
    tall = np.maximum(height * ages_ms / highest_ms, 1)
    late = ages_ms > (np.inf if deadline_ms is None else deadline_ms)
    colours = np.repeat(_BAR_COLOURS[late.astype(np.intp)], per_sample, axis=0)
    filled = (np.arange(height, 0.0, -1)[:, np.newaxis] <= np.repeat(tall, per_sample)).view(np.uint8)
    cv2.copyTo(cv2.repeat(colours[np.newaxis], height, 1), filled, place[:, width - len(colours) :])
    if deadline_ms is not None:
        row = min(height - 1, max(0, height - round(height * deadline_ms / highest_ms)))
        place[row].reshape(-1, 6, 3)[:, :4] = 255  # dashes; the width is a multiple of 120


def round_up(value: float) -> float:
    """The next 1, 2, 3, 5 or 7 times a power of ten: a scale that stays for a while, for the eye to compare bars."""
    power = 10.0 ** np.floor(np.log10(max(value, 1.0)))
    return float(next(step * power for step in (1, 2, 3, 5, 7, 10) if step * power >= value * (1 - 1e-9)))
