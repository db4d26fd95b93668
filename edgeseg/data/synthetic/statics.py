"""Figures of what stands beside the road: houses' roofs and gables, posts, signs, traffic lights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeseg.data.synthetic.canvas import BUILDING, POLE, SIGN, Colour
from edgeseg.data.synthetic.figures import Model, Sketch, Vertex, disc, rectangle, times


@dataclass(frozen=True, slots=True)
class House:
    """Size in metres and colours of a house; `side` is −1 left of the road, 1 right of it."""

    side: int
    length_m: float
    height_m: float
    roof_m: float
    """Height of the roof; 0 is flat."""
    depth_m: float
    wall: Colour
    roof: Colour
    chimneys: int


def house_body(house: House, *, gable: bool) -> Model:
    """Roof, chimneys and the gable towards the camera; the front is a `Wall`. Origin: the near corner of the front.

    Without `gable` where the house next door hides it.
    """
    sketch = Sketch()
    height, ridge, length = house.height_m, house.height_m + house.roof_m, house.length_m
    middle, back = house.side * house.depth_m / 2, house.side * house.depth_m
    if house.roof_m > 0:
        for k in range(house.chimneys):
            z = (k + 0.5) * length / house.chimneys
            sketch.fill(
                rectangle(middle - 0.5, middle + 0.5, ridge - 1, ridge + 1.1, z), (50, 62, 80), BUILDING, detail=5
            )
        slope: list[Vertex] = [(0, height, 0), (middle, ridge, 0), (middle, ridge, length), (0, height, length)]
        sketch.fill(slope, house.roof, BUILDING)
        rows = [(part * middle, height + part * house.roof_m) for part in (0.25, 0.5, 0.75)]  # courses of slates
        sketch.stroke([[(x, y, 0), (x, y, length)] for x, y in rows], 0.05, times(house.roof, 0.82), detail=20)
    if not gable:
        return sketch.model()
    outline: list[Vertex] = [(0, 0, 0), (0, height, 0), (middle, ridge, 0), (back, height, 0), (back, 0, 0)]
    sketch.fill(outline, house.wall, BUILDING)
    storeys = range(int(height // 2.9))
    windows = [rectangle(middle - 0.5, middle + 0.5, 1.0 + 2.8 * n, 2.3 + 2.8 * n) for n in storeys]
    sketch.fills(windows, (64, 58, 54), detail=10)
    return sketch.model()


def post(height_m: float, width_m: float, colour: Colour) -> Model:
    """A bollard or mast, with a lit edge."""
    sketch = Sketch()
    _shaft(sketch, height_m, width_m, colour)
    return sketch.model()


def lamp_post(side: int, height_m: float, colour: Colour) -> Model:
    """A street lamp whose arm reaches over the road."""
    sketch = Sketch()
    _shaft(sketch, height_m, 0.16, colour)
    end = -side * 1.6
    sketch.stroke([[(0, height_m - 0.05, 0), (end, height_m + 0.12, 0)]], 0.09, colour, POLE)
    sketch.stroke([[(end, height_m + 0.12, 0), (0.6 * end, height_m + 0.08, 0)]], 0.2, (120, 122, 125), POLE)
    sketch.glow((end, height_m, 0), 0.3, (150, 215, 255), street=True)
    return sketch.model()


def _shaft(sketch: Sketch, height_m: float, width_m: float, colour: Colour) -> None:
    half, top = width_m / 2, 0.36 * width_m
    sketch.fill([(-half, 0, 0), (-top, height_m, 0), (top, height_m, 0), (half, 0, 0)], colour, POLE)
    lit: list[Vertex] = [(-0.7 * half, 0, 0), (-0.7 * top, height_m, 0), (-0.1 * top, height_m, 0), (-0.1 * half, 0, 0)]
    sketch.fill(lit, times(colour, 1.5), detail=20)


def belisha_beacon() -> Model:
    """The orange ball on a striped pole at a zebra crossing."""
    sketch = Sketch()
    sketch.fill(rectangle(-0.07, 0.07, 0, 2.6), (190, 190, 190), POLE)
    sketch.fills([rectangle(-0.07, 0.07, 0.43 * k, 0.43 * (k + 1)) for k in (0, 2, 4)], (30, 30, 30), detail=6)
    sketch.fill(disc((0, 2.76), (0.19, 0.19)), (30, 150, 235), SIGN)
    sketch.glow((0, 2.76, 0), 0.25, (40, 160, 255), street=True)
    return sketch.model()


def sign(
    shape: str, size_m: tuple[float, float], centre_m: float, colours: tuple[Colour, Colour], *, pole: bool
) -> Model:
    """A sign facing the camera: `shape` round, triangle or board; `centre_m` above ground; plate and symbol colours."""
    sketch = Sketch()
    plate, symbol = colours
    half_w, half_h = size_m[0] / 2, size_m[1] / 2
    if pole:
        sketch.stroke([[(0, 0, 0), (0, centre_m, 0)]], 0.08, (95, 98, 100), POLE)
    if shape == "round":
        sketch.fill(disc((0, centre_m), (half_w, half_h), 14), plate, SIGN)
        sketch.fill(disc((0, centre_m), (0.72 * half_w, 0.72 * half_h)), symbol, detail=6)
        bar = rectangle(-0.4 * half_w, 0.4 * half_w, centre_m - 0.12 * half_h, centre_m + 0.12 * half_h)
        sketch.fill(bar, (30, 30, 30), detail=12)
    elif shape == "triangle":
        for grow, colour, label in ((1.0, plate, SIGN), (0.6, symbol, None)):
            y = centre_m - 0.3 * half_h
            corners: list[Vertex] = [(grow * half_w * a, y + grow * half_h * b, 0) for a, b in _TRIANGLE]
            sketch.fill(corners, colour, label, detail=0.0 if label else 6.0)
        sketch.fill(rectangle(-0.05, 0.05, centre_m - 0.4 * half_h, centre_m + 0.25 * half_h), (25, 25, 25), detail=12)
    else:
        sketch.fill(rectangle(-half_w, half_w, centre_m - half_h, centre_m + half_h), plate, SIGN)
        lines = []
        for row, reach in ((0.5, 0.35), (0.0, 0.7), (-0.5, 0.5)):
            y = centre_m + row * half_h
            lines.append(rectangle(-0.75 * half_w, reach * half_w, y - 0.1 * half_h, y + 0.1 * half_h))
        sketch.fills(lines, symbol, detail=9)
    return sketch.model()


_TRIANGLE = ((-1.0, -0.7), (0.0, 1.3), (1.0, -0.7))

_LAMPS: tuple[tuple[Colour, Colour], ...] = (
    ((40, 40, 255), (20, 20, 70)),
    ((30, 180, 255), (15, 50, 70)),
    ((190, 255, 90), (40, 60, 20)),
)


def traffic_light(burning: int) -> Model:
    """A signal head on a pole; `burning` 0 red, 1 amber, 2 green."""
    sketch = Sketch()
    sketch.fill(rectangle(-0.06, 0.06, 0, 3.5), (38, 40, 42), POLE)
    sketch.fill(rectangle(-0.24, 0.24, 2.35, 3.45), (18, 19, 20), SIGN)
    for k, (bright, dark) in enumerate(_LAMPS):
        centre = (0.0, 3.24 - 0.34 * k)
        sketch.fill(disc(centre, (0.13, 0.13), 10), bright if k == burning else dark, detail=3)
        if k == burning:
            sketch.glow((*centre, 0.0), 0.2, bright)
    return sketch.model()


def random_sign(rng: np.random.Generator) -> Model:
    """A sign on a pole, as British streets have them."""
    kind = rng.random()
    if kind < 0.35:
        return sign("round", (0.7, 0.7), 2.4, _ROUND if rng.random() < 0.6 else _BLUE, pole=True)
    if kind < 0.6:
        return sign("triangle", (0.9, 0.8), 2.4, _ROUND, pole=True)
    size = (float(rng.uniform(0.5, 1.6)), float(rng.uniform(0.5, 1.4)))
    return sign("board", size, 2.0 + size[1] / 2, board_colours(rng), pole=True)


def board_colours(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """Plate and lettering."""
    return _BOARDS[int(rng.integers(len(_BOARDS)))]


_ROUND: tuple[Colour, Colour] = ((40, 40, 180), (215, 215, 215))
_BLUE: tuple[Colour, Colour] = ((150, 80, 20), (215, 215, 215))
_BOARDS: tuple[tuple[Colour, Colour], ...] = (
    ((60, 100, 30), (205, 205, 205)),
    ((140, 70, 20), (205, 205, 205)),
    ((40, 170, 190), (30, 30, 30)),
    ((190, 190, 190), (40, 40, 40)),
    ((40, 40, 150), (205, 205, 205)),
    ((35, 35, 35), (190, 190, 190)),
    ((70, 74, 78), (40, 42, 44)),  # the back of a sign
    ((90, 60, 50), (180, 190, 190)),
)
