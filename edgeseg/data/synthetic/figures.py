"""Figures: points in the world, and how to paint them. Everything that carries no picture is one.

All figures of a frame are projected in a single step; then each paints its parts in order, from slices of the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from edgeseg.data.synthetic.camera import FRACTION_BITS, NEAR_M, Camera, Pixels, Points
from edgeseg.data.synthetic.canvas import Canvas, Colour, Light, depth_code

LAYERS = HOUSES, BOUNDARY, PAVEMENT_SIDE, KERB, CARRIAGEWAY = range(5)
"""From the outside of the street to its middle."""
SLICE_M = 16.0
"""The world is painted in slices of this depth, far to near, and inside a slice layer by layer from the outside in.

What stands nearer to the middle of the street hides what stands farther out; so a wall is painted right if no piece of
it reaches over a slice's border. Houses do, and count by their far end: nothing they could hide is nearer than that.
"""
_SMOOTH_PX_PER_M = 16.0
"""Smaller figures are painted without antialiasing: at that size the lens hides the difference."""

Vertex = tuple[float, float, float]
"""Metres: to the right, up, along the road, from the figure's own origin."""


class Drawable(Protocol):
    """A thing of the world: a `Figure`, a `Wall`, a `Tree`."""

    @property
    def near_m(self) -> float:
        """Its nearest position along the road."""
        ...

    @property
    def far_m(self) -> float:
        """Its farthest."""
        ...

    @property
    def x(self) -> float:
        """Its lateral position."""
        ...

    @property
    def half_m(self) -> float:
        """How far it reaches to both sides of `x`."""
        ...

    @property
    def layer(self) -> int:
        """One of `LAYERS`."""
        ...

    @property
    def vertices(self) -> Points:
        """World points float (N, 3)."""
        ...

    def draw(self, canvas: Canvas, camera: Camera, pixels: Pixels) -> None:
        """Paint it and its labels; `pixels` (N, 2) are its projected vertices."""
        ...


def painting_order(thing: Drawable) -> tuple[int, int, float]:
    """Sort key: slices far to near, layers outside in, then far to near."""
    at = thing.far_m if thing.layer == HOUSES else thing.near_m
    return (-int(at // SLICE_M), thing.layer, -at)


class Part(NamedTuple):
    """One convex polygon, or several apart from each other, or (`width_m` > 0) open lines; all of equal length."""

    start: int
    stop: int
    colour: Colour
    label: int | None = None
    width_m: float = 0.0
    pieces: int = 1
    detail: float = 0.0
    """Left out below this many pixels a metre."""


class Glow(NamedTuple):
    """A lamp at vertex `at`; `street` ones burn only when street lamps do."""

    at: int
    radius_m: float
    colour: Colour
    street: bool = False


@dataclass(slots=True)
class Sketch:
    """Collects the parts of a figure."""

    points: list[Vertex] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    glows: list[Glow] = field(default_factory=list)

    def fill(self, polygon: Sequence[Vertex], colour: Colour, label: int | None = None, *, detail: float = 0.0) -> None:
        """A convex polygon."""
        self.fills([polygon], colour, label, detail=detail)

    def fills(
        self, polygons: Sequence[Sequence[Vertex]], colour: Colour, label: int | None = None, *, detail: float = 0.0
    ) -> None:
        """Convex polygons apart from each other, all with the same number of points."""
        start = len(self.points)
        for polygon in polygons:
            self.points += polygon
        self.parts.append(Part(start, len(self.points), colour, label, 0.0, len(polygons), detail))

    def stroke(
        self,
        lines: Sequence[Sequence[Vertex]],
        width_m: float,
        colour: Colour,
        label: int | None = None,
        *,
        detail: float = 0.0,
    ) -> None:
        """Open lines, all with the same number of points."""
        start = len(self.points)
        for line in lines:
            self.points += line
        self.parts.append(Part(start, len(self.points), colour, label, width_m, len(lines), detail))

    def glow(self, at: Vertex, radius_m: float, colour: Colour, *, street: bool = False) -> None:
        """A lamp."""
        self.glows.append(Glow(len(self.points), radius_m, colour, street))
        self.points.append(at)

    def model(self) -> Model:
        """What was collected."""
        return Model(np.array(self.points, np.float64).reshape(-1, 3), tuple(self.parts), tuple(self.glows))


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A figure's shape around its own origin."""

    points: Points
    parts: tuple[Part, ...]
    glows: tuple[Glow, ...] = ()

    def at(self, x: float, s: float, layer: int, *, half_m: float = 1.0, length_m: float = 0.0) -> Figure:
        """Placed in the world."""
        return Figure(s, s + length_m, x, half_m, layer, self.points + np.array((x, 0.0, s)), self)


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """A model at its place."""

    near_m: float
    far_m: float
    x: float
    half_m: float
    layer: int
    vertices: Points
    model: Model

    def draw(self, canvas: Canvas, camera: Camera, pixels: Pixels) -> None:
        """Paint the parts in order."""
        z = max(self.near_m - camera.s_m, NEAR_M)
        scale, depth = camera.focal_px / z, depth_code(z)
        frame, ids, fill = canvas.frame, canvas.ids, cv2.fillConvexPoly
        smooth = cv2.LINE_AA if scale > _SMOOTH_PX_PER_M else cv2.LINE_8
        for start, stop, colour, label, width_m, pieces, detail in self.model.parts:
            if scale < detail:
                continue
            code = None if label is None else depth | label
            if width_m:
                canvas.stroke(list(pixels[start:stop].reshape(pieces, -1, 2)), width_m * scale, colour, code)
            elif pieces > 1:
                canvas.fill(list(pixels[start:stop].reshape(pieces, -1, 2)), colour, code)
            else:
                polygon = pixels[start:stop]
                fill(frame, polygon, colour, smooth, FRACTION_BITS)
                if code is not None:
                    fill(ids, polygon, (code,), cv2.LINE_8, FRACTION_BITS)
        for at, radius_m, colour, street in self.model.glows:
            if canvas.street_lamps or not street:
                u, v = (pixels[at] / (1 << FRACTION_BITS)).tolist()
                canvas.lights.append(Light(u, v, z, radius_m * scale, colour))


def disc(centre: tuple[float, float], radii: tuple[float, float], count: int = 12) -> list[Vertex]:
    """A disc facing the camera, as a polygon; (x, y) metres."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return [(centre[0] + radii[0] * np.cos(a), centre[1] + radii[1] * np.sin(a), 0.0) for a in angles]


def rectangle(left: float, right: float, bottom: float, top: float, z: float = 0.0) -> list[Vertex]:
    """A rectangle facing the camera."""
    return [(left, bottom, z), (left, top, z), (right, top, z), (right, bottom, z)]


def times(colour: Colour, factor: float) -> Colour:
    """A colour made darker or brighter, below the emissive range."""
    blue, green, red = (min(240.0, factor * channel) for channel in colour)
    return blue, green, red
