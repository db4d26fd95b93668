"""The town: which objects stand along each stretch of the road.

The road is cut into districts. A district depends on nothing but the drive's seed and its number, so any stretch can
be built without the ones before it. Appearance that differs between scenes (lit windows) never draws from these generators.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from edgeseg.data.synthetic.canvas import Colour, Texture
from edgeseg.data.synthetic.facades import facade
from edgeseg.data.synthetic.ground import CrossSection
from edgeseg.data.synthetic.people import Clothes, Pedestrian
from edgeseg.data.synthetic.statics import (
    BUILDING,
    FENCE,
    TREE,
    Building,
    Drawable,
    Pole,
    Sign,
    TrafficLight,
    Tree,
    Wall,
)
from edgeseg.data.synthetic.textures import hedge, planks, railing, tree
from edgeseg.data.synthetic.vehicles import PAINTS, Vehicle

DISTRICT_M = 66.0
_SIDE_ROAD_M = 8.0
_KINDS = ("shops", "shops", "terrace", "terrace", "villas", "park")

_ROUND = ((40.0, 40.0, 190.0), (225.0, 225.0, 225.0))
_BLUE = ((170.0, 85.0, 20.0), (225.0, 225.0, 225.0))
_BOARDS: tuple[tuple[Colour, Colour], ...] = (
    ((60, 110, 30), (215, 215, 215)),
    ((150, 70, 20), (220, 220, 220)),
    ((40, 200, 220), (30, 30, 30)),
    ((215, 215, 215), (40, 40, 40)),
    ((40, 40, 170), (215, 215, 215)),
    ((35, 35, 35), (200, 200, 200)),
)


@dataclass(frozen=True, slots=True)
class District:
    """Objects of one stretch; positions are metres along the whole road."""

    objects: tuple[Drawable, ...]
    side_road: tuple[float, float] | None
    zebra: float | None


class Town:
    """Builds districts on demand and keeps the last few."""

    def __init__(self, seed: int, section: CrossSection) -> None:
        self._seed = seed
        self._section = section
        rng = np.random.default_rng([seed, 11])
        self._trees = [tree(rng, kind) for kind in ("bare", "bare", "bare", "leafy", "leafy", "conifer")]
        self._hedges = [hedge(rng) for _ in range(2)]
        self._railing, self._planks = railing(rng), planks(rng)
        self._brick = facade(seed + 1, (8.0, 1.5), shop=False, lit=0.0)
        self.facade = lru_cache(maxsize=160)(facade)
        self.district = lru_cache(maxsize=8)(self._build)

    def _build(self, number: int) -> District:
        rng = np.random.default_rng([self._seed, 12, number])
        start = number * DISTRICT_M
        objects: list[Drawable] = []
        side_road = (start, start + _SIDE_ROAD_M) if rng.random() < 0.4 else None
        zebra = start + 16.0 if rng.random() < 0.3 else None
        edge = self._section.half_road_m
        first = start + (_SIDE_ROAD_M + 2.0 if side_road else 0.0)
        for side in (-1, 1):
            kind = _KINDS[int(rng.integers(len(_KINDS)))]
            self._houses(objects, rng, side, kind, first, start + DISTRICT_M)
            self._furniture(objects, rng, side, kind, first, start + DISTRICT_M, zebra)
        if side_road and rng.random() < 0.6:
            lamp = int(rng.choice([0, 2]))
            objects += [TrafficLight(start - 1.5, side * (edge + 0.5), lamp) for side in (-1, 1)]
        if zebra is not None:
            for side in (-1, 1):
                objects.append(Pole(zebra, side * (edge + 0.4), 2.6, 0.14, (190.0, 190.0, 190.0)))
                ball = (30.0, 160.0, 240.0)
                objects.append(Sign(zebra, side * (edge + 0.4), 2.75, (0.36, 0.36), "round", ball, ball, pole=False))
        return District(tuple(objects), side_road, zebra)

    def _houses(
        self, objects: list[Drawable], rng: np.random.Generator, side: int, kind: str, start: float, end: float
    ) -> None:
        outer = self._section.half_road_m + self._section.pavement_m
        setback = {"shops": 0.3, "terrace": 3.0, "villas": 6.0, "park": 16.0}[kind] + float(rng.uniform(0, 0.6))
        floors = {"shops": (7.0, 13.0), "terrace": (5.5, 8.0), "villas": (5.0, 7.0), "park": (5.0, 9.0)}[kind]
        at = start
        while at < end - 4:
            wide = float(rng.uniform(5.0, 9.0)) * {"shops": 1.2, "terrace": 1.0, "villas": 1.5, "park": 2.2}[kind]
            stop = min(at + wide, end)
            gap = {"shops": 0.0, "terrace": 0.0, "villas": rng.uniform(2, 6), "park": rng.uniform(8, 30)}[kind]
            height, roofed = float(rng.uniform(*floors)), bool(rng.random() < 0.7)
            brick, slate = rng.uniform(60, 120), rng.uniform(45, 80)
            number = int(rng.integers(1 << 30))
            chimneys, recess = int(rng.integers(0, 3)), float(rng.uniform(0, 0.25))
            if stop - at > 4 and (kind != "park" or rng.random() < 0.45):
                front = partial(self._front, number, (stop - at, height), kind == "shops")
                x = side * (outer + setback + recess)
                roof_m = float(rng.uniform(1.6, 3.0)) if roofed else 0.0
                gable = (brick * 0.7, brick * 0.85, brick)
                roof = (slate * 1.05, slate, slate * rng.uniform(0.95, 1.4))
                objects.append(Building(at, stop, x, height, roof_m, 8.0, gable, roof, chimneys, front))
            at = stop + float(gap)
        self._boundary(objects, rng, side, kind, start, end)

    def _front(self, number: int, size_m: tuple[float, float], shop: bool, lit: float) -> Texture:
        return self.facade(number, size_m, shop=shop, lit=lit)

    def _boundary(
        self, objects: list[Drawable], rng: np.random.Generator, side: int, kind: str, start: float, end: float
    ) -> None:
        """What parts the pavement from gardens and parks, in pieces of 4 m: painting order needs short pieces."""
        x = side * (self._section.half_road_m + self._section.pavement_m + 0.1)
        choice = rng.random()
        pick = int(rng.integers(len(self._hedges)))
        tall = float(rng.uniform(0.9, 1.7))
        if kind == "shops":
            return
        for k in range(int((end - start) // 4)):
            a, b = start + 4.0 * k, start + 4.0 * (k + 1)
            if rng.random() < 0.12:  # a gate
                continue
            if choice < 0.35:
                objects.append(Wall(a, b, x, tall, self._hedges[pick], 48.0, TREE))
            elif choice < 0.6:
                objects.append(Wall(a, b, x, 1.5, self._planks, 96.0, FENCE))
            elif choice < 0.85:
                objects.append(Wall(a, b, x, 0.9, self._brick, 20.0, BUILDING))
            else:
                objects.append(Wall(a, b, x, 1.1, self._railing, 96.0, FENCE))

    def _furniture(
        self,
        objects: list[Drawable],
        rng: np.random.Generator,
        side: int,
        kind: str,
        start: float,
        end: float,
        zebra: float | None,
    ) -> None:
        edge, pavement = self._section.half_road_m, self._section.pavement_m
        kerb, back = side * (edge + 0.45), side * (edge + pavement - 0.3)
        lamp_at = start + float(rng.uniform(4, 10))
        grey = float(rng.uniform(50, 120))
        while lamp_at < end:
            objects.append(Pole(lamp_at, kerb, 7.5, 0.16, (grey, grey, grey * 0.96), arm_m=1.6))
            lamp_at += 28.0
        trees = {"shops": 0.6, "terrace": 2.0, "villas": 4.0, "park": 9.0}[kind]
        for _ in range(int(rng.poisson(trees))):
            s, height = float(rng.uniform(start, end)), float(rng.uniform(5, 11))
            outside = rng.uniform(1.5, 9.0) if kind in ("park", "villas") else -0.5
            x = side * (edge + pavement + float(outside))
            objects.append(
                Tree(s, x, height, self._trees[int(rng.integers(len(self._trees)))], bool(rng.random() < 0.5))
            )
        objects += [
            _sign(rng, float(rng.uniform(start, end)), kerb if rng.random() < 0.6 else back)
            for _ in range(int(rng.poisson(2.2)))
        ]
        if kind == "shops":
            for _ in range(int(rng.poisson(3.5))):  # boards on the house fronts
                colours = _BOARDS[int(rng.integers(len(_BOARDS)))]
                size = (float(rng.uniform(0.6, 1.2)), float(rng.uniform(0.5, 1.1)))
                x = side * (edge + pavement - 0.2)
                objects.append(Sign(float(rng.uniform(start, end)), x, 3.2, size, "board", *colours, pole=False))
        if rng.random() < 0.3:
            for k in range(int(rng.integers(3, 9))):
                s = start + 6 + 1.6 * k
                objects.append(Pole(s, kerb, 1.0, 0.18, (45.0, 45.0, 48.0)))
        elif rng.random() < 0.4:
            a = float(rng.uniform(start, end - 20))
            objects += [
                Wall(a + 4 * k, a + 4 * k + 4, side * (edge + 0.3), 1.1, self._railing, 96.0, FENCE) for k in range(5)
            ]
        if rng.random() < 0.55:
            self._parked(objects, rng, side, start, end, zebra)
        for _ in range(int(rng.poisson(1.2 if kind == "shops" else 0.4))):  # people who stand and talk
            s, x = float(rng.uniform(start, end)), side * float(rng.uniform(edge + 0.9, edge + pavement - 0.2))
            for _ in range(2):
                person = Pedestrian(
                    s, x, float(rng.uniform(1.55, 1.9)), float(rng.uniform(0, 6)), 0.4, Clothes.pick(rng)
                )
                objects.append(person)
                s, x = s + 0.3, x + 0.6 * side

    def _parked(
        self,
        objects: list[Drawable],
        rng: np.random.Generator,
        side: int,
        start: float,
        end: float,
        zebra: float | None,
    ) -> None:
        x = side * max(self._section.half_road_m - 0.95, 3.9)
        at = start + float(rng.uniform(0, 8))
        while at < end - 6:
            shape = str(rng.choice(["hatchback", "hatchback", "saloon", "suv", "van"]))
            paint = PAINTS[int(rng.integers(len(PAINTS)))]
            if rng.random() < 0.75 and (zebra is None or abs(at + 2 - zebra) > 8):
                objects.append(Vehicle(at, x, shape, paint, oncoming=side > 0, lamps=False))
            at += 6.2


def _sign(rng: np.random.Generator, s: float, x: float) -> Sign:
    kind = rng.random()
    if kind < 0.35:
        colours = _ROUND if rng.random() < 0.6 else _BLUE
        return Sign(s, x, 2.4, (0.66, 0.66), "round", *colours)
    if kind < 0.65:
        return Sign(s, x, 2.4, (0.85, 0.75), "triangle", *_ROUND)
    colours = _BOARDS[int(rng.integers(len(_BOARDS)))]
    size = (float(rng.uniform(0.5, 1.8)), float(rng.uniform(0.5, 1.2)))
    return Sign(s, x, 2.0 + size[1] / 2, size, "board", *colours)
