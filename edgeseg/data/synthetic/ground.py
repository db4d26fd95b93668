"""The ground from the bumper to the horizon, and the sky above it.

Flat colours are filled as polygons, with the labels; one grey texture in road coordinates (grain, wheel tracks,
patches, paving slabs) is then multiplied in. Below the horizon each image row is one depth, so the texture's map is a
scale and an offset per row, and the half-size copy of the texture can be chosen by rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.data.synthetic.camera import FAR_M, Camera, Points
from edgeseg.data.synthetic.canvas import DEPTH_STEPS_PER_M, Canvas, Colour, depth_code
from edgeseg.data.synthetic.statics import BUILDING, PAVEMENT, ROAD, SKY, TREE
from edgeseg.data.synthetic.textures import cloud_noise, smooth_noise
from edgeseg.types import Frame, Labels

_TEXELS_PER_M = 32
_PERIOD_M = 32.0
_MIP_DEPTHS_M = (0.0, 9.0, 17.0, 32.0, 60.0)
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
        trees = 3.5 + 3.0 * np.append(noise, noise[0])
        steps = np.repeat(rng.uniform(0, 1, 120) ** 2, 6) * 11.0
        self._backdrop = (angles, trees, np.append(steps, steps[0]))

    def draw(self, canvas: Canvas, camera: Camera, sky: Frame, crossings: Crossings, *, sunny: bool) -> None:
        """Paint what lies behind the standing things; `sky` is a panorama uint8 (h, w, 3) down to the horizon."""
        self._sky(canvas, camera, sky)
        self._surface(canvas, camera, crossings, self.section.shaded_side if sunny else 0)
        self._multiply_texture(canvas, camera)

    def _sky(self, canvas: Canvas, camera: Camera, sky: Frame) -> None:
        height, width = canvas.ids.shape
        rows = min(height, max(0, int(camera.horizon_v) + 2))
        heading = float(np.arctan(camera.bend.slope(camera.s_m)))
        shift = round(heading * camera.focal_px) % sky.shape[1]
        first = min(width, sky.shape[1] - shift)
        canvas.frame[:rows, :first] = sky[sky.shape[0] - rows :, shift : shift + first]
        if first < width:
            canvas.frame[:rows, first:] = sky[sky.shape[0] - rows :, : width - first]
        canvas.ids[:rows] = depth_code(1e6) | SKY
        angles, trees, houses = self._backdrop
        span = np.arctan(np.linspace(-0.5, 0.5, 97) * width / camera.focal_px)
        u = camera.centre_u + camera.focal_px * np.tan(span)
        low = camera.horizon_v + camera.focal_px * camera.eye_y_m / FAR_M + 1
        for heights, colour, label in ((houses, (104, 108, 112), BUILDING), (trees, (74, 84, 80), TREE)):
            above = np.interp((span + heading + np.pi) % (2 * np.pi) - np.pi, angles, heights)
            v = camera.horizon_v + camera.focal_px * (camera.eye_y_m - above) / FAR_M
            outline = np.concatenate([np.stack([u, v], 1), [(u[-1], low), (u[0], low)]])
            canvas.fill([outline], colour, depth_code(FAR_M) | label)

    def _surface(self, canvas: Canvas, camera: Camera, crossings: Crossings, shade: int) -> None:
        section, height = self.section, canvas.ids.shape[0]
        first = min(height, max(0, int(np.ceil(camera.horizon_v + 1))))
        first_shown = int(np.ceil(camera.horizon_v + camera.focal_px * camera.eye_y_m / FAR_M))
        canvas.frame[first_shown:] = section.grass
        canvas.ids[first_shown:] = TREE
        edge, outer = section.half_road_m, section.half_road_m + section.pavement_m
        z = 1.0 / np.linspace(1 / 1.6, 1 / FAR_M, 40)
        for side in (-1, 1):
            dim = 0.55 if side == shade else 1.0
            canvas.fill([_strip(camera, z, side * edge, side * (outer + 1.2))], _times(section.paving, dim), PAVEMENT)
        canvas.fill([_strip(camera, z, -edge, edge)], section.asphalt, ROAD)
        for start, end in crossings.side_roads:
            z_side = np.clip(np.array([start, end]) - camera.s_m, 1.0, FAR_M)
            if z_side[0] < z_side[1]:
                for side in (-1, 1):
                    canvas.fill([_strip(camera, z_side, side * (edge - 0.2), side * 70)], section.asphalt, ROAD)
        if shade:
            reach = edge * 0.45 + 1.6 * np.sin((camera.s_m + z) / 7.0) + 0.9 * np.sin((camera.s_m + z) / 2.3)
            canvas.fill([_strip(camera, z, shade * edge, shade * reach)], _times(section.asphalt, 0.55))
        for side in (-1, 1):
            kerb = [_strip(camera, z, side * (edge - 0.02), side * (edge + 0.16))]
            if not any(s - camera.s_m < 30 and e > camera.s_m for s, e in crossings.side_roads):
                canvas.fill(kerb, _times(section.paving, 0.75 if side == shade else 1.25))
        self._markings(canvas, camera, crossings)
        rows = np.arange(first_shown, height)
        depth = camera.focal_px * camera.eye_y_m / np.maximum(rows - camera.horizon_v, 0.5)
        codes = np.minimum(depth * DEPTH_STEPS_PER_M, 4095).astype(np.uint16) << 4
        canvas.ids[first_shown:] |= codes[:, None]
        canvas.ids[first:first_shown] = depth_code(FAR_M) | TREE
        canvas.frame[first:first_shown] = (74, 84, 80)

    def _markings(self, canvas: Canvas, camera: Camera, crossings: Crossings) -> None:
        edge, s = self.section.half_road_m, camera.s_m
        white, yellow = (205.0, 208.0, 208.0), (84.0, 168.0, 192.0)
        dashes = []
        for k in range(int(s // 6), int((s + 90) // 6)):
            start, end = 6.0 * k, 6.0 * k + 3.4
            blocked = any(a - 1 < end and start < b + 1 for a, b in crossings.side_roads)
            blocked |= any(abs(start + 1.7 - zebra) < 6 for zebra in crossings.zebras)
            if end > s + 1.5 and not blocked:
                dashes.append(_strip(camera, np.array([max(1.2, start - s), end - s]), -0.06, 0.06))
        if dashes:
            canvas.fill(dashes, white)
        for a, b in _free_spans(s + 1.4, s + 70, crossings.side_roads):
            z = 1.0 / np.linspace(1 / (a - s), 1 / (b - s), 14)
            for side in (-1, 1):
                lines = [_strip(camera, z, side * (edge - d), side * (edge - d - 0.09)) for d in (0.22, 0.42)]
                canvas.fill(lines, yellow)
        for zebra in crossings.zebras:
            z1, z2 = zebra - 1.6 - s, zebra + 1.6 - s
            if z2 > 1.6 and z1 < 90:
                z = np.array([max(z1, 1.2), z2])
                bars = np.arange(-edge + 0.3, edge - 0.5, 1.1)
                canvas.fill([_strip(camera, z, x, x + 0.55) for x in bars], white)

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
            map_v = np.broadcast_to(down[:, None], map_u.shape).copy()
            grey = cv2.remap(texture, map_u, map_v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
            area = canvas.frame[above:below]
            cv2.multiply(area, cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), dst=area, scale=1 / 128)


def _strip(camera: Camera, z: Points, x1: float | Points, x2: float | Points) -> Points:
    """Outline in pixels of the ground between lateral positions x1 and x2 along depths `z`."""
    there = np.stack([np.broadcast_to(x1, z.shape), np.zeros_like(z), z], 1)
    back = np.stack([np.broadcast_to(x2, z.shape), np.zeros_like(z), z], 1)[::-1]
    return camera.project(np.concatenate([there, back]))


def _free_spans(start: float, end: float, blocked: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    """The parts of start…end outside the blocked stretches."""
    spans, at = [], start
    for a, b in sorted(blocked):
        if a > at and a < end:
            spans.append((at, a))
        at = max(at, b)
    if at < end:
        spans.append((at, end))
    return [(a, b) for a, b in spans if b - a > 0.5]


def _times(colour: Colour, factor: float) -> Colour:
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


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
