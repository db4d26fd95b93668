"""Walking pedestrians and cyclists, with legs and arms that swing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgeseg.data.synthetic.camera import Camera
from edgeseg.data.synthetic.canvas import Canvas, Colour, depth_code
from edgeseg.data.synthetic.statics import BICYCLIST, PEDESTRIAN


@dataclass(frozen=True, slots=True)
class Clothes:
    """BGR colours."""

    coat: Colour
    trousers: Colour
    skin: Colour
    hair: Colour

    @staticmethod
    def pick(rng: np.random.Generator) -> Clothes:
        """Mostly dark and grey, now and then something bright."""
        bright = rng.random() < 0.25
        coat = rng.uniform(10, 200, 3) if bright else rng.uniform(14, 70) * rng.uniform(0.8, 1.2, 3)
        trousers = rng.uniform(14, 60) * np.array([1.2, 1.0, 0.9])
        skin = rng.uniform(0.35, 1.0) * np.array([150.0, 175.0, 215.0])
        hair = rng.uniform(12, 70) * np.array([0.6, 0.8, 1.0])
        return Clothes(_bgr(coat), _bgr(trousers), _bgr(skin), _bgr(hair))


def _bgr(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Colour:
    blue, green, red = (float(value) for value in values)
    return blue, green, red


@dataclass(frozen=True, slots=True)
class Pedestrian:
    """Someone walking; `facing` is the angle from the direction of the road, `phase` that of the step, in radians."""

    near_m: float
    x: float
    height_m: float
    facing: float
    phase: float
    clothes: Clothes
    bag: bool = False

    @property
    def far_m(self) -> float:
        """The same as the near end."""
        return self.near_m

    def draw(self, canvas: Canvas, camera: Camera) -> None:
        """Paint far limbs, trunk, near limbs, head. Proportions are in parts of the body height."""
        z = self.near_m - camera.s_m
        u, v, scale = camera.anchor(self.x, z)
        code = depth_code(z) | PEDESTRIAN
        unit = scale * self.height_m
        across, along = math.cos(self.facing), math.sin(self.facing)
        wear = self.clothes

        def at(x: float, y: float) -> tuple[float, float]:
            return u + unit * x, v - unit * y

        for side in (-1.0, 1.0):
            swing = math.sin(self.phase + (math.pi if side > 0 else 0.0))
            lift = max(0.0, math.cos(self.phase + (math.pi if side > 0 else 0.0)))
            hip = at(side * 0.05 * across, 0.48)
            knee = at(side * 0.05 * across + 0.1 * swing * along + 0.03 * lift * along, 0.27 + 0.02 * lift)
            foot_x = side * 0.05 * across + 0.2 * swing * along - 0.06 * lift * along
            foot = at(foot_x, 0.025 + 0.07 * lift)
            canvas.line(hip, knee, 0.085 * unit, wear.trousers, code)
            canvas.line(knee, foot, 0.065 * unit, wear.trousers, code)
            if unit > 30:
                canvas.line(foot, at(foot_x + 0.05 * along, 0.02 + 0.07 * lift), 0.045 * unit, (18, 18, 20), code)
        half = 0.07 + 0.05 * abs(across)
        trunk = [at(-0.8 * half, 0.44), at(-half, 0.78), at(-0.6 * half, 0.84), at(0.6 * half, 0.84)]
        trunk += [at(half, 0.78), at(0.8 * half, 0.44)]
        canvas.fill([np.array(trunk)], wear.coat, code)
        if unit > 20:
            shade: Colour = (0.7 * wear.coat[0], 0.7 * wear.coat[1], 0.7 * wear.coat[2])
            for side in (-1.0, 1.0):
                swing = math.sin(self.phase + (0.0 if side > 0 else math.pi))
                shoulder, elbow = at(side * half, 0.79), at(side * (half + 0.02) + 0.08 * swing * along, 0.61)
                hand = at(side * (half + 0.01) + 0.17 * swing * along, 0.47)
                canvas.line(shoulder, elbow, 0.06 * unit, shade, code)
                canvas.line(elbow, hand, 0.05 * unit, shade, code)
                if self.bag and side > 0:
                    box = [at(side * half, 0.5), at(side * (half + 0.12), 0.5)]
                    box += [at(side * (half + 0.12), 0.34), at(side * half, 0.34)]
                    canvas.fill([np.array(box)], (40, 50, 90), code)
        canvas.ellipse(at(0.015 * along, 0.925), (0.055 * unit, 0.07 * unit), wear.skin, code)
        if unit > 14:
            canvas.ellipse(at(-0.012 * along, 0.95), (0.055 * unit, 0.05 * unit), wear.hair, code)


@dataclass(frozen=True, slots=True)
class Cyclist:
    """Someone on a bicycle, seen from behind or from the front; `phase` is the angle of the cranks."""

    near_m: float
    x: float
    phase: float
    oncoming: bool
    clothes: Clothes
    helmet: Colour | None

    @property
    def far_m(self) -> float:
        """The same as the near end."""
        return self.near_m

    def draw(self, canvas: Canvas, camera: Camera) -> None:
        """Paint wheels, legs, trunk, arms, head; metres."""
        z = self.near_m - camera.s_m
        u, v, scale = camera.anchor(self.x, z)
        code = depth_code(z) | BICYCLIST
        # The two wheels are a metre apart in depth: seen from the side of the road they part.
        far_u, far_v, far_scale = camera.anchor(self.x, z + 1.0)
        wear = self.clothes

        def at(x: float, y: float) -> tuple[float, float]:
            return u + scale * x, v - scale * y

        middle = (u + far_u) / 2
        frame = (middle, v - 0.55 * scale)
        canvas.line((far_u, far_v), (far_u, far_v - 0.68 * far_scale), 0.06 * far_scale, (28, 28, 30), code)
        canvas.line((far_u, far_v - 0.4 * far_scale), frame, 0.05 * scale, (60, 50, 120), code)
        canvas.line(at(0, 0), at(0, 0.68), 0.07 * scale, (22, 22, 24), code)
        canvas.line(at(0, 0.4), frame, 0.05 * scale, (60, 50, 120), code)
        u = middle
        canvas.line(at(-0.28, 1.02), at(0.28, 1.02), 0.045 * scale, (30, 30, 32), code)
        for side in (-1.0, 1.0):
            pedal = 0.3 + 0.16 * math.sin(self.phase + (math.pi if side > 0 else 0.0))
            hip, knee, foot = at(side * 0.1, 0.95), at(side * 0.16, 0.36 + 0.75 * pedal), at(side * 0.1, pedal - 0.1)
            canvas.line(hip, knee, 0.16 * scale, wear.trousers, code)
            canvas.line(knee, foot, 0.12 * scale, wear.trousers, code)
        trunk = [at(-0.17, 0.9), at(-0.23, 1.38), at(-0.12, 1.48), at(0.12, 1.48), at(0.23, 1.38), at(0.17, 0.9)]
        canvas.fill([np.array(trunk)], wear.coat, code)
        for side in (-1.0, 1.0):
            canvas.line(at(side * 0.22, 1.38), at(side * 0.29, 1.05), 0.1 * scale, wear.coat, code)
        canvas.ellipse(at(0, 1.6), (0.1 * scale, 0.13 * scale), wear.skin if self.oncoming else wear.hair, code)
        canvas.ellipse(at(0, 1.66), (0.115 * scale, 0.09 * scale), self.helmet or wear.hair, code)
        lamp: Colour = (240, 250, 255) if self.oncoming else (40, 40, 255)
        canvas.light(*at(0, 0.75), 0.09 * scale, lamp)
