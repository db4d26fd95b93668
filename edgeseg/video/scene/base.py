"""What a driver needs of one frame's labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class FreeSpace:
    """The road that is free from the lower edge of the picture upwards."""

    polygon_xy: NDArray[np.int32]
    """int32 (N, 2): closed polygon in pixels, x then y; N is 0 where no road begins at the lower edge."""
    columns_x: NDArray[np.int32]
    """int32 (M,): the picture columns that were looked at, in pixels, left to right."""
    rows_y: NDArray[np.int32]
    """int32 (M,): the highest free row of each column, in pixels from the top; the picture's height where none is."""
    distances_m: NDArray[np.float64] | None = None
    """float64 (M,): metres along the ground to that row, where a homography is known; NaN where nothing is free."""


@dataclass(frozen=True, slots=True)
class Person:
    """One connected component of the pedestrian class."""

    box_xywh: tuple[int, int, int, int]
    """Left, top, width, height in pixels."""
    area_px: int
    on_road: bool
    """Whether the feet stand on the road."""
    distance_m: float | None = None
    """Metres along the ground to the feet, where a homography is known."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a driver needs of one frame."""

    shares: Mapping[str, float]
    """Class name → share of the picture, 0 to 1."""
    free_space: FreeSpace | None = None
    """`None` where the classes have no road."""
    people: tuple[Person, ...] = ()
    """Largest first."""
    person_ahead: bool = False
    """Somebody is on the road ahead; with hysteresis, so that it does not flicker."""
    event: str | None = None
    """What changed at this frame: "person_ahead" or "path_clear"; mostly nothing."""
