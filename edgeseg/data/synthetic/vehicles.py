"""Cars, vans and buses: a side profile, extruded, with windows, wheels, lights and a shadow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgeseg.data.synthetic.camera import Camera, Points
from edgeseg.data.synthetic.canvas import Canvas, Colour, depth_code
from edgeseg.data.synthetic.statics import CAR

PAINTS: tuple[Colour, ...] = (
    (35, 35, 38),
    (60, 58, 56),
    (120, 120, 122),
    (165, 165, 168),
    (205, 205, 208),
    (110, 60, 30),
    (70, 40, 22),
    (30, 30, 130),
    (25, 25, 80),
    (50, 70, 40),
    (150, 130, 95),
    (40, 110, 150),
)
"""BGR; mostly greys, as on the street."""

_GLASS: Colour = (52, 46, 42)
_GLASS_LIT: Colour = (118, 108, 100)
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
    cabin: tuple[tuple[float, float], ...]
    """Rear foot, rear top, front top, front foot."""
    wheels: tuple[float, float]


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
        (0.8, 3.5),
    ),
    "van": Shape(
        4.9, 0.97, 1.25, 2.1,
        ((0, 0.35), (0, 1.2), (0, 1.26), (4.0, 1.26), (4.7, 1.1), (4.9, 0.7), (4.9, 0.32)),
        ((0.02, 1.2), (0.12, 2.1), (3.2, 2.12), (4.1, 1.2)),
        (0.95, 3.95),
    ),
    "bus": Shape(
        10.5, 1.25, 1.5, 3.1,
        ((0, 0.4), (0, 1.5), (0, 1.5), (10.5, 1.5), (10.5, 1.3), (10.5, 0.9), (10.5, 0.4)),
        ((0.0, 1.45), (0.1, 3.1), (10.4, 3.1), (10.5, 1.45)),
        (2.2, 8.0),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A vehicle from `near_m` on; `oncoming` ones show their front. `braking` lights the rear lamps."""

    near_m: float
    x: float
    shape: str
    paint: Colour
    oncoming: bool
    braking: bool = False
    lamps: bool = True
    """Whether its lights are on after dark: parked ones are dark."""

    @property
    def far_m(self) -> float:
        """The end away from the camera."""
        return self.near_m + SHAPES[self.shape].length

    def draw(self, canvas: Canvas, camera: Camera) -> None:
        """Paint shadow, flank, cabin, then the end towards the camera."""
        mesh = _mesh(self.shape, self.oncoming)
        z = self.near_m - camera.s_m
        to_side = 1.0 if camera.eye_x_m - self.x - float(camera.lateral(np.array([max(z, 1.0)]))[0]) > 0 else -1.0
        points = camera.project(mesh * [to_side, 1, 1] + [self.x, 0, z])
        code = depth_code(max(z, 1.0)) | CAR
        dull, dark, bright = (_scaled(self.paint, k) for k in (0.72, 0.45, 1.25))
        part = _Parts(points)
        canvas.fill([part("shadow")], (26, 26, 27))
        canvas.fill([part("under")], (14, 14, 15), code)
        canvas.fill([part("body side")], dull, code)
        canvas.fill([part("cabin side")], dull, code)
        canvas.fill([part("bonnet")], bright, code)
        canvas.fill([part("cabin end")], dull, code)
        size_px = camera.focal_px / max(z, 1.0)
        canvas.fill([part("glass end")], _GLASS)
        if size_px > 9:
            canvas.fill([part("glass side 1"), part("glass side 2")], _GLASS)
            canvas.fill([part("glint")], _GLASS_LIT)
            canvas.fill([part("sill")], dark)
        canvas.fill([part("tyre left"), part("tyre right")], _RUBBER, code)
        if size_px > 9:
            for name in ("wheel 1", "wheel 2"):
                canvas.fill([part(name)], _RUBBER, code)
                canvas.fill([part(name).mean(0) + 0.55 * (part(name) - part(name).mean(0))], (105, 105, 108))
        canvas.fill([part("body end")], self.paint, code)
        canvas.fill([part("bumper")], dark)
        self._lamps(canvas, part, size_px)

    def _lamps(self, canvas: Canvas, part: _Parts, size_px: float) -> None:
        left, right = part("lamp left"), part("lamp right")
        lit = self.lamps or self.braking
        if self.oncoming:
            colour: Colour = (255, 255, 255) if self.lamps else (190, 190, 190)
        else:
            colour = (60, 60, 255) if self.braking else (35, 30, 170)
        canvas.fill([left, right], colour)
        if size_px > 12:
            canvas.fill([part("plate")], (205, 205, 205) if self.oncoming else (40, 180, 205))
        if lit and size_px > 3:
            glow: Colour = (230, 245, 255) if self.oncoming else (30, 30, 255 if self.braking else 190)
            for lamp in (left, right):
                centre = lamp.mean(0)
                canvas.light(float(centre[0]), float(centre[1]), size_px * (0.3 if self.oncoming else 0.16), glow)


def _scaled(colour: Colour, factor: float) -> Colour:
    blue, green, red = (min(240.0, factor * channel) for channel in colour)
    return blue, green, red


@dataclass(frozen=True, slots=True)
class _Parts:
    """Named pieces of a projected mesh."""

    points: Points

    def __call__(self, name: str) -> Points:
        return self.points[_SLICES[name]]


_SIZES = {
    "shadow": 4, "under": 4, "body side": 7, "cabin side": 4, "bonnet": 4, "cabin end": 4, "glass end": 4,
    "glass side 1": 4, "glass side 2": 4, "glint": 4, "sill": 4, "tyre left": 4, "tyre right": 4, "wheel 1": 12,
    "wheel 2": 12, "body end": 6, "bumper": 4, "lamp left": 4, "lamp right": 4, "plate": 4,
}  # fmt: skip


def _slices() -> dict[str, slice]:
    slices, start = {}, 0
    for name, size in _SIZES.items():
        slices[name] = slice(start, start + size)
        start += size
    return slices


_SLICES = _slices()


@lru_cache(maxsize=32)
def _mesh(name: str, oncoming: bool) -> Points:
    """Vertices float (N, 3), x towards the side that the camera sees, z from the end towards the camera."""
    shape = SHAPES[name]

    def flip(outline: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
        return [(shape.length - z, y) for z, y in outline[::-1]] if oncoming else list(outline)

    body, cabin = flip(shape.body), flip(shape.cabin)
    length = shape.length
    w, top_w = shape.half_width, shape.half_width - _HALF_EDGE
    (z_foot, y_foot), (z_top, y_top), (z_top2, _), (z_foot2, _) = cabin
    end_y, low = body[2][1] if not oncoming else body[1][1], body[0][1]
    end_z = body[1][0] if oncoming else body[2][0]

    def side(z: float, y: float) -> tuple[float, float, float]:
        inset = _HALF_EDGE * np.clip((y - shape.waist) / (shape.roof - shape.waist), 0, 1)
        return (w - inset, y, z)

    def lerp(a: float, b: float, t: float) -> float:
        return a + (b - a) * t

    def pane(t1: float, t2: float) -> list[tuple[float, float, float]]:
        low_y, high_y = lerp(y_foot, y_top, 0.14), lerp(y_foot, y_top, 0.86)
        low_z = [lerp(lerp(z_foot, z_top, 0.14), lerp(z_foot2, z_top2, 0.14), t) for t in (t1, t2)]
        high_z = [lerp(lerp(z_foot, z_top, 0.86), lerp(z_foot2, z_top2, 0.86), t) for t in (t1, t2)]
        return [side(low_z[0], low_y), side(high_z[0], high_y), side(high_z[1], high_y), side(low_z[1], low_y)]

    def face(x1: float, x2: float, y1: float, y2: float, z: float) -> list[tuple[float, float, float]]:
        return [(x1, y1, z), (x1, y2, z), (x2, y2, z), (x2, y1, z)]

    def end_glass(t: float) -> tuple[float, float]:
        return lerp(y_foot, y_top, t), lerp(z_foot, z_top, t)

    (g1_y, g1_z), (g2_y, g2_z), (g3_y, g3_z) = end_glass(0.12), end_glass(0.88), end_glass(0.45)
    wheel_r = 0.31 if name != "bus" else 0.48
    spin = [(np.cos(a), np.sin(a)) for a in np.linspace(0, 2 * np.pi, 12, endpoint=False)]
    hubs = [shape.length - z if oncoming else z for z in shape.wheels]
    lamp_y = (0.62, 0.74) if oncoming else (0.68, 0.9)
    lamp_w = 0.3 if oncoming else 0.17
    pieces: dict[str, list[tuple[float, float, float]]] = {
        "shadow": [(-w - 0.12, 0, -0.15), (w + 0.3, 0, -0.15), (w + 0.3, 0, length), (-w - 0.12, 0, length)],
        "under": face(-w + 0.05, w - 0.05, 0.12, low + 0.1, 0.1),
        "body side": [side(z, y) for z, y in body],
        "cabin side": [side(z, y) for z, y in cabin],
        "bonnet": [(-w, end_y, end_z), (w, end_y, end_z), (w - 0.02, y_foot, z_foot), (-w + 0.02, y_foot, z_foot)],
        "cabin end": [(-w, y_foot, z_foot), (-top_w, y_top, z_top), (top_w, y_top, z_top), (w, y_foot, z_foot)],
        "glass end": [
            (-w + 0.12, g1_y, g1_z), (-top_w + 0.08, g2_y, g2_z), (top_w - 0.08, g2_y, g2_z), (w - 0.12, g1_y, g1_z),
        ],
        "glass side 1": pane(0.08, 0.47),
        "glass side 2": pane(0.53, 0.9),
        "glint": [
            (-top_w + 0.14, g2_y, g2_z), (-0.1, g2_y, g2_z), (-0.35, g3_y, g3_z), (-w + 0.2, g3_y, g3_z),
        ],
        "sill": [(w, low, 0.5), (w, low + 0.13, 0.5), (w, low + 0.13, length - 0.4), (w, low, length - 0.4)],
        "tyre left": face(-w + 0.05, -w + 0.27, 0.0, low + 0.08, 0.3),
        "tyre right": face(w - 0.27, w - 0.05, 0.0, low + 0.08, 0.3),
        "wheel 1": [(w + 0.01, wheel_r + wheel_r * y, hubs[0] + wheel_r * z) for z, y in spin],
        "wheel 2": [(w + 0.01, wheel_r + wheel_r * y, hubs[1] + wheel_r * z) for z, y in spin],
        "body end": [
            (-w + 0.06, low, 0), (-w, low + 0.2, 0), (-w + 0.02, end_y, 0), (w - 0.02, end_y, 0), (w, low + 0.2, 0),
            (w - 0.06, low, 0),
        ],
        "bumper": face(-w + 0.02, w - 0.02, low + 0.04, low + 0.2, 0),
        "lamp left": face(-w + 0.04, -w + 0.04 + lamp_w, *lamp_y, 0),
        "lamp right": face(w - 0.04 - lamp_w, w - 0.04, *lamp_y, 0),
        "plate": face(-0.26, 0.26, low + 0.22, low + 0.33, 0) if oncoming else face(-0.26, 0.26, 0.6, 0.71, 0),
    }  # fmt: skip
    return np.array([vertex for part in _SIZES for vertex in pieces[part]])
