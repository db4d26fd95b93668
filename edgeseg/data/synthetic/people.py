"""Walking pedestrians and cyclists, with limbs that swing: for each person a cycle of poses, sketched once.

Proportions are shares of the body height, as drawing is taught: head an eighth, hips at a half, knees at a quarter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgeseg.data.synthetic.canvas import BICYCLIST, PEDESTRIAN, Colour
from edgeseg.data.synthetic.figures import Model, Sketch, Vertex, disc, rectangle, times

POSES = 24
"""Poses of one cycle: a step is at most an eighth of a second apart at walking speed, a frame shows the nearest."""


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
        coat = rng.uniform(15, 170, 3) if bright else rng.uniform(14, 70) * rng.uniform(0.8, 1.2, 3)
        trousers = rng.uniform(14, 60) * np.array([1.2, 1.0, 0.9])
        skin = rng.uniform(0.35, 0.9) * np.array([150.0, 175.0, 215.0])
        hair = rng.uniform(12, 70) * np.array([0.6, 0.8, 1.0])
        return Clothes(bgr(coat), bgr(trousers), bgr(skin), bgr(hair))


def bgr(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Colour:
    """Three numbers as a colour."""
    blue, green, red = (float(value) for value in values)
    return blue, green, red


def pose_number(cycles: float) -> int:
    """Time in cycles → number of the pose."""
    return int(cycles * POSES) % POSES


@dataclass(frozen=True, slots=True)
class Walker:
    """Someone on foot; `facing` is the angle from the direction of the road, in radians."""

    height_m: float
    facing: float
    clothes: Clothes
    bag: bool


@lru_cache(maxsize=4096)
def walking(who: Walker, pose: int) -> Model:
    """The walker in one pose; origin on the ground between the feet."""
    sketch, h = Sketch(), who.height_m
    phase = 2 * math.pi * pose / POSES
    across, along = math.cos(who.facing), math.sin(who.facing)

    def at(x: float, y: float) -> Vertex:
        return h * x, h * y, 0.0

    legs, shoes, arms = [], [], []
    half = 0.075 + 0.045 * abs(across)
    for side in (-1.0, 1.0):
        swing, lift = side * math.sin(phase), max(0.0, side * math.cos(phase))
        hip = side * 0.045 * across
        foot = hip + (0.2 * swing - 0.05 * lift) * along
        knee = hip + (0.1 * swing + 0.04 * lift) * along
        legs.append([at(hip, 0.48), at(knee, 0.27 + 0.02 * lift), at(foot, 0.04 + 0.07 * lift)])
        shoes.append([at(foot - 0.01 * along, 0.02 + 0.07 * lift), at(foot + 0.06 * along, 0.02 + 0.06 * lift)])
        elbow = side * (half + 0.015) - 0.08 * swing * along
        arms.append([at(side * (half - 0.01), 0.79), at(elbow, 0.62), at(elbow - 0.07 * swing * along, 0.48)])
    wear = who.clothes
    sketch.stroke(legs, 0.08 * h, wear.trousers, PEDESTRIAN)
    sketch.stroke(shoes, 0.05 * h, (20, 20, 22), PEDESTRIAN, detail=22)
    trunk = [(-0.85, 0.43), (-1.0, 0.76), (-0.55, 0.845), (0.55, 0.845), (1.0, 0.76), (0.85, 0.43)]
    sketch.fill([at(half * x, y) for x, y in trunk], wear.coat, PEDESTRIAN)
    shade = [(0.15, 0.43), (0.3, 0.8), (1.0, 0.76), (0.85, 0.43)]
    sketch.fill([at(half * x, y) for x, y in shade], times(wear.coat, 0.75), detail=28)
    sketch.stroke(arms, 0.055 * h, times(wear.coat, 0.82), PEDESTRIAN, detail=11)
    if who.bag:
        left, right = sorted((h * half, h * (half + 0.12)))
        sketch.fill(rectangle(left, right, 0.33 * h, 0.5 * h), (40, 50, 80), PEDESTRIAN, detail=9)
    sketch.fill(disc((0.012 * along * h, 0.925 * h), (0.052 * h, 0.07 * h), 10), wear.skin, PEDESTRIAN)
    sketch.fill(disc((-0.012 * along * h, 0.95 * h), (0.052 * h, 0.048 * h), 10), wear.hair, PEDESTRIAN, detail=10)
    return sketch.model()


@dataclass(frozen=True, slots=True)
class Rider:
    """Someone on a bicycle, seen from behind or, `oncoming`, from the front."""

    oncoming: bool
    clothes: Clothes
    helmet: Colour


@lru_cache(maxsize=1024)
def riding(who: Rider, pose: int) -> Model:
    """The rider with the cranks in one pose; origin where the nearer wheel touches the ground, the other 1 m behind."""
    sketch = Sketch()
    phase = 2 * math.pi * pose / POSES
    wear, frame = who.clothes, (60.0, 50.0, 110.0)
    sketch.stroke([[(0, 0.02, 1.0), (0, 0.66, 1.0)]], 0.06, (26, 26, 28), BICYCLIST, detail=7)
    sketch.stroke([[(0, 0.4, 0.05), (0, 0.62, 0.4), (0, 0.4, 1.0)]], 0.06, frame, BICYCLIST, detail=7)
    sketch.stroke([[(0, 0.02, 0), (0, 0.66, 0)]], 0.07, (22, 22, 24), BICYCLIST)
    sketch.stroke([[(-0.28, 1.02, 0.7), (0.28, 1.02, 0.7)]], 0.045, (30, 30, 32), BICYCLIST, detail=7)
    legs = []
    for side in (-1.0, 1.0):
        pedal = 0.3 + 0.16 * side * math.sin(phase)
        legs.append([(side * 0.1, 0.95, 0.4), (side * 0.15, 0.4 + 0.7 * pedal, 0.45), (side * 0.1, pedal - 0.1, 0.45)])
    sketch.stroke(legs, 0.14, wear.trousers, BICYCLIST)
    trunk = [(-0.17, 0.88), (-0.22, 1.36), (-0.12, 1.47), (0.12, 1.47), (0.22, 1.36), (0.17, 0.88)]
    sketch.fill([(x, y, 0.4) for x, y in trunk], wear.coat, BICYCLIST)
    sketch.fill([(x, y, 0.4) for x, y in ((0.02, 0.88), (0.05, 1.42), (0.22, 1.36), (0.17, 0.88))],
                times(wear.coat, 0.78), detail=20)  # fmt: skip
    arms: list[list[Vertex]] = [[(side * 0.21, 1.37, 0.4), (side * 0.28, 1.04, 0.65)] for side in (-1.0, 1.0)]
    sketch.stroke(arms, 0.1, times(wear.coat, 0.85), BICYCLIST, detail=7)
    face = wear.skin if who.oncoming else wear.hair
    for centre, radii, colour in (((0, 1.6), (0.1, 0.13), face), ((0, 1.67), (0.115, 0.09), who.helmet)):
        sketch.fill([(x, y, 0.4) for x, y, _ in disc(centre, radii, 10)], colour, BICYCLIST)
    sketch.glow((0, 0.75, 0), 0.07, (230, 240, 255) if who.oncoming else (40, 40, 255))
    return sketch.model()
