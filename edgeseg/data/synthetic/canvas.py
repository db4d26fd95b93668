"""Two planes drawn in step: the picture, antialiased, and the ids, exact.

One 16-bit plane holds class and depth together, so that each shape costs a single extra fill: the low four bits are the
class id, the upper twelve the depth in steps of 1/16 m. Weather reads the depth; the labels never see the weather.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.data.synthetic.camera import Camera, Points
from edgeseg.types import Frame, Labels

Colour: TypeAlias = tuple[float, float, float]
"""Blue, green, red, 0 to 255. Above `EMISSIVE` a channel is a light source and stays bright at night."""

EMISSIVE = 242
DEPTH_STEPS_PER_M = 16
_MAX_DEPTH_CODE = 4095
_SHIFT = 4
"""Fractional bits of OpenCV's drawing coordinates."""
_MAX_PIXEL = 20_000.0


def depth_code(z: float) -> int:
    """Depth in metres → the upper bits of an id."""
    return min(int(z * DEPTH_STEPS_PER_M), _MAX_DEPTH_CODE) << 4


@dataclass(frozen=True, slots=True)
class Light:
    """A light source on screen, for glow and wet reflections."""

    u: float
    v: float
    radius_px: float
    colour: Colour


@dataclass(frozen=True, slots=True)
class Texture:
    """A picture with half-size copies: level [i][j] is halved i times in height and j times in width.

    `colour` is uint8 (h, w, 3); `through` is uint8 (h, w), 0 where the texture is solid and 255 where one sees through,
    and then the colour is premultiplied. None means solid everywhere.
    """

    colour: list[list[Frame]]
    through: list[list[Labels]] | None = None

    @staticmethod
    def of(colour: Frame, through: Labels | None = None, levels: int = 5) -> Texture:
        """Build the half-size copies."""
        return Texture(_halvings(colour, levels), None if through is None else _halvings(through, levels))


def _halvings(image: NDArray[np.uint8], levels: int) -> list[list[NDArray[np.uint8]]]:
    height, width = image.shape[:2]
    return [
        [
            np.asarray(
                cv2.resize(image, (max(1, width >> j), max(1, height >> i)), interpolation=cv2.INTER_AREA), np.uint8
            )
            for j in range(levels)
        ]
        for i in range(levels)
    ]


@dataclass(slots=True)
class Canvas:
    """The frame being drawn, and what the weather needs to know of it."""

    frame: Frame
    ids: NDArray[np.uint16]
    lit_windows: float = 0.0
    """Share of the windows with a light inside."""
    lights: list[Light] = field(default_factory=list)

    @staticmethod
    def blank(size_hw: tuple[int, int], lit_windows: float) -> Canvas:
        """An undrawn canvas; the sky and the ground cover all of it."""
        return Canvas(np.empty((*size_hw, 3), np.uint8), np.empty(size_hw, np.uint16), lit_windows)

    def labels(self) -> Labels:
        """Class ids, uint8 (H, W)."""
        return (self.ids & 15).astype(np.uint8)

    def fill(self, polygons: Sequence[Points], colour: Colour, code: int | None = None) -> None:
        """Fill polygons that do not overlap each other, float (N, 2) each; `code` None paints without labelling."""
        fixed = [_fixed(polygon) for polygon in polygons]
        cv2.fillPoly(self.frame, fixed, colour, cv2.LINE_AA, _SHIFT)
        if code is not None:
            cv2.fillPoly(self.ids, fixed, (code,), cv2.LINE_8, _SHIFT)

    def line(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        width: float,
        colour: Colour,
        code: int | None = None,
    ) -> None:
        """A line with round ends, `width` pixels wide, at least one."""
        first, last = _fixed(np.array([start, end]))
        thickness = max(1, min(200, round(width)))
        cv2.line(self.frame, first, last, colour, thickness, cv2.LINE_AA, _SHIFT)
        if code is not None:
            cv2.line(self.ids, first, last, (code,), thickness, cv2.LINE_8, _SHIFT)

    def ellipse(
        self,
        centre: tuple[float, float],
        radii: tuple[float, float],
        colour: Colour,
        code: int | None = None,
        thickness: int = -1,
    ) -> None:
        """An upright ellipse; `thickness` −1 fills it."""
        middle, axes = _fixed(np.array([centre, radii]))
        cv2.ellipse(self.frame, middle, axes, 0, 0, 360, colour, thickness, cv2.LINE_AA, _SHIFT)
        if code is not None:
            cv2.ellipse(self.ids, middle, axes, 0, 0, 360, (code,), thickness, cv2.LINE_8, _SHIFT)

    def light(self, u: float, v: float, radius_px: float, colour: Colour) -> None:
        """Remember a light source."""
        self.lights.append(Light(u, v, radius_px, colour))

    def sprite(self, texture: Texture, box: tuple[float, float, float, float], code: int, *, mirrored: bool) -> None:
        """Draw a see-through picture facing the camera into the box (left, top, right, bottom)."""
        left, top, right, bottom = box
        height, width = self.ids.shape
        u1, u2 = max(0, int(left)), min(width, int(right) + 1)
        v1, v2 = max(0, int(top)), min(height, int(bottom) + 1)
        if u1 >= u2 or v1 >= v2 or texture.through is None:
            return
        full_h, full_w = texture.colour[0][0].shape[:2]
        i = _level(full_h / (bottom - top), len(texture.colour))
        j = _level(full_w / (right - left), len(texture.colour))
        colour, through = texture.colour[i][j], texture.through[i][j]
        scale_u, scale_v = colour.shape[1] / (right - left), colour.shape[0] / (bottom - top)
        offset_u, offset_v = (u1 + 0.5 - left) * scale_u - 0.5, (v1 + 0.5 - top) * scale_v - 0.5
        if mirrored:
            scale_u, offset_u = -scale_u, colour.shape[1] - 1 - offset_u
        matrix = np.array([[scale_u, 0, offset_u], [0, scale_v, offset_v]])
        size, flags = (u2 - u1, v2 - v1), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        patch = cv2.warpAffine(colour, matrix, size, flags=flags)
        veil = cv2.warpAffine(through, matrix, size, flags=flags, borderValue=(255,))
        self.blend(u1, v1, patch, veil, np.uint16(code))

    def wall(
        self,
        camera: Camera,
        texture: Texture,
        x: float,
        z_range: tuple[float, float],
        y_range: tuple[float, float],
        label: int,
        texels: tuple[float, float],
    ) -> None:
        """Draw a wall along the road at `x`, from depth z1 to z2 and height y1 to y2.

        `texels` are the texture columns at z1 and z2. Each image column shows one z: the inverse of the projection is
        interpolated between samples, which are even in 1/z, where the projection is nearly straight.
        """
        height, width = self.ids.shape
        z1, z2 = z_range
        samples = 1.0 / np.linspace(1.0 / z1, 1.0 / z2, 9)
        u = camera.centre_u + camera.focal_px / samples * (x - camera.eye_x_m + camera.lateral(samples))
        towards_centre = np.diff(u) < 0 if x > camera.eye_x_m else np.diff(u) > 0
        facing = len(u) if towards_centre.all() else int(np.argmin(towards_centre)) + 1
        samples, u = samples[:facing], u[:facing]  # beyond, the wall turns away behind itself
        if u[0] > u[-1]:
            samples, u = samples[::-1], u[::-1]
        u1, u2 = max(0, int(np.ceil(u[0]))), min(width - 1, int(np.floor(u[-1])))
        if u1 > u2 or facing < 2:
            return
        columns = np.arange(u1, u2 + 1)
        inverse = np.interp(columns, u, 1.0 / samples)
        scale = camera.focal_px * inverse
        top = camera.horizon_v + scale * (camera.eye_y_m - y_range[1])
        bottom = camera.horizon_v + scale * (camera.eye_y_m - y_range[0])
        v1, v2 = max(0, int(np.ceil(top.min()))), min(height - 1, int(np.floor(bottom.max())))
        if v1 > v2:
            return
        full_h, full_w = texture.colour[0][0].shape[:2]
        j = _level(abs(texels[1] - texels[0]) / (u[-1] - u[0]), len(texture.colour))
        i = _level(full_h / float(np.median(bottom - top)), len(texture.colour))
        colour = texture.colour[i][j]
        z = 1.0 / inverse
        along = texels[0] + (z - z1) * ((texels[1] - texels[0]) / (z2 - z1))
        rows = np.arange(v1, v2 + 1, dtype=np.float32)[:, None]
        down = ((rows - top.astype(np.float32)) / (bottom - top).astype(np.float32)) * np.float32(colour.shape[0])
        down -= np.float32(0.5)
        across = (along * (colour.shape[1] / full_w) - 0.5).astype(np.float32)
        map_u = np.broadcast_to(across, down.shape).copy()
        patch = cv2.remap(colour, map_u, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        inside = cv2.inRange(down, (-0.5,), (colour.shape[0] - 0.5,))
        codes = (np.minimum(z * DEPTH_STEPS_PER_M, _MAX_DEPTH_CODE).astype(np.uint16) << 4) | np.uint16(label)
        if texture.through is not None:
            veil = cv2.remap(texture.through[i][j], map_u, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            veil[inside == 0] = 255
            patch = cv2.bitwise_and(patch, patch, mask=inside)
            self.blend(u1, v1, patch, veil, codes)
            return
        cv2.copyTo(patch, inside, self.frame[v1 : v2 + 1, u1 : u2 + 1])
        np.copyto(self.ids[v1 : v2 + 1, u1 : u2 + 1], codes, where=inside > 0)

    def blend(self, u1: int, v1: int, patch: Any, veil: Any, codes: NDArray[np.uint16] | np.uint16) -> None:
        """Lay a premultiplied patch over the frame; a pixel takes the label where the patch hides at least a third."""
        rows, columns = veil.shape
        area = self.frame[v1 : v1 + rows, u1 : u1 + columns]
        behind = cv2.multiply(area, cv2.cvtColor(veil, cv2.COLOR_GRAY2BGR), scale=1 / 255)
        cv2.add(behind, patch, dst=area)
        np.copyto(self.ids[v1 : v1 + rows, u1 : u1 + columns], codes, where=veil < 170)


def _level(texels_per_pixel: float, levels: int) -> int:
    """The half-size copy with about one texel a pixel."""
    return int(np.clip(np.floor(np.log2(max(texels_per_pixel, 1e-3)) + 0.4), 0, levels - 1))


def _fixed(points: Points) -> NDArray[np.int32]:
    """Pixel positions → OpenCV's fixed point; far outside the picture they are clamped, where no edge is visible."""
    return np.rint(np.clip(points, -_MAX_PIXEL, _MAX_PIXEL) * (1 << _SHIFT)).astype(np.int32)
