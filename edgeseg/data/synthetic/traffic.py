"""Everything that moves by itself, as closed formulas of time, so that any frame can be asked for first.

Movers come in streams: slot k of a stream starts at k times the spacing and moves on at the stream's speed. What a slot
holds, or that it is empty, depends on the seed, the stream and k alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from edgeseg.data.synthetic.canvas import Colour
from edgeseg.data.synthetic.ground import CrossSection
from edgeseg.data.synthetic.people import Clothes, Cyclist, Pedestrian
from edgeseg.data.synthetic.statics import Drawable
from edgeseg.data.synthetic.vehicles import PAINTS, Vehicle

VIEW_M = 110.0
"""Movers farther than this are a few pixels and left out."""

_LEADER_S = 34.0
"""How long each car in our own lane is in sight."""

Mover: TypeAlias = Callable[[float, float], Drawable]
"""(position along the road in metres, time in seconds) → the thing there and then."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Slots `spacing_m` apart, moving at `speed_mps` along the road (negative: towards us)."""

    number: int
    spacing_m: float
    speed_mps: float
    make: Callable[[np.random.Generator], Mover | None]
    """Fills a slot, or leaves it empty."""


class Traffic:
    """The streams of one drive."""

    def __init__(self, seed: int, section: CrossSection, ego_x_m: float) -> None:
        self._seed = seed
        self._section = section
        self._ego_x = ego_x_m
        streams = [
            Stream(1, 27.0, -10.5, self._oncoming_car),
            Stream(2, 70.0, 4.6, partial_cyclist(section, -1)),
            Stream(3, 95.0, -4.9, partial_cyclist(section, 1)),
        ]
        streams += [
            Stream(12 + side + 3 * way, 17.0, way * 1.35, self._walker(side, way))
            for side in (-1, 1)
            for way in (-1, 1)
        ]
        self._slots = lru_cache(maxsize=512)(self._fill)
        self._streams = streams

    def at(self, time_s: float, ego_s_m: float) -> Iterator[Drawable]:
        """Movers in view at `time_s` from the position `ego_s_m`."""
        for stream in self._streams:
            moved = stream.speed_mps * time_s
            first = math.floor((ego_s_m - 6 - moved) / stream.spacing_m)
            last = math.ceil((ego_s_m + VIEW_M - moved) / stream.spacing_m)
            for slot in range(first, last + 1):
                jitter, mover = self._slots(self._streams.index(stream), slot)
                if mover is not None:
                    yield mover(slot * stream.spacing_m + moved + jitter, time_s)
        yield from self._leader(time_s, ego_s_m)

    def crossing(self, zebra_m: float, arrival_s: float, time_s: float) -> Iterator[Drawable]:
        """People on a zebra crossing: they step off 9 s before we arrive and are across when we do."""
        rng = np.random.default_rng([self._seed, 21, int(zebra_m)])
        reach = self._section.half_road_m + 1.6
        for _ in range(int(rng.integers(1, 4))):
            way = int(rng.choice([-1, 1]))
            clothes, height, delay = Clothes.pick(rng), float(rng.uniform(1.5, 1.9)), float(rng.uniform(0, 2.0))
            s = zebra_m + float(rng.uniform(-1.2, 1.2))
            walked = (time_s - (arrival_s - 10.5 + delay)) * 1.45
            if 0 < walked < 2 * reach:
                phase = walked * 4.4
                yield Pedestrian(s, way * (walked - reach), height, way * math.pi / 2, phase, clothes)

    def _fill(self, index: int, slot: int) -> tuple[float, Mover | None]:
        stream = self._streams[index]
        rng = np.random.default_rng([self._seed, 22, stream.number, slot & 0xFFFFFFFF])
        return float(rng.uniform(0, 0.55 * stream.spacing_m)), stream.make(rng)

    def _oncoming_car(self, rng: np.random.Generator) -> Mover | None:
        if rng.random() < 0.45:
            return None
        shape = str(
            rng.choice(["hatchback", "hatchback", "saloon", "suv", "van", "bus"], p=[0.3, 0.2, 0.2, 0.16, 0.1, 0.04])
        )
        paint = PAINTS[int(rng.integers(len(PAINTS)))]
        x = -self._ego_x + float(rng.uniform(-0.2, 0.2))
        return lambda s, _time: Vehicle(s, x, shape, paint, oncoming=True)

    def _walker(self, side: int, way: int) -> Callable[[np.random.Generator], Mover | None]:
        inner, outer = self._section.half_road_m + 0.7, self._section.half_road_m + self._section.pavement_m - 0.3

        def make(rng: np.random.Generator) -> Mover | None:
            if rng.random() < 0.35:
                return None
            clothes, height, bag = Clothes.pick(rng), float(rng.uniform(1.5, 1.9)), bool(rng.random() < 0.3)
            x, start = side * float(rng.uniform(inner, outer)), float(rng.uniform(0, 6))
            facing = (0.0 if way > 0 else math.pi) + float(rng.uniform(-0.5, 0.5))
            return lambda s, time: Pedestrian(s, x, height, facing, start + 5.9 * time, clothes, bag)

        return make

    def _leader(self, time_s: float, ego_s_m: float) -> Iterator[Drawable]:
        """Cars ahead in our lane: each comes into sight, is followed for a while, and gets away."""
        turn = math.floor(time_s / _LEADER_S)
        part = time_s / _LEADER_S - turn
        rng = np.random.default_rng([self._seed, 23, turn])
        paint: Colour = PAINTS[int(rng.integers(len(PAINTS)))]
        shape = str(rng.choice(["hatchback", "saloon", "suv", "van", "bus"], p=[0.35, 0.25, 0.2, 0.12, 0.08]))
        gap = float(rng.uniform(9, 20)) + 4 * VIEW_M * (part - 0.5) ** 2
        if rng.random() < 0.8:
            yield Vehicle(ego_s_m + gap, self._ego_x, shape, paint, oncoming=False, braking=0.25 < part < 0.45)


def partial_cyclist(section: CrossSection, side: int) -> Callable[[np.random.Generator], Mover | None]:
    """The maker of cyclists along the kerb on one side (−1 rides with us)."""

    def make(rng: np.random.Generator) -> Mover | None:
        if rng.random() < 0.3:
            return None
        x = side * min(section.half_road_m - 0.7, 3.2)
        helmet = tuple(float(c) for c in rng.uniform(20, 220, 3)) if rng.random() < 0.6 else None
        clothes, start = Clothes.pick(rng), float(rng.uniform(0, 6))
        return lambda s, time: Cyclist(s, x, start + 7.0 * time, side > 0, clothes, helmet)  # type: ignore[arg-type]

    return make
