"""The ground from the bumper to the horizon, and the sky above it.

Flat colours are filled as polygons, with the labels; one grey texture in road coordinates (grain, wheel tracks,
patches, paving slabs) is then multiplied in. Below the horizon each image row is one depth, so the texture's map is a
scale and an offset per row, and the half-size copy of the texture can be chosen by rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeseg.data.synthetic.camera import FAR_M, NEAR_M, Camera, Points, to_fixed
from edgeseg.data.synthetic.canvas import BUILDING, PAVEMENT, ROAD, SKY, TREE, Canvas, Colour, depth_code, depth_codes
from edgeseg.data.synthetic.figures import times
from edgeseg.data.synthetic.textures import cloud_noise, smooth_noise
from edgeseg.types import Frame, Labels

_TEXELS_PER_M = 32
_PERIOD_M = 32.0
_WHITE: Colour = (200.0, 203.0, 203.0)
_YELLOW: Colour = (84.0, 164.0, 188.0)
_FAR_TREES: Colour = (74.0, 84.0, 80.0)
_INVERSE_DEPTHS = np.linspace(1 / 1.6, 1 / FAR_M, 40)
"""Depths at which long outlines have their points: even in the picture."""
_SHADOW_M = 7.0
"""Width of the houses that throw shadows onto the road."""
_MIP_DEPTHS_M = (0.0, 10.0, 20.0, 40.0)
"""From each of these depths on, the next half-size copy is about one texel a pixel."""


@dataclass(frozen=True, slots=True)
class CrossSection:
    """Widths and colours of a street, metres and BGR."""

    half_road_m: float
    pavement_m: float
    asphalt: Colour
    paving: Colour
    grass: Colour
    shaded_side: int
    """−1 or 1: the side from which houses throw a shadow onto the ground; 0 with the sun ahead."""

    @staticmethod
    def pick(rng: np.random.Generator) -> CrossSection:
        """One street, as British ones are."""
        grey, stone = rng.uniform(84, 104), rng.uniform(88, 122)
        return CrossSection(
            half_road_m=float(rng.uniform(3.7, 5.0)),
            pavement_m=float(rng.uniform(2.0, 3.4)),
            asphalt=(grey * 1.05, grey, grey * 0.96),
            paving=(stone * 0.98, stone, stone * rng.uniform(0.98, 1.06)),
            grass=(float(rng.uniform(38, 56)), float(rng.uniform(84, 112)), float(rng.uniform(64, 90))),
            shaded_side=int(rng.choice([-1, 0, 1])),
        )


@dataclass(frozen=True, slots=True)
class Crossings:
    """Positions along the road, metres: side roads as (start, end), zebra crossings by their middle."""

    side_roads: tuple[tuple[float, float], ...]
    zebras: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Area:
    """Outlines in the world, apart from each other, filled with one colour; no label means paint on what is there."""

    strips: list[Points]
    colour: Colour
    label: int | None = None


class Ground:
    """Draws sky, backdrop, road, pavement and markings; the textures are made once per drive."""

    def __init__(self, rng: np.random.Generator, section: CrossSection) -> None:
        self.section = section
        texture = _ground_texture(rng, section)
        self._textures = [texture]
        for _ in _MIP_DEPTHS_M[1:]:
            half = (self._textures[-1].shape[1] // 2, self._textures[-1].shape[0] // 2)
            self._textures.append(np.asarray(cv2.resize(self._textures[-1], half, interpolation=cv2.INTER_AREA)))
        angles = np.linspace(-np.pi, np.pi, 721)
        noise = cloud_noise(rng, (1, 720), 24, 4)[0]
        trees = 5.5 + 3.5 * np.append(noise, noise[0])
        steps = np.repeat(rng.uniform(0, 1, 120) ** 2, 6) * 13.0
        self._backdrop = (angles, trees, np.append(steps, steps[0]))

    def draw(self, canvas: Canvas, camera: Camera, sky: Frame, crossings: Crossings) -> None:
        """Paint what lies behind the standing things; `sky` is a panorama uint8 (h, w, 3) down to the horizon."""
        self._sky(canvas, camera, sky)
        self._surface(canvas, camera, crossings)
        self._multiply_texture(canvas, camera)

    def _sky(self, canvas: Canvas, camera: Camera, sky: Frame) -> None:
        height, width = canvas.ids.shape
        rows = min(height, max(0, int(camera.horizon_v) + 2))
        shift = round(camera.heading * camera.focal_px) % sky.shape[1]
        first = min(width, sky.shape[1] - shift)
        canvas.frame[:rows, :first] = sky[sky.shape[0] - rows :, shift : shift + first]
        if first < width:
            canvas.frame[:rows, first:] = sky[sky.shape[0] - rows :, : width - first]
        canvas.ids[:rows] = depth_code(1e6) | SKY
        angles, trees, houses = self._backdrop
        across = np.linspace(-0.53, 0.53, 65) * width
        span, u = np.arctan(across / camera.focal_px), camera.centre_u + across
        low = camera.horizon_v + camera.focal_px * camera.eye_y_m / FAR_M + 1
        for heights, colour, label in ((houses, (104, 108, 112), BUILDING), (trees, _FAR_TREES, TREE)):
            above = np.interp((span + camera.heading + np.pi) % (2 * np.pi) - np.pi, angles, heights)
            v = camera.horizon_v + camera.focal_px * (camera.eye_y_m - above) / FAR_M
            outline = np.concatenate([np.stack([u, v], 1), [(u[-1], low), (u[0], low)]])
            canvas.fill([to_fixed(outline)], colour, depth_code(FAR_M) | label)

    def _surface(self, canvas: Canvas, camera: Camera, crossings: Crossings) -> None:
        height = canvas.ids.shape[0]
        horizon = min(height, max(0, int(np.ceil(camera.horizon_v + 1))))
        shown = min(height, max(0, int(np.ceil(camera.horizon_v + camera.focal_px * camera.eye_y_m / FAR_M))))
        canvas.ids[horizon:shown] = depth_code(FAR_M) | TREE
        cv2.rectangle(canvas.frame, (0, horizon), (canvas.ids.shape[1], height), _FAR_TREES, -1)
        cv2.rectangle(canvas.frame, (0, shown), (canvas.ids.shape[1], height), self.section.grass, -1)
        canvas.ids[shown:] = TREE
        areas = list(self._areas(canvas, camera, crossings))
        pixels = camera.project(np.concatenate([strip for area in areas for strip in area.strips]))
        start = 0
        for area in areas:
            pieces = []
            for strip in area.strips:
                pieces.append(pixels[start : start + len(strip)])
                start += len(strip)
            canvas.fill(pieces, area.colour, area.label)
        rows = np.arange(shown, height)
        depth = camera.focal_px * camera.eye_y_m / np.maximum(rows - camera.horizon_v, 0.5)
        canvas.ids[shown:] |= depth_codes(depth)[:, None]

    def _areas(self, canvas: Canvas, camera: Camera, crossings: Crossings) -> Iterator[_Area]:
        """What is painted onto the grass, in order."""
        section, s = self.section, camera.s_m
        edge, outer = section.half_road_m, section.half_road_m + section.pavement_m + 1.2
        along = s + 1.0 / _INVERSE_DEPTHS
        shade = section.shaded_side if canvas.sunny else 0
        roads = [(max(a, s + NEAR_M), min(b, s + FAR_M)) for a, b in crossings.side_roads if b > s + NEAR_M]
        for side, strip in zip((-1, 1), _strips(along, (-edge, edge), (-outer, outer)), strict=True):
            yield _Area([strip], times(section.paving, 0.5 if side == shade else 1.0), PAVEMENT)
        yield _Area(_strips(along, (-edge,), (edge,)), section.asphalt, ROAD)
        sides = [strip for road in roads for strip in _strips(np.array(road), (edge - 0.2, 0.2 - edge), (70, -70))]
        if sides:
            yield _Area(sides, section.asphalt, ROAD)
        if shade:
            number = np.arange(int((s + 1.5) // _SHADOW_M), int((s + FAR_M) // _SHADOW_M))
            eaves = np.clip(np.stack([number, number + 1], 1).ravel() * _SHADOW_M, s + 1.3, None)
            reach = edge * (0.25 + 0.9 * np.abs(np.sin(number * 12.9898)))  # as uneven as the roofs
            shadow = _strips(eaves, (shade * edge,), (shade * (edge - np.repeat(reach, 2)),))
            yield _Area(shadow, times(section.asphalt, 0.52))
        spans = _free_spans(s + 1.2, s + 90, roads)
        left, right = edge - 0.02, edge + 0.15
        kerbs = [_strips(_even(s, a, b, 10), (-left, left), (-right, right)) for a, b in spans]
        for k, side in enumerate((-1, 1)):
            if kerbs:
                yield _Area([pair[k] for pair in kerbs], times(section.paving, 0.6 if side == shade else 1.22))
        yield from self._markings(s, crossings, roads)

    def _markings(self, s: float, crossings: Crossings, roads: list[tuple[float, float]]) -> Iterator[_Area]:
        edge = self.section.half_road_m
        dashes = []
        for k in range(int(s // 6), int((s + 90) // 6)):
            start, end = max(s + 1.0, 6.0 * k), 6.0 * k + 3.4
            blocked = any(a - 1 < end and start < b + 1 for a, b in crossings.side_roads)
            if end > start and not blocked and all(abs(6.0 * k + 1.7 - zebra) > 6 for zebra in crossings.zebras):
                dashes += _strips(np.array([start, end]), (-0.06,), (0.06,))
        for zebra in crossings.zebras:
            start, end = max(s + 1.0, zebra - 1.6), zebra + 1.6
            if start < end < s + 90:
                bars = np.arange(-edge + 0.3, edge - 0.5, 1.1)
                dashes += _strips(np.array([start, end]), bars, bars + 0.55)
        if dashes:
            yield _Area(dashes, _WHITE)
        inner = np.array([-1, -1, 1, 1]) * (edge - np.array([0.22, 0.42, 0.22, 0.42]))
        lines = [
            strip
            for a, b in _free_spans(s + 1.2, s + 70, roads)
            for strip in _strips(_even(s, a, b, 12), inner, inner + 0.09)
        ]
        if lines:
            yield _Area(lines, _YELLOW)

    def _multiply_texture(self, canvas: Canvas, camera: Camera) -> None:
        height, width = canvas.ids.shape
        span = camera.focal_px * camera.eye_y_m
        columns = np.arange(width, dtype=np.float32) - np.float32(camera.centre_u)
        limits = [height, *(int(np.ceil(camera.horizon_v + span / z)) for z in _MIP_DEPTHS_M[1:])]
        limits.append(int(np.ceil(camera.horizon_v + span / FAR_M)))
        for texture, below, above in zip(self._textures, limits[:-1], limits[1:], strict=True):
            below, above = min(below, height), max(0, above)
            if above >= below:
                continue
            per_m = texture.shape[0] / _PERIOD_M
            z = span / (np.arange(above, below) - camera.horizon_v)
            offset = (camera.eye_x_m - camera.lateral(z) + _PERIOD_M / 2) * per_m
            slope = (z / camera.focal_px * per_m).astype(np.float32)
            map_u = slope[:, None] * columns + offset.astype(np.float32)[:, None]
            down = (((camera.s_m + z) % _PERIOD_M) * per_m).astype(np.float32)
            map_v = np.empty_like(map_u)
            map_v[:] = down[:, None]
            grey = cv2.remap(texture, map_u, map_v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_WRAP)
            area = canvas.frame[above:below]
            cv2.multiply(area, cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), dst=area, scale=1 / 128)


def _strips(along: Points, x1: ArrayLike, x2: ArrayLike) -> list[Points]:
    """Outlines of the ground between the lateral positions x1[k] and x2[k], at positions `along` the road.

    Each x2[k] may be an array too, of one value for each position.
    """
    count, starts = len(along), np.asarray(x1, np.float64)
    ends = np.asarray(x2, np.float64)
    outline = np.zeros((len(starts), 2 * count, 3))
    outline[:, :count, 0] = starts[:, None]
    outline[:, count:, 0] = ends[:, ::-1] if ends.ndim == 2 else ends[:, None]
    outline[:, :count, 2] = along
    outline[:, count:, 2] = along[::-1]
    return list(outline)


def _even(s: float, start: float, end: float, count: int) -> Points:
    """Positions from start to end whose depths from `s` look evenly spaced."""
    return s + 1.0 / np.linspace(1 / (start - s), 1 / (end - s), count)


def _free_spans(start: float, end: float, blocked: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The parts of start…end outside the blocked stretches."""
    spans, at = [], start
    for a, b in sorted(blocked):
        if a > at and a < end:
            spans.append((at, a))
        at = max(at, b)
    if at < end:
        spans.append((at, end))
    return [(a, b) for a, b in spans if b - a > 0.5]


def _ground_texture(rng: np.random.Generator, section: CrossSection) -> Labels:
    """Grey texture uint8 over 32 × 32 m, x from −16 to 16 m; 128 leaves a colour as it is. Rows wrap around."""
    size = round(_PERIOD_M * _TEXELS_PER_M)
    x = (np.arange(size) + 0.5) / _TEXELS_PER_M - _PERIOD_M / 2
    grain = rng.normal(0, 0.075, (size, size)).astype(np.float32)
    blotches = 0.09 * cloud_noise(rng, (size, size), 12, 5)
    texture = 1.0 + grain + blotches
    tracks = sum(np.exp(-(((x - t) / 0.32) ** 2)) for t in (-2.5, -1.0, 1.0, 2.5))
    gutter = np.exp(-(((np.abs(x) - section.half_road_m) / 0.35) ** 2))
    seam = np.exp(-(((x - rng.uniform(-2, 2)) / 0.03) ** 2))
    texture *= (1 + 0.07 * tracks - 0.22 * gutter - 0.25 * seam)[None, :]
    for _ in range(7):  # repairs and manholes
        centre, half = rng.uniform(80, size - 80, 2), rng.uniform(12, 44, 2)
        (u1, v1), (u2, v2) = (np.rint(centre + k * half).astype(int) for k in (-1, 1))
        texture[v1:v2, u1:u2] *= rng.uniform(0.78, 1.1)
        cv2.rectangle(texture, (int(u1), int(v1)), (int(u2), int(v2)), 0.75, 1)
    for _ in range(5):
        points = np.cumsum(rng.normal((0, 5), 9, (28, 2)), axis=0) + rng.uniform(100, size - 150, 2)
        cv2.polylines(texture, [np.rint(points).astype(np.int32)], False, 0.7, 1, cv2.LINE_AA)
    beside = np.abs(x) > section.half_road_m
    paved = beside & (np.abs(x) < section.half_road_m + section.pavement_m)
    slab = round(0.6 * _TEXELS_PER_M)
    tone = np.repeat(np.repeat(rng.uniform(0.9, 1.1, (size // slab + 1, size // slab + 1)), slab, 0), slab, 1)
    slabs = tone[:size, :size] * texture
    slabs[::slab, :] *= 0.78
    slabs[:, ::slab] *= 0.78
    texture = np.where(paved, slabs, texture)
    wild = 1 + 0.35 * smooth_noise(rng, (size, size), 220) + 0.25 * smooth_noise(rng, (size, size), 40)
    texture = np.where(beside & ~paved, wild, texture)
    return np.asarray(np.clip(texture * 128, 0, 255), np.uint8)


def sky_panorama(
    rng: np.random.Generator, size_hw: tuple[int, int], zenith: Colour, horizon: Colour, cloud: Colour, cover: float
) -> Frame:
    """A sky uint8 (h, w, 3) that wraps around; `cover` 0 is clear, 1 overcast."""
    height, width = size_hw
    t = np.linspace(0, 1, height)[:, None, None] ** 1.3
    base = np.array(zenith) * (1 - t) + np.array(horizon) * t
    noise = cloud_noise(rng, (height, width), 10, 5)
    amount = np.clip((noise + 2 * cover - 1) * 1.6 + 0.5, 0, 1)[..., None] * min(1.0, 2 * cover)
    relief = 1 - 0.12 * cover * np.clip(cloud_noise(rng, (height, width), 14, 4), -1, 1)[..., None]
    mixed: NDArray[np.float64] = base * (1 - amount) + np.array(cloud) * relief * amount
    return np.clip(mixed, 0, 255).astype(np.uint8)
