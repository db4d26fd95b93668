"""The pinhole camera of one frame, in road coordinates.

A world point is (x, y, s): x metres to the right of the centre line, y metres above the road, s metres along the road.
Its depth z is s less the camera's own s. The road bends by a lateral offset that depends on z alone, so a plane of
constant x is a wall that follows the road, and every image row below the horizon is one z. Both make drawing cheap
without being less exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Points: TypeAlias = NDArray[np.float64]
Pixels: TypeAlias = NDArray[np.int32]
"""Pixel positions (N, 2) as (u, v) in OpenCV's fixed point, `FRACTION_BITS` bits after the point."""

FRACTION_BITS = 4
NEAR_M = 0.8
"""Nothing is drawn nearer than this; points are moved onto this plane, which keeps walls along the road exact."""
FAR_M = 170.0
"""The backdrop stands here."""
_MAX_PIXEL = 30_000.0
"""Points are clamped there: so far outside the picture that no visible edge moves."""
_GRID_M = np.arange(0.0, FAR_M + 20.0)


@dataclass(frozen=True, slots=True)
class Bend:
    """Centre line of the road: two sines of the position along it; its radius of curvature stays above 200 m."""

    amplitude_m: tuple[float, float]
    wavelength_m: tuple[float, float]
    phase: tuple[float, float]

    @staticmethod
    def pick(rng: np.random.Generator) -> Bend:
        """Gentle bends, as in a town."""
        return Bend(
            (float(rng.uniform(4, 9)), float(rng.uniform(1, 2.2))),
            (float(rng.uniform(65, 90)), float(rng.uniform(28, 36))),
            (float(rng.uniform(0, 6.3)), float(rng.uniform(0, 6.3))),
        )

    def ahead(self, s: float) -> Points:
        """Lateral offset of the road against the straight line ahead, at each metre in front of position `s`."""
        offset = np.zeros_like(_GRID_M)
        for a, w, p in zip(self.amplitude_m, self.wavelength_m, self.phase, strict=True):
            here = s / w + p
            offset += a * (np.sin(_GRID_M / w + here) - math.sin(here) - math.cos(here) / w * _GRID_M)
        return offset

    def heading(self, s: float) -> float:
        """Direction of the road at `s`, in radians against the drive's own north."""
        waves = zip(self.amplitude_m, self.wavelength_m, self.phase, strict=True)
        return math.atan(sum(a / w * math.cos(s / w + p) for a, w, p in waves))


@dataclass(frozen=True, slots=True)
class Camera:
    """Where the camera is and how it looks; `u` runs right, `v` down, integers are pixel centres."""

    size_hw: tuple[int, int]
    focal_px: float
    centre_u: float
    horizon_v: float
    eye_x_m: float
    eye_y_m: float
    s_m: float
    """Position along the road."""
    heading: float
    ahead: Points = field(repr=False)
    """`Bend.ahead` of this position."""

    def lateral(self, z: Points) -> Points:
        """Metres by which the road at depth `z` lies to the right of the straight line ahead."""
        return np.interp(z, _GRID_M, self.ahead)

    def project(self, points: Points) -> Pixels:
        """World points float (N, 3) as (x, y, s) → pixel positions; depths are clamped to the near plane."""
        z = np.maximum(points[:, 2] - self.s_m, NEAR_M)
        scale = self.focal_px / z
        pixels = np.empty((len(points), 2))
        pixels[:, 0] = self.centre_u + scale * (points[:, 0] - self.eye_x_m + self.lateral(z))
        pixels[:, 1] = self.horizon_v + scale * (self.eye_y_m - points[:, 1])
        return to_fixed(pixels)

    def sees(self, x: float, half_m: float, z: float) -> bool:
        """Whether something `half_m` to both sides of (x, z) reaches into the picture."""
        centre = x - self.eye_x_m + self.ahead.item(min(int(z), len(_GRID_M) - 1)) if z > 0 else x - self.eye_x_m
        return abs(centre) - half_m < 0.53 * self.size_hw[1] / self.focal_px * z


def to_fixed(pixels: Points) -> Pixels:
    """Pixel positions float (N, 2) → fixed point."""
    return np.rint(np.clip(pixels, -_MAX_PIXEL, _MAX_PIXEL) * (1 << FRACTION_BITS)).astype(np.int32)
