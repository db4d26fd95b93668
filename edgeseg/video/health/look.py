"""The one small picture of a frame that every detector looks at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.types import Frame
from edgeseg.video.sources.base import FrameRecord

SIDE_PX = 320
"""Longer side of the small picture. Faults that matter to a network with inputs of 480×360 are seen at this size, and
the cost does not depend on the camera's."""
LEAST_PX = 16
"""No side is shorter; a frame that is smaller is enlarged."""
TINY_HW = (36, 64)
"""Of the picture in which frames are compared over time."""
CELLS_HW = (9, 16)
"""Of the grid in which regions are compared over time."""

LUMA_BGR = np.array((0.114, 0.587, 0.299), np.float32)
"""Weights of blue, green and red in the luma, ITU-R BT.601."""


@dataclass(frozen=True)
class Look:
    """A frame made small, with what several detectors need of it, each computed once and when first asked for."""

    colour: Frame
    """BGR uint8 (h, w, 3), the longer side `SIDE_PX` or that of a smaller frame."""
    media_s: float | None
    """The stream's own time stamp."""

    @cached_property
    def grey(self) -> NDArray[np.uint8]:
        """Luma uint8 (h, w), ITU-R BT.601."""
        return np.asarray(cv2.cvtColor(self.colour, cv2.COLOR_BGR2GRAY), np.uint8)

    @cached_property
    def tiny(self) -> NDArray[np.float32]:
        """Luma float32 of `TINY_HW`, each value the mean over its area, so that the sensor's noise is small."""
        return area(self.grey, TINY_HW)

    @cached_property
    def cells(self) -> NDArray[np.float32]:
        """Mean colour of each cell: BGR float32 (*CELLS_HW, 3)."""
        height, width = TINY_HW
        # In two steps, the first in whole grey levels: half the cost, and an error of 0.1 in the means.
        return area(np.asarray(cv2.resize(self.colour, (width, height), interpolation=cv2.INTER_AREA)), CELLS_HW)

    @cached_property
    def levels(self) -> NDArray[np.float32]:
        """Mean luma of each cell: float32 of `CELLS_HW`."""
        return np.asarray(self.cells @ LUMA_BGR, np.float32)

    @cached_property
    def lumas(self) -> Distribution:
        """How the luma is distributed."""
        return Distribution(self.grey)

    @cached_property
    def steps(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Differences of luma from each pixel to the one on its right, (h, w − 1), and below it, (h − 1, w)."""
        return self.steps_of(1)

    def steps_of(self, distance: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Differences of luma over `distance` pixels, to the right and downwards."""
        grey = self.grey
        right: Any = cv2.absdiff(grey[:, distance:], grey[:, :-distance])
        down: Any = cv2.absdiff(grey[distance:], grey[:-distance])
        return right, down


class Distribution:
    """Of the values of a picture uint8 (h, w)."""

    def __init__(self, values: NDArray[np.uint8]) -> None:
        counts = cv2.calcHist([values], [0], None, [256], [0, 256]).ravel().cumsum(dtype=np.float64)
        self._shares = counts / counts[-1]

    def quantile(self, share: float) -> int:
        """The value that `share` of the pixels do not exceed."""
        return int(self._shares.searchsorted(share))

    def share_from(self, value: int) -> float:
        """Share of the pixels with `value` (1 to 255) or more."""
        return 1.0 - float(self._shares[value - 1])


def look_at(record: FrameRecord) -> Look:
    """Make a frame uint8 (H, W, 3) of any size small.

    Bilinear: for a large frame it means over 2×2 pixels of each block, which costs a fifth of the mean over all and
    keeps the block's sharpness, as a mean would not.
    """
    frame_bgr = np.ascontiguousarray(record.frame_bgr)
    height, width = frame_bgr.shape[:2]
    scale = min(1.0, SIDE_PX / max(height, width))
    size = (max(LEAST_PX, round(width * scale)), max(LEAST_PX, round(height * scale)))
    colour = cv2.resize(frame_bgr, size, interpolation=cv2.INTER_LINEAR)
    if np.may_share_memory(colour, frame_bgr):
        colour = colour.copy()
    return Look(np.asarray(colour, np.uint8), record.media_s)


def area(picture: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Means over areas, float32, so that nothing is rounded."""
    height, width = size_hw
    return np.asarray(cv2.resize(picture.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA), np.float32)
