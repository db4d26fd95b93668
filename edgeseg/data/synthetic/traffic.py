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

from edgeseg.data.synthetic.camera import Camera
from edgeseg.data.synthetic.canvas import Colour
from edgeseg.data.synthetic.figures import CARRIAGEWAY, PAVEMENT_SIDE, Figure
from edgeseg.data.synthetic.ground import CrossSection
from edgeseg.data.synthetic.people import Clothes, Rider, Walker, bgr, pose_number, riding, walking
from edgeseg.data.synthetic.vehicles import PAINTS, SHAPES, vehicle

VIEW_M = 110.0
"""Cars farther than this are a few pixels and left out; people from `PEOPLE_VIEW_M` on."""
PEOPLE_VIEW_M = 85.0
_LEADER_S = 34.0
"""How long each car in our own lane is in sight."""
_STRIDE_M = 1.45
"""Length of a double step of an adult (about 0.83 body heights)."""

Mover: TypeAlias = Callable[[float, float], Figure]
"""(position along the road in metres, time in seconds) → the figure there and then."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Slots `spacing_m` apart, moving at `speed_mps` along the road (negative: towards us)."""

    number: int
    spacing_m: float
    speed_mps: float
    x: float
    """About where it moves, for leaving out what is out of the picture."""
    make: Callable[[np.random.Generator], Mover | None]
    """Fills a slot, or leaves it empty."""
    view_m: float = PEOPLE_VIEW_M


class Traffic:
    """The streams of one drive."""

    def __init__(self, seed: int, section: CrossSection, ego_x_m: float) -> None:
        self._seed, self._section, self._ego_x = seed, section, ego_x_m
        cycle_x, walk_x = min(section.half_road_m - 0.6, 3.5), section.half_road_m + section.pavement_m / 2
        self._streams = [
            Stream(1, 30.0, -10.5, -ego_x_m, self._oncoming_car, VIEW_M),
            Stream(2, 50.0, 4.6, -cycle_x, self._cyclist(-cycle_x)),
            Stream(3, 60.0, -4.9, cycle_x, self._cyclist(cycle_x)),
        ]
        self._streams += [
            Stream(12 + side + 3 * way, 17.0, way * 1.35, side * walk_x, self._walker(side, way))
            for side in (-1, 1)
            for way in (-1, 1)
        ]
        self._slots = lru_cache(maxsize=512)(self._fill)
        self._leaders = lru_cache(maxsize=4)(self._pick_leader)

    def at(self, time_s: float, camera: Camera) -> Iterator[Figure]:
        """Movers in view at `time_s`."""
        for index, stream in enumerate(self._streams):
            moved = stream.speed_mps * time_s
            first = math.floor((camera.s_m - 6 - moved) / stream.spacing_m)
            last = math.ceil((camera.s_m + stream.view_m - moved) / stream.spacing_m)
            for slot in range(first, last + 1):
                jitter, mover = self._slots(index, slot)
                position = slot * stream.spacing_m + moved + jitter
                if mover is not None and camera.sees(stream.x, 2.5, position + 3 - camera.s_m):
                    yield mover(position, time_s)
        yield from self._leader(time_s, camera.s_m)

    def crossing(self, zebra_m: float, arrival_s: float, time_s: float) -> Iterator[Figure]:
        """People on a zebra crossing: they step off about 10 s before we arrive and are across when we do."""
        if not arrival_s - 12 < time_s < arrival_s:
            return
        rng = np.random.default_rng([self._seed, 21, int(zebra_m)])
        reach = self._section.half_road_m + 1.6
        for _ in range(int(rng.integers(1, 4))):
            way, delay, s = (
                int(rng.choice([-1, 1])),
                float(rng.uniform(0, 2.0)),
                zebra_m + float(rng.uniform(-1.2, 1.2)),
            )
            who = Walker(float(rng.uniform(1.5, 1.9)), way * math.pi / 2, Clothes.pick(rng), bool(rng.random() < 0.3))
            walked = (time_s - (arrival_s - 10.5 + delay)) * 1.45
            if 0 < walked < 2 * reach:
                x = way * (walked - reach)
                yield walking(who, pose_number(walked / _STRIDE_M)).at(x, s, CARRIAGEWAY)

    def _fill(self, index: int, slot: int) -> tuple[float, Mover | None]:
        stream = self._streams[index]
        rng = np.random.default_rng([self._seed, 22, stream.number, slot & 0xFFFFFFFF])
        return float(rng.uniform(0, 0.55 * stream.spacing_m)), stream.make(rng)

    def _oncoming_car(self, rng: np.random.Generator) -> Mover | None:
        if rng.random() < 0.5:
            return None
        shape = str(rng.choice(["hatchback", "saloon", "suv", "van", "bus"], p=[0.48, 0.2, 0.18, 0.1, 0.04]))
        paint = PAINTS[int(rng.integers(len(PAINTS)))]
        x = -self._ego_x + float(rng.uniform(-0.2, 0.2))
        model = vehicle(shape, paint, oncoming=True, seen_from=-1, lamps=True)
        return lambda s, _time: model.at(x, s, CARRIAGEWAY, length_m=SHAPES[shape].length)

    def _walker(self, side: int, way: int) -> Callable[[np.random.Generator], Mover | None]:
        inner, outer = self._section.half_road_m + 0.7, self._section.half_road_m + self._section.pavement_m - 0.3

        def make(rng: np.random.Generator) -> Mover | None:
            if rng.random() < 0.35:
                return None
            facing = (0.0 if way > 0 else math.pi) + float(rng.uniform(-0.6, 0.6))
            who = Walker(float(rng.uniform(1.5, 1.9)), facing, Clothes.pick(rng), bool(rng.random() < 0.3))
            x, start = side * float(rng.uniform(inner, outer)), float(rng.uniform(0, 1))

            def walk(s: float, time_s: float) -> Figure:
                return walking(who, pose_number(start + 1.35 * time_s / _STRIDE_M)).at(x, s, PAVEMENT_SIDE)

            return walk

        return make

    def _cyclist(self, x: float) -> Callable[[np.random.Generator], Mover | None]:
        """The maker of cyclists at `x`; left of the middle they ride with us."""

        def make(rng: np.random.Generator) -> Mover | None:
            if rng.random() < 0.4:
                return None
            clothes, start = Clothes.pick(rng), float(rng.uniform(0, 1))
            helmet = bgr(rng.uniform(20, 200, 3)) if rng.random() < 0.6 else clothes.hair
            who = Rider(x > 0, clothes, helmet)

            def ride(s: float, time_s: float) -> Figure:
                return riding(who, pose_number(start + 1.1 * time_s)).at(x, s, CARRIAGEWAY)

            return ride

        return make

    def _leader(self, time_s: float, ego_s_m: float) -> Iterator[Figure]:
        """Cars ahead in our lane: each comes into sight, is followed for a while, and gets away."""
        turn = math.floor(time_s / _LEADER_S)
        part = time_s / _LEADER_S - turn
        leader = self._leaders(turn)
        if leader is not None:
            shape, paint, closest = leader
            model = vehicle(shape, paint, oncoming=False, seen_from=1, lamps=True, braking=0.25 < part < 0.45)
            gap = closest + 4 * (VIEW_M - closest) * (part - 0.5) ** 2
            yield model.at(self._ego_x, ego_s_m + gap, CARRIAGEWAY, length_m=SHAPES[shape].length)

    def _pick_leader(self, turn: int) -> tuple[str, Colour, float] | None:
        rng = np.random.default_rng([self._seed, 23, turn])
        if rng.random() < 0.25:
            return None
        shape = str(rng.choice(["hatchback", "saloon", "suv", "van", "bus"], p=[0.35, 0.25, 0.2, 0.12, 0.08]))
        return shape, PAINTS[int(rng.integers(len(PAINTS)))], float(rng.uniform(9, 20))
