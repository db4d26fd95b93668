"""Cars, vans and buses: a side profile, extruded, with windows, wheels, lights and a shadow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgeseg.data.synthetic.canvas import CAR, Colour
from edgeseg.data.synthetic.figures import Model, Sketch, Vertex, times

PAINTS: tuple[Colour, ...] = (
    (35, 35, 38),
    (60, 58, 56),
    (120, 120, 122),
    (150, 150, 152),
    (205, 205, 208),
    (110, 60, 30),
    (70, 40, 22),
    (30, 30, 120),
    (25, 25, 75),
    (48, 62, 40),
    (140, 125, 100),
    (60, 100, 125),
)
"""BGR; mostly greys and dark colours, as on the street."""

_GLASS: Colour = (50, 46, 42)
_SKY_IN_GLASS: Colour = (142, 134, 126)
_RUBBER: Colour = (20, 20, 21)
_HALF_EDGE = 0.12
"""Metres by which the roof is narrower than the waist, on each side."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Metres. `body` and `cabin` are side outlines as (distance from the rear, height)."""

    length: float
    half_width: float
    waist: float
    roof: float
    body: tuple[tuple[float, float], ...]
    """Rear: bottom, corner, shoulder; front: bonnet's foot, bonnet's end, nose, bottom."""
    cabin: tuple[tuple[float, float], ...]
    """Rear foot, rear top, front top, front foot."""
    wheels: tuple[float, float]
    wheel_radius: float = 0.31


SHAPES = {
    "hatchback": Shape(
        3.9, 0.84, 0.95, 1.45,
        ((0, 0.3), (0, 0.8), (0.12, 0.95), (2.85, 0.95), (3.7, 0.78), (3.9, 0.55), (3.9, 0.28)),
        ((0.08, 0.93), (0.5, 1.45), (1.9, 1.47), (2.9, 0.93)),
        (0.65, 3.15),
    ),
    "saloon": Shape(
        4.5, 0.87, 0.93, 1.4,
        ((0, 0.32), (0, 0.88), (0.1, 0.95), (3.2, 0.92), (4.3, 0.76), (4.5, 0.55), (4.5, 0.28)),
        ((0.75, 0.92), (1.35, 1.38), (2.45, 1.41), (3.3, 0.9)),
        (0.85, 3.6),
    ),
    "suv": Shape(
        4.4, 0.92, 1.08, 1.75,
        ((0, 0.4), (0, 0.95), (0.08, 1.08), (3.15, 1.08), (4.25, 0.98), (4.4, 0.7), (4.4, 0.38)),
        ((0.06, 1.06), (0.35, 1.74), (2.3, 1.76), (3.2, 1.06)),
        (0.8, 3.5), 0.36,
    ),
    "van": Shape(
        4.9, 0.97, 1.25, 2.1,
        ((0, 0.35), (0, 1.2), (0.02, 1.26), (4.0, 1.26), (4.7, 1.1), (4.9, 0.7), (4.9, 0.32)),
        ((0.02, 1.2), (0.12, 2.1), (3.2, 2.12), (4.1, 1.2)),
        (0.95, 3.95), 0.34,
    ),
    "bus": Shape(
        10.5, 1.25, 1.4, 3.3,
        ((0, 0.4), (0, 1.3), (0.02, 1.45), (10.4, 1.45), (10.48, 1.3), (10.5, 0.9), (10.5, 0.4)),
        ((0.0, 1.4), (0.1, 3.3), (10.4, 3.3), (10.5, 1.4)),
        (2.2, 8.0), 0.48,
    ),
}  # fmt: skip


@lru_cache(maxsize=512)
def vehicle(name: str, paint: Colour, *, oncoming: bool, seen_from: int, lamps: bool, braking: bool = False) -> Model:
    """A vehicle; its origin is the ground below the middle of the end towards the camera.

    `oncoming` ones show their front. `seen_from` is 1 where the camera is to the right of it and sees its right flank,
    −1 for the left. `lamps` are on after dark.
    """
    shape = SHAPES[name]
    profile = _Profile(shape, oncoming, seen_from)
    sketch = Sketch()
    w, low = shape.half_width, shape.body[0][1]
    dull, dark, bright = times(paint, 0.7), times(paint, 0.42), times(paint, 1.25)
    shadow: list[Vertex] = [(a, 0, b) for a, b in ((-w, -0.2), (-w, shape.length), (w, shape.length), (w, -0.2))]
    sketch.fill(shadow, (27, 27, 28), detail=5)
    sketch.fill(profile.face(-w + 0.05, w - 0.05, 0.13, low + 0.1, 0.1), (14, 14, 15), CAR, detail=6)
    sketch.fill([profile.side(z, y) for z, y in profile.body], dull, CAR)
    sketch.fill([profile.side(z, y) for z, y in profile.cabin], dull, CAR)
    sketch.fill([profile.side(z, y) for z, y in profile.lower_body()], dark, detail=10)
    windows = ((0.06, 0.47), (0.52, 0.93)) if name != "bus" else ((0.01, 0.24), (0.26, 0.49), (0.51, 0.97))
    sketch.fills([profile.pane(*window, 0.12, 0.88) for window in windows], _GLASS, detail=7)
    sketch.fills([profile.pane(*window, 0.55, 0.88) for window in windows], times(_SKY_IN_GLASS, 0.7), detail=14)
    sketch.fills([profile.wheel(hub, shape.wheel_radius) for hub in profile.hubs], _RUBBER, CAR, detail=7)
    sketch.fills([profile.wheel(hub, 0.58 * shape.wheel_radius) for hub in profile.hubs], (108, 108, 110), detail=10)
    tyres = [profile.face(left, left + 0.22, 0.0, low + 0.08, 0.25) for left in (-w + 0.04, w - 0.26)]
    sketch.fills(tyres, _RUBBER, CAR, detail=7)
    sketch.fill(profile.end(-1.0, 1.0, 0.0, 1.0), dull, CAR)
    sketch.fill(profile.end(-0.86, 0.86, 0.12, 0.9), _GLASS, detail=5)
    sketch.fill(profile.end(-0.7, 0.2, 0.5, 0.84), _SKY_IN_GLASS, detail=9)
    sketch.fill(profile.lid(), bright, CAR, detail=5)
    sketch.fill(profile.end_face(), paint, CAR)
    sketch.fill(profile.face(-w + 0.02, w - 0.02, low + 0.03, low + 0.2), dark, detail=7)
    _end_details(sketch, profile, name, lamps=lamps, braking=braking)
    return sketch.model()


def _end_details(sketch: Sketch, profile: _Profile, name: str, *, lamps: bool, braking: bool) -> None:
    w, low = profile.shape.half_width, profile.shape.body[0][1]
    if profile.oncoming:
        bottom, top, wide = 0.6, 0.74, 0.32
        colour: Colour = (190, 190, 188)
        sketch.fill(profile.face(-0.35, 0.35, bottom, top - 0.02), (22, 22, 23), detail=9)  # the grille
        plate_y, plate = low + 0.2, (195.0, 195.0, 195.0)
    else:
        bottom, top, wide = (0.66, 0.9, 0.17) if name != "bus" else (0.8, 1.2, 0.2)
        colour = (50, 50, 250) if braking else (38, 34, 150)
        plate_y, plate = 0.6, (40.0, 160.0, 180.0)
    edges = (-w + 0.04, w - 0.04 - wide)
    sketch.fills([profile.face(left, left + wide, bottom, top) for left in edges], colour, detail=5)
    for left in edges:
        if lamps or braking:
            glow: Colour = (215, 235, 255) if profile.oncoming else (25, 25, 255 if braking else 170)
            sketch.glow((left + wide / 2, (bottom + top) / 2, 0), 0.16 if profile.oncoming else 0.12, glow)
    sketch.fill(profile.face(-0.26, 0.26, plate_y, plate_y + 0.11), plate, detail=12)


class _Profile:
    """The geometry of a shape: its end towards the camera at z = 0, its visible flank at x = `flank` · half width."""

    def __init__(self, shape: Shape, oncoming: bool, flank: int) -> None:
        def turned(outline: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
            return [(shape.length - z, y) for z, y in outline[::-1]] if oncoming else list(outline)

        self.shape, self.oncoming, self.flank = shape, oncoming, flank
        self.body, self.cabin = turned(shape.body), turned(shape.cabin)
        self.hubs = [shape.length - z if oncoming else z for z in shape.wheels]

    def side(self, z: float, y: float) -> Vertex:
        """A point of the flank; above the waist it leans inwards."""
        inset = _HALF_EDGE * min(1.0, max(0.0, (y - self.shape.waist) / (self.shape.roof - self.shape.waist)))
        return self.flank * (self.shape.half_width - inset), y, z

    def lower_body(self) -> list[tuple[float, float]]:
        """The sill, between the bumpers."""
        low = self.shape.body[0][1]
        return [(0.3, low), (0.3, low + 0.14), (self.shape.length - 0.3, low + 0.14), (self.shape.length - 0.3, low)]

    def pane(self, start: float, stop: float, bottom: float, top: float) -> list[Vertex]:
        """Part of the cabin's side, as shares of its length and height."""
        (z1, y1), (z2, y2), (z3, _), (z4, _) = self.cabin

        def at(along: float, up: float) -> Vertex:
            return self.side(_mix(_mix(z1, z4, along), _mix(z2, z3, along), up), _mix(y1, y2, up))

        return [at(start, bottom), at(start, top), at(stop, top), at(stop, bottom)]

    def end(self, left: float, right: float, bottom: float, top: float) -> list[Vertex]:
        """Part of the cabin's end towards the camera, as shares of its half width (−1 … 1) and its height."""
        (z1, y1), (z2, y2) = self.cabin[:2]
        wide = self.shape.half_width

        def at(across: float, up: float) -> Vertex:
            return across * (wide - _HALF_EDGE * up), _mix(y1, y2, up), _mix(z1, z2, up)

        return [at(left, bottom), at(left, top), at(right, top), at(right, bottom)]

    def lid(self) -> list[Vertex]:
        """Bonnet or boot: from the upper edge of the end to the foot of the glass."""
        wide, (z1, y1), (z2, y2) = self.shape.half_width, self._edge(), self.cabin[0]
        return [(-wide + 0.02, y1, z1), (-wide + 0.04, y2, z2), (wide - 0.04, y2, z2), (wide - 0.02, y1, z1)]

    def end_face(self) -> list[Vertex]:
        """The upright part of the body's end."""
        wide, low, top = self.shape.half_width, self.shape.body[0][1], self._edge()[1]
        half = [(wide - 0.06, low), (wide, low + 0.2), (wide - 0.02, top)]
        return [(-x, y, 0.0) for x, y in half] + [(x, y, 0.0) for x, y in half[::-1]]

    def _edge(self) -> tuple[float, float]:
        return self.body[2]

    def wheel(self, hub: float, radius: float) -> list[Vertex]:
        """A wheel on the flank, a little proud of it."""
        angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        x, centre = self.flank * (self.shape.half_width + 0.01), self.shape.wheel_radius
        return [(x, centre + radius * np.sin(a), hub + radius * np.cos(a)) for a in angles]

    @staticmethod
    def face(left: float, right: float, bottom: float, top: float, z: float = 0.0) -> list[Vertex]:
        """An upright rectangle facing the camera."""
        return [(left, bottom, z), (left, top, z), (right, top, z), (right, bottom, z)]


def _mix(a: float, b: float, share: float) -> float:
    return a + (b - a) * share
