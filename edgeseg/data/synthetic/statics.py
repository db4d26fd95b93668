"""What stands beside the road: buildings, walls, trees, poles, signs, traffic lights.

Every object draws itself onto the canvas at a distance; `far_m` orders the painting, from far to near.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from edgeseg.data.synthetic.camera import NEAR_M, Camera, Points
from edgeseg.data.synthetic.canvas import Canvas, Colour, Texture, depth_code
from edgeseg.labels import CAMVID

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(len(CAMVID))


class Drawable(Protocol):
    """A thing of the world that can be painted."""

    @property
    def far_m(self) -> float:
        """Its farthest position along the road; farther things are painted first."""
        ...

    @property
    def near_m(self) -> float:
        """Its nearest position along the road."""
        ...

    def draw(self, canvas: Canvas, camera: Camera) -> None:
        """Paint it, and its labels."""
        ...


@dataclass(frozen=True, slots=True)
class Wall:
    """A fence, railing, hedge or garden wall along the road."""

    near_m: float
    far_m: float
    x: float
    height_m: float
    texture: Texture
    texels_per_m: float
    label: int

    def draw(self, canvas: Canvas, camera: Camera) -> None:
        """Paint it; the maker keeps it shorter than its texture."""
        z1, z2 = max(self.near_m - camera.s_m, NEAR_M), self.far_m - camera.s_m
        start = camera.s_m + z1 - self.near_m
        texels = (start * self.texels_per_m, (self.far_m - self.near_m) * self.texels_per_m)
        canvas.wall(camera, self.texture, self.x, (z1, z2), (0.0, self.height_m), self.label, texels)


@dataclass(frozen=True, slots=True)
class Building:
    """A house: a textured front along the road, a gable towards the camera, a roof, chimneys."""

    near_m: float
    far_m: float
    x: float
    height_m: float
    roof_m: float
    depth_m: float
    gable: Colour
    roof: Colour
    chimneys: int
    front: Callable[[float], Texture]
    """Share of lit windows → the picture of its front."""

    def draw(self, canvas: Canvas, camera: Camera) -> None:
        """Paint roof, gable, then the front."""
        z1, z2 = max(self.near_m - camera.s_m, NEAR_M), self.far_m - camera.s_m
        code = depth_code(z1) | BUILDING
        out = math.copysign(self.depth_m, self.x)
        x, h, ridge = self.x, self.height_m, self.height_m + self.roof_m
        middle, back = x + out / 2, x + out
        if self.roof_m > 0:
            for k in range(self.chimneys):
                self._chimney(canvas, camera, middle, ridge, z1 + (k + 0.5) * (z2 - z1) / self.chimneys, code)
            slope = np.array([(x, h, z1), (middle, ridge, z1), (middle, ridge, z2), (x, h, z2)])
            canvas.fill([camera.project(slope)], self.roof, depth_code((z1 + z2) / 2) | BUILDING)
        if self.near_m - camera.s_m > NEAR_M:
            gable = np.array([(x, 0, z1), (x, h, z1), (middle, ridge, z1), (back, h, z1), (back, 0, z1)])
            canvas.fill([camera.project(gable)], self.gable, code)
        texture = self.front(canvas.lit_windows)
        per_m = texture.colour[0][0].shape[1] / (self.far_m - self.near_m)
        while z1 < z2:  # pieces, so that each has a tight frame and its own level of detail
            end = min(z2, 2.2 * z1)
            start = (camera.s_m + z1 - self.near_m) * per_m
            texels = (start, start + (end - z1) * per_m)
            canvas.wall(camera, texture, x, (z1, end), (0.0, h), BUILDING, texels)
            z1 = end

    @staticmethod
    def _chimney(canvas: Canvas, camera: Camera, x: float, ridge: float, z: float, code: int) -> None:
        corners = [
            (x - 0.5, ridge - 1, z),
            (x - 0.5, ridge + 1.1, z),
            (x + 0.5, ridge + 1.1, z),
            (x + 0.5, ridge - 1, z),
        ]
        canvas.fill([camera.project(np.array(corners))], (50, 62, 80), code)


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree at (x, position), facing the camera."""

    near_m: float
    x: float
    height_m: float
    texture: Texture
    mirrored: bool

    @property
    def far_m(self) -> float:
        """The same as the near end."""
        return self.near_m

    def draw(self, canvas: Canvas, camera: Camera) -> None:
        """Paint it."""
        z = self.near_m - camera.s_m
        u, v, scale = camera.anchor(self.x, z)
        height = scale * self.height_m
        half = 0.4 * height
        canvas.sprite(self.texture, (u - half, v - height, u + half, v), depth_code(z) | TREE, mirrored=self.mirrored)


@dataclass(frozen=True, slots=True)
class Pole:
    """A lamp post, mast or bollard; `arm_m` reaches over the road and carries a lamp."""

    near_m: float
    x: float
    height_m: float
    width_m: float
    colour: Colour
    arm_m: float = 0.0

    @property
    def far_m(self) -> float:
        """The same as the near end."""
        return self.near_m

    def draw(self, canvas: Canvas, camera: Camera) -> None:
        """Paint it."""
        z = self.near_m - camera.s_m
        u, v, scale = camera.anchor(self.x, z)
        code = depth_code(z) | POLE
        top = v - scale * self.height_m
        lower, upper = max(1.0, scale * self.width_m) / 2, max(0.9, scale * self.width_m * 0.7) / 2
        shaft = np.array([(u - lower, v), (u + lower, v), (u + upper, top), (u - upper, top)])
        canvas.fill([shaft], self.colour, code)
        if lower > 1.5:
            lit = tuple(min(240.0, 1.5 * c + 12) for c in self.colour)
            canvas.fill([shaft * [0.4, 1] + [0.6 * u - 0.35 * lower, 0]], lit)  # type: ignore[arg-type]
        if self.arm_m:
            end = u - math.copysign(scale * self.arm_m, self.x)
            canvas.line((u, top), (end, top - 0.06 * abs(end - u)), 0.09 * scale, self.colour, code)
            canvas.line(
                (end, top - 0.06 * abs(end - u)), (end + 0.25 * (u - end), top), 0.16 * scale, (120, 122, 125), code
            )
            canvas.light(end, top, 0.35 * scale, (150, 215, 255))


@dataclass(frozen=True, slots=True)
class Sign:
    """A sign on a pole (or on a house front, `pole` False), facing the camera."""

    near_m: float
    x: float
    centre_m: float
    """Height of its centre above the ground."""
    size_m: tuple[float, float]
    shape: str
    """round, triangle or board."""
    colour: Colour
    inner: Colour
    pole: bool = True

    @property
    def far_m(self) -> float:
        """The same as the near end."""
        return self.near_m

    def draw(self, canvas: Canvas, camera: Camera) -> None:
        """Paint it."""
        z = self.near_m - camera.s_m
        u, v, scale = camera.anchor(self.x, z)
        code = depth_code(z)
        middle = v - scale * self.centre_m
        half_w, half_h = scale * self.size_m[0] / 2, scale * self.size_m[1] / 2
        if self.pole:
            canvas.line((u, v), (u, middle), 0.08 * scale, (95, 98, 100), code | POLE)
        if self.shape == "round":
            canvas.ellipse((u, middle), (half_w, half_h), self.colour, code | SIGN)
            canvas.ellipse((u, middle), (0.72 * half_w, 0.72 * half_h), self.inner)
            canvas.line((u - 0.3 * half_w, middle), (u + 0.3 * half_w, middle), 0.25 * half_h, (30, 30, 30))
            return
        outline = _TRIANGLE if self.shape == "triangle" else _BOARD
        centre, radii = np.array([u, middle]), np.array([half_w, half_h])
        canvas.fill([centre + outline * radii], self.colour, code | SIGN)
        if self.shape == "triangle":
            canvas.fill([centre + [0, 0.1 * half_h] + outline * radii * 0.62], self.inner)
            canvas.line((u, middle - 0.2 * half_h), (u, middle + 0.4 * half_h), 0.15 * half_w, (25, 25, 25))
        elif half_h > 3:
            for row in (-0.5, 0.0, 0.5):
                y = middle + row * half_h
                canvas.line((u - 0.7 * half_w, y), (u + (0.6 - 0.5 * abs(row)) * half_w, y), 0.2 * half_h, self.inner)


_TRIANGLE: Points = np.array([(-1.0, 0.87), (0.0, -0.87), (1.0, 0.87)])
_BOARD: Points = np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
_LAMPS: tuple[tuple[float, Colour, Colour], ...] = (
    (-0.62, (40, 40, 255), (20, 20, 70)),
    (0.0, (30, 180, 255), (15, 50, 70)),
    (0.62, (190, 255, 90), (40, 60, 20)),
)


@dataclass(frozen=True, slots=True)
class TrafficLight:
    """A signal head on a pole; `lamp` 0 red, 1 amber, 2 green."""

    near_m: float
    x: float
    lamp: int = field(default=0)

    @property
    def far_m(self) -> float:
        """The same as the near end."""
        return self.near_m

    def draw(self, canvas: Canvas, camera: Camera) -> None:
        """Paint it."""
        z = self.near_m - camera.s_m
        u, v, scale = camera.anchor(self.x, z)
        code = depth_code(z)
        canvas.line((u, v), (u, v - 3.4 * scale), 0.12 * scale, (38, 40, 42), code | POLE)
        middle, half_w, half_h = v - 2.9 * scale, 0.24 * scale, 0.55 * scale
        canvas.fill([np.array([u, middle]) + _BOARD * [half_w, half_h]], (18, 19, 20), code | SIGN)
        for k, (row, bright, dark) in enumerate(_LAMPS):
            centre = (u, middle + row * half_h)
            canvas.ellipse(centre, (0.55 * half_w, 0.24 * half_h), bright if k == self.lamp else dark)
            if k == self.lamp:
                canvas.light(*centre, 0.2 * scale, bright)
