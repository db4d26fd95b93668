"""The pinhole camera of one frame, in road coordinates.

A world point is (x, y, z): x metres to the right of the centre line, y metres above the road, z metres ahead of the
camera *along the road*. The road bends by a lateral offset that depends on z alone, so a plane of constant x is a wall
that follows the road, and every image row below the horizon is one z. Both make drawing cheap without being less exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Points: TypeAlias = NDArray[np.float64]

NEAR_M = 0.8
"""Nothing is drawn nearer than this; points are moved onto this plane, which keeps walls along the road exact."""
FAR_M = 170.0
"""The backdrop stands here."""


@dataclass(frozen=True, slots=True)
class Bend:
    """Centre line of the road: two sines of the position s along it, radius of curvature at least about 250 m."""

    amplitude_m: tuple[float, float]
    wavelength_m: tuple[float, float]
    phase: tuple[float, float]

    def offset(self, s: Points | float) -> Points:
        """Lateral position of the centre line, in metres, at `s` metres along the road."""
        waves = zip(self.amplitude_m, self.wavelength_m, self.phase, strict=True)
        return np.asarray(sum(a * np.sin(np.asarray(s) / w + p) for a, w, p in waves), np.float64)

    def slope(self, s: float) -> float:
        """Derivative of `offset` at `s`: the camera looks along this tangent."""
        waves = zip(self.amplitude_m, self.wavelength_m, self.phase, strict=True)
        return sum(a / w * math.cos(s / w + p) for a, w, p in waves)


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
    bend: Bend

    def lateral(self, z: Points) -> Points:
        """Metres by which the road at depth `z` lies to the right of the straight line ahead."""
        return self.bend.offset(self.s_m + z) - self.bend.offset(self.s_m) - self.bend.slope(self.s_m) * z

    def project(self, points: Points) -> Points:
        """World points float (N, 3) → pixel positions float (N, 2) as (u, v); depths are clamped to the near plane."""
        z = np.maximum(points[:, 2], NEAR_M)
        scale = self.focal_px / z
        pixels = np.empty((len(points), 2))
        pixels[:, 0] = self.centre_u + scale * (points[:, 0] - self.eye_x_m + self.lateral(z))
        pixels[:, 1] = self.horizon_v + scale * (self.eye_y_m - points[:, 1])
        return pixels

    def anchor(self, x: float, z: float) -> tuple[float, float, float]:
        """The ground point (x, 0, z) as (u, v) and the scale there, in pixels per metre."""
        scale = self.focal_px / max(z, NEAR_M)
        lateral = float(self.lateral(np.array([z]))[0])
        u = self.centre_u + scale * (x - self.eye_x_m + lateral)
        return u, self.horizon_v + scale * self.eye_y_m, scale
