"""The town: which objects stand along each stretch of the road.

The road is cut into districts. A district depends on nothing but the drive's seed and its number, so any stretch can be
built without the ones before it. What differs between scenes (lit windows) never draws from these generators.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from edgeseg.data.synthetic.canvas import BUILDING, FENCE, TREE, Canvas
from edgeseg.data.synthetic.facades import facade
from edgeseg.data.synthetic.figures import (
    BOUNDARY,
    CARRIAGEWAY,
    HOUSES,
    KERB,
    PAVEMENT_SIDE,
    SLICE_M,
    Drawable,
    painting_order,
)
from edgeseg.data.synthetic.ground import CrossSection
from edgeseg.data.synthetic.people import Clothes, Walker, walking
from edgeseg.data.synthetic.statics import (
    House,
    belisha_beacon,
    board_colours,
    house_body,
    lamp_post,
    post,
    random_sign,
    sign,
    traffic_light,
)
from edgeseg.data.synthetic.textured import Texture, Tree, Wall
from edgeseg.data.synthetic.textures import garden_wall, hedge, planks, railing, tree
from edgeseg.data.synthetic.vehicles import PAINTS, SHAPES, vehicle

DISTRICT_M = 64.0
"""A multiple of `WALL_M`, and that of the slices in which the world is painted."""
WALL_M = SLICE_M
"""Length of a piece of fence, hedge or garden wall, and of its texture."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How one side of a district is built up; metres, and expected numbers per district."""

    setback: float
    heights: tuple[float, float]
    widths: tuple[float, float]
    gap: float
    trees: float
    tree_band: tuple[float, float]
    """Where trees stand, from the outer edge of the pavement."""
    people: float
    boards: float
    walled: bool


KINDS = {
    "shops": Kind(0.3, (8.0, 15.0), (6.0, 11.0), 0.0, 0.8, (-0.6, -0.5), 1.4, 4.5, walled=False),
    "terrace": Kind(2.2, (6.5, 9.5), (5.0, 9.0), 0.0, 3.2, (0.8, 1.6), 0.5, 0.3, walled=True),
    "villas": Kind(4.5, (5.5, 8.0), (7.0, 13.0), 4.0, 5.0, (1.0, 4.0), 0.3, 0.0, walled=True),
    "park": Kind(15.0, (6.0, 10.0), (12.0, 20.0), 20.0, 9.0, (1.5, 11.0), 0.5, 0.0, walled=True),
}
_ALONG = ("shops", "shops", "shops", "terrace", "terrace", "terrace", "villas", "park")


@dataclass(frozen=True, slots=True)
class District:
    """Objects of one stretch; positions are metres along the whole road."""

    objects: tuple[tuple[tuple[int, int, float], Drawable], ...]
    """Each with its painting order."""
    bounds: NDArray[np.float64]
    """Of each object the far end, x, half width and the depth up to which it is drawn: float (N, 4)."""
    side_road: tuple[float, float] | None
    zebra: float | None


@dataclass(frozen=True, slots=True)
class _Plot:
    """One side of a district while it is being built."""

    objects: list[Drawable]
    rng: np.random.Generator
    side: int
    kind: Kind
    start: float
    end: float
    zebra: float | None


class Town:
    """Builds districts on demand and keeps the last few."""

    def __init__(self, seed: int, section: CrossSection) -> None:
        self._seed, self._section = seed, section
        rng = np.random.default_rng([seed, 11])
        self._trees = [tree(rng, kind) for kind in ("bare", "bare", "bare", "leafy", "leafy", "conifer")]
        self._boundaries = [
            (hedge(rng), TREE),
            (hedge(rng), TREE),
            (planks(rng), FENCE),
            (railing(rng), FENCE),
            (garden_wall(rng), BUILDING),
        ]
        self._railing = railing(rng)
        self._facade = lru_cache(maxsize=192)(facade)
        self.district = lru_cache(maxsize=8)(self._build)

    def _build(self, number: int) -> District:
        rng = np.random.default_rng([self._seed, 12, number])
        start, edge = number * DISTRICT_M, self._section.half_road_m
        objects: list[Drawable] = []
        side_road = (start + 4.0, start + WALL_M - 4.0) if rng.random() < 0.35 else None
        zebra = start + 26.0 if rng.random() < 0.25 else None
        first = start + (WALL_M if side_road else 0.0)
        for side in (-1, 1):
            kind = KINDS[_ALONG[int(rng.integers(len(_ALONG)))]]
            plot = _Plot(objects, rng, side, kind, first, start + DISTRICT_M, zebra)
            self._houses(plot)
            self._boundary(plot)
            self._planting(plot)
            self._furniture(plot)
            self._people(plot)
            if rng.random() < 0.4:
                self._parked(plot)
        if side_road and rng.random() < 0.6:
            signal = traffic_light(int(rng.choice([0, 2])))
            objects += [signal.at(side * (edge + 0.5), start + 2.0, PAVEMENT_SIDE) for side in (-1, 1)]
        if zebra is not None:
            objects += [belisha_beacon().at(side * (edge + 0.4), zebra, PAVEMENT_SIDE) for side in (-1, 1)]
        bounds = np.array([(thing.far_m, thing.x, thing.half_m, _view_m(thing)) for thing in objects])
        return District(tuple((painting_order(thing), thing) for thing in objects), bounds, side_road, zebra)

    def _houses(self, plot: _Plot) -> None:
        rng, kind, at = plot.rng, plot.kind, plot.start
        hidden_below = 0.0
        outer = self._section.half_road_m + self._section.pavement_m
        line = outer + kind.setback + float(rng.uniform(0, 0.8))
        while at < plot.end - 4:
            stop = min(at + float(rng.uniform(*kind.widths)), plot.end)
            height, roofed = float(rng.uniform(*kind.heights)), bool(rng.random() < 0.7)
            brick, slate, recess = float(rng.uniform(50, 120)), float(rng.uniform(40, 80)), float(rng.uniform(0, 0.3))
            gap = float(rng.uniform(0.3, 1.7)) * kind.gap
            if stop - at > 3:
                house = House(
                    side=plot.side,
                    length_m=stop - at,
                    height_m=height,
                    roof_m=float(rng.uniform(1.6, 3.0)) if roofed else 0.0,
                    depth_m=8.0,
                    wall=(brick * 0.7, brick * 0.85, brick),
                    roof=(slate * 1.05, slate, slate * float(rng.uniform(0.95, 1.4))),
                    chimneys=int(rng.integers(0, 3)),
                )
                x = plot.side * (line + recess)
                front = partial(self._front, int(rng.integers(1 << 30)), house, kind is KINDS["shops"])
                body = house_body(house, gable=height + house.roof_m > hidden_below)
                hidden_below = 0.0 if kind.gap else height
                plot.objects.append(body.at(x, at, HOUSES, half_m=9, length_m=stop - at))
                plot.objects.append(Wall(at, stop, x, height, BUILDING, HOUSES, front))
            at = stop + gap

    def _front(self, number: int, house: House, shop: bool, canvas: Canvas) -> Texture:
        shaded = canvas.sunny and house.side == self._section.shaded_side
        size = (house.length_m, house.height_m)
        return self._facade(number, size, shop=shop, lit=canvas.lit_windows, shade=0.5 if shaded else 1.0)

    def _boundary(self, plot: _Plot) -> None:
        """What parts the pavement from gardens and parks."""
        rng = plot.rng
        x = plot.side * (self._section.half_road_m + self._section.pavement_m + 0.1)
        texture, label = self._boundaries[int(rng.integers(len(self._boundaries)))]
        tall = float(rng.uniform(0.8, 1.8)) if label == TREE else float(rng.uniform(0.9, 1.5))
        if not plot.kind.walled:
            return
        for k in range(int((plot.end - plot.start) // WALL_M)):
            if rng.random() > 0.12:  # else a gate
                a = plot.start + WALL_M * k
                plot.objects.append(Wall(a, a + WALL_M, x, tall, label, BOUNDARY, _always(texture)))

    def _planting(self, plot: _Plot) -> None:
        rng, outer = plot.rng, self._section.half_road_m + self._section.pavement_m
        for _ in range(int(rng.poisson(plot.kind.trees))):
            s, height = float(rng.uniform(plot.start, plot.end)), float(rng.uniform(6.0, 13.0))
            off, pick = float(rng.uniform(*plot.kind.tree_band)), int(rng.integers(len(self._trees)))
            layer = HOUSES if off > 0 else PAVEMENT_SIDE
            mirrored = bool(rng.random() < 0.5)
            plot.objects.append(Tree(s, plot.side * (outer + off), height, *self._trees[pick], mirrored, layer))

    def _furniture(self, plot: _Plot) -> None:
        """Lamp posts, signs, boards on house fronts, bollards, guard rails."""
        rng, side, objects = plot.rng, plot.side, plot.objects
        kerb = side * (self._section.half_road_m + 0.45)
        back = side * (self._section.half_road_m + self._section.pavement_m - 0.25)
        grey, at = float(rng.uniform(45, 120)), plot.start + float(rng.uniform(3, 9))
        lamp = lamp_post(side, float(rng.uniform(6.5, 8.5)), (grey, grey, grey * 0.96))
        while at < plot.end:
            objects.append(lamp.at(kerb, at, PAVEMENT_SIDE, half_m=2))
            at += 29.0
        for _ in range(int(rng.poisson(2.8))):
            s, x = float(rng.uniform(plot.start, plot.end)), kerb if rng.random() < 0.5 else back
            objects.append(random_sign(rng).at(x, s, PAVEMENT_SIDE))
        for _ in range(int(rng.poisson(plot.kind.boards))):
            size = (float(rng.uniform(0.5, 1.1)), float(rng.uniform(0.5, 1.2)))
            board = sign("board", size, float(rng.uniform(2.9, 4.2)), board_colours(rng), pole=False)
            objects.append(board.at(back, float(rng.uniform(plot.start, plot.end)), PAVEMENT_SIDE))
        fate = rng.random()
        if fate < 0.3:
            bollard = post(1.0, float(rng.uniform(0.14, 0.26)), (45, 45, 48))
            for k in range(int(rng.integers(3, 9))):
                objects.append(bollard.at(kerb, plot.start + 5 + 1.7 * k, PAVEMENT_SIDE))
        elif fate < 0.55:
            x, first = side * (self._section.half_road_m + 0.3), plot.start + WALL_M * int(rng.integers(0, 2))
            for k in range(2):
                a = first + WALL_M * k
                objects.append(Wall(a, a + WALL_M, x, 1.1, FENCE, KERB, _always(self._railing)))

    def _people(self, plot: _Plot) -> None:
        """Groups who stand and talk."""
        rng, edge = plot.rng, self._section.half_road_m
        for _ in range(int(rng.poisson(plot.kind.people))):
            s = float(rng.uniform(plot.start, plot.end))
            x = plot.side * float(rng.uniform(edge + 0.9, edge + self._section.pavement_m - 0.2))
            for _ in range(int(rng.integers(1, 4))):
                who = Walker(float(rng.uniform(1.5, 1.9)), float(rng.uniform(0, 6)), Clothes.pick(rng), bag=False)
                plot.objects.append(walking(who, 1).at(x, s, PAVEMENT_SIDE))
                s, x = s + 0.3, x + 0.6 * plot.side

    def _parked(self, plot: _Plot) -> None:
        rng, x = plot.rng, plot.side * max(self._section.half_road_m - 0.95, 3.9)
        at = plot.start + float(rng.uniform(1, 8))
        while at < plot.end - 6:
            shape = str(rng.choice(["hatchback", "hatchback", "saloon", "suv", "van"]))
            paint = PAINTS[int(rng.integers(len(PAINTS)))]
            if rng.random() < 0.7 and (plot.zebra is None or abs(at + 2 - plot.zebra) > 8):
                model = vehicle(shape, paint, oncoming=plot.side > 0, seen_from=-plot.side, lamps=False)
                plot.objects.append(model.at(x, at, CARRIAGEWAY, length_m=SHAPES[shape].length))
            at += 6.2


def _view_m(thing: Drawable) -> float:
    """Depth from which on a thing is too small to show."""
    if thing.layer == HOUSES:
        return 140.0
    return 110.0 if thing.layer == CARRIAGEWAY else 90.0


def _always(texture: Texture) -> partial[Texture]:
    """A wall's picture that is the same under every light."""
    return partial(_first, texture)


def _first(texture: Texture, _canvas: Canvas) -> Texture:
    return texture
