"""Two planes drawn in step: the picture, antialiased, and the ids, exact.

One 16-bit plane holds class and depth together, so that each shape costs a single extra fill: the low four bits are the
class id, the upper twelve the depth in steps of 1/16 m. Weather reads the depth; the labels never see the weather.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.data.synthetic.camera import FRACTION_BITS, Pixels
from edgeseg.labels import CAMVID
from edgeseg.types import Frame, Labels

Colour: TypeAlias = tuple[float, float, float]
"""Blue, green, red, 0 to 255. A channel above `EMISSIVE` is a light source and stays bright at night."""

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(len(CAMVID))

EMISSIVE = 242
_MAX_DEPTH_M = 255.9
_COVERS = 170
"""A pixel takes the label of a see-through texture that lets less than this of 255 through: about a third is hidden."""


def depth_code(z: float) -> int:
    """Depth in metres → the upper bits of an id; its upper byte is whole metres."""
    return int(min(z, _MAX_DEPTH_M) * 16) << 4


def depth_codes(z: NDArray[np.floating]) -> NDArray[np.uint16]:
    """`depth_code` of an array."""
    steps: NDArray[np.uint16] = (np.minimum(z, _MAX_DEPTH_M) * 16).astype(np.uint16)
    steps <<= 4
    return steps


class Light(NamedTuple):
    """A light source on screen, for halos."""

    u: float
    v: float
    z: float
    radius_px: float
    colour: Colour


@dataclass(slots=True)
class Canvas:
    """The frame being drawn, and what the weather needs to know of it."""

    frame: Frame
    """uint8 (H, W, 3), BGR."""
    ids: NDArray[np.uint16]
    """(H, W), class and depth."""
    lit_windows: float = 0.0
    """Share of the windows with a light inside."""
    street_lamps: bool = False
    sunny: bool = False
    """Whether houses throw shadows."""
    lights: list[Light] = field(default_factory=list)

    @staticmethod
    def blank(size_hw: tuple[int, int], *, lit_windows: float, street_lamps: bool, sunny: bool) -> Canvas:
        """An undrawn canvas; sky and ground cover all of it."""
        frame, ids = np.empty((*size_hw, 3), np.uint8), np.empty(size_hw, np.uint16)
        return Canvas(frame, ids, lit_windows, street_lamps, sunny)

    def labels(self) -> Labels:
        """Class ids, uint8 (H, W)."""
        return (self.ids & 15).astype(np.uint8)

    def fill(self, polygons: Sequence[Pixels], colour: Colour, code: int | None = None) -> None:
        """Fill polygons that do not overlap each other; `code` None paints without labelling."""
        cv2.fillPoly(self.frame, polygons, colour, cv2.LINE_AA, FRACTION_BITS)
        if code is not None:
            cv2.fillPoly(self.ids, polygons, (code,), cv2.LINE_8, FRACTION_BITS)

    def fill_convex(self, polygon: Pixels, colour: Colour, code: int | None = None) -> None:
        """The same for one convex polygon, and quicker."""
        cv2.fillConvexPoly(self.frame, polygon, colour, cv2.LINE_AA, FRACTION_BITS)
        if code is not None:
            cv2.fillConvexPoly(self.ids, polygon, (code,), cv2.LINE_8, FRACTION_BITS)

    def stroke(self, lines: Sequence[Pixels], width_px: float, colour: Colour, code: int | None = None) -> None:
        """Open lines with round ends, at least one pixel wide."""
        width = 1 if width_px < 1.5 else min(round(width_px), 250)
        cv2.polylines(self.frame, lines, False, colour, width, cv2.LINE_AA, FRACTION_BITS)
        if code is not None:
            cv2.polylines(self.ids, lines, False, (code,), width, cv2.LINE_8, FRACTION_BITS)

    def blend(self, u1: int, v1: int, patch: Any, codes: NDArray[np.uint16] | np.uint16 | None) -> None:
        """Lay a see-through patch uint8 (h, w, 4), a `Texture`'s kind, over the frame; `codes` label what it covers."""
        rows, columns = patch.shape[:2]
        through = cv2.extractChannel(patch, 3)
        area = self.frame[v1 : v1 + rows, u1 : u1 + columns]
        behind = cv2.multiply(area, cv2.cvtColor(through, cv2.COLOR_GRAY2BGR), scale=1 / 255)
        cv2.add(behind, cv2.cvtColor(patch, cv2.COLOR_BGRA2BGR), dst=area)
        if codes is not None:
            np.copyto(self.ids[v1 : v1 + rows, u1 : u1 + columns], codes, where=through < _COVERS)
