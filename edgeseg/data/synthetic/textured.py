"""Things that carry a picture: walls along the road, and trees that face the camera."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.data.synthetic.camera import FRACTION_BITS, NEAR_M, Camera, Pixels, Points
from edgeseg.data.synthetic.canvas import FENCE, TREE, Canvas, Colour, depth_code, depth_codes
from edgeseg.types import Frame, Labels

_LEVELS = 6
_PIECE_RATIO = 3.0
"""A wall with the far end more than this many times as far as the near end is drawn in pieces of their own detail."""
_FEW_PIXELS = 4
"""A narrower wall, or see-through one of three times that, shows no more than its mean colour."""
_FAR_WALL_M = 35.0
"""Farther pieces have one depth."""
_UNSET = 0xFFFF
"""An id that no pixel has: depth stops below it."""


@dataclass(frozen=True, slots=True, eq=False)
class Texture:
    """A picture, and copies of it halved in height, in width or in both, made when they are first needed.

    uint8 (h, w, 3) if solid; else (h, w, 4): colour premultiplied, then what shows through, 255 where empty.
    """

    picture: Frame
    mean: Colour
    """Of what is solid."""
    copies: dict[tuple[int, int], Frame] = field(default_factory=dict, repr=False)

    @staticmethod
    def of(colour: Frame, through: Labels | None = None) -> Texture:
        """A solid texture, or one that lets `through` uint8 (h, w) pass of what is behind."""
        cover = 1.0 if through is None else max(0.01, 1.0 - cv2.mean(through)[0] / 255)
        blue, green, red = (float(channel) / cover for channel in cv2.mean(colour)[:3])
        return Texture(colour if through is None else np.dstack([colour, through]), (blue, green, red))

    @property
    def solid(self) -> bool:
        """Whether nothing shows through."""
        return bool(self.picture.shape[2] == 3)

    def pick(self, rows_per_pixel: float, columns_per_pixel: float) -> Frame:
        """The copy with about one texel a pixel."""
        levels = _level(rows_per_pixel), _level(columns_per_pixel)
        if levels not in self.copies:
            rows, columns = (max(1, n >> level) for n, level in zip(self.picture.shape, levels, strict=False))
            copy = cv2.resize(self.picture, (columns, rows), interpolation=cv2.INTER_AREA)
            self.copies[levels] = np.asarray(copy, np.uint8)
        return self.copies[levels]


def _level(texels_per_pixel: float) -> int:
    level = 0
    while texels_per_pixel > 1.4 and level < _LEVELS - 1:
        texels_per_pixel /= 2
        level += 1
    return level


@dataclass(frozen=True, slots=True, eq=False)
class Wall:
    """A house front, fence, railing, hedge or garden wall along the road.

    It is drawn as a plane between its ends: over its length the road's bend makes a difference of centimetres.
    """

    near_m: float
    far_m: float
    x: float
    height_m: float
    label: int
    layer: int
    texture: Callable[[Canvas], Texture]
    """Its picture under the light of the canvas, as wide as the wall is long."""
    vertices: Points = field(init=False, repr=False)
    half_m: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "vertices", self._corners(self.near_m, self.far_m))

    def _corners(self, start: float, end: float) -> Points:
        top = self.height_m
        return np.array([(self.x, top, start), (self.x, top, end), (self.x, 0.0, end), (self.x, 0.0, start)])

    def draw(self, canvas: Canvas, camera: Camera, pixels: Pixels) -> None:
        """Paint it: textured, or in its mean colour where it is a few pixels."""
        texture = self.texture(canvas)
        near, far = max(self.near_m - camera.s_m, NEAR_M), self.far_m - camera.s_m
        wide = abs(int(pixels[1, 0]) - int(pixels[0, 0])) >> FRACTION_BITS
        if wide < (_FEW_PIXELS if texture.solid else 3 * _FEW_PIXELS):
            canvas.fill_convex(pixels, texture.mean, depth_code(near) | self.label)
        elif far < _PIECE_RATIO * near:
            self._piece(canvas, camera, texture, pixels, near, far)
        else:
            while near < far:
                end = far if far < _PIECE_RATIO * near else 0.7 * _PIECE_RATIO * near
                corners = camera.project(self._corners(camera.s_m + near, camera.s_m + end))
                self._piece(canvas, camera, texture, corners, near, end)
                near = end

    def _piece(self, canvas: Canvas, camera: Camera, texture: Texture, pixels: Pixels, z1: float, z2: float) -> None:
        """Depths z1 to z2; `pixels` are top near, top far, bottom far, bottom near."""
        (u1, top1), (u2, top2), (_, bottom2), (_, bottom1) = (pixels / (1 << FRACTION_BITS)).tolist()
        if u1 == u2 or (u2 < u1) != (self.x > camera.eye_x_m):  # edge on, or seen from behind and hidden
            return
        height, width = canvas.ids.shape
        left, right = max(0, int(min(u1, u2))), min(width, int(max(u1, u2)) + 2)
        upper, lower = max(0, int(min(top1, top2))), min(height, int(max(bottom1, bottom2)) + 2)
        if left >= right or upper >= lower:
            return
        full_h, full_w = texture.picture.shape[:2]
        per_m = full_w / (self.far_m - self.near_m)
        picture = texture.pick(full_h / max(1.0, bottom2 - top2), (z2 - z1) * per_m / (abs(u2 - u1) + 1))
        slope = (1 / z2 - 1 / z1) / (u2 - u1)  # along a wall 1/z is linear in u
        inverse = 1 / z1 + slope * (left - u1)  # at the left edge of the patch
        matrix = self._homography(camera, picture, per_m * picture.shape[1] / full_w, (inverse, slope), upper)
        size, mode = (right - left, lower - upper), cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        codes: NDArray[np.uint16] | np.uint16 = np.uint16(depth_code((z1 + z2) / 2) | self.label)
        if z1 < _FAR_WALL_M:
            codes = _depths(right - left, (inverse, slope), (z1, z2)) | np.uint16(self.label)
        if texture.solid:
            frame = canvas.frame[upper:lower, left:right]
            cv2.warpPerspective(picture, matrix, size, dst=frame, flags=mode, borderMode=cv2.BORDER_TRANSPARENT)
        else:
            patch = cv2.warpPerspective(picture, matrix, size, flags=mode, borderValue=(0, 0, 0, 255))
            # A railing's label covers what is seen between its bars, as CamVid's does; a hedge's has ragged edges.
            canvas.blend(left, upper, patch, None if self.label == FENCE else codes)
            if self.label != FENCE:
                return
        if isinstance(codes, np.uint16):
            cv2.fillConvexPoly(canvas.ids, pixels, (int(codes),), cv2.LINE_8, FRACTION_BITS)
        else:
            area = canvas.ids[upper:lower, left:right]
            cv2.fillConvexPoly(canvas.ids, pixels, (_UNSET,), cv2.LINE_8, FRACTION_BITS)
            np.copyto(area, codes, where=area == _UNSET)

    def _homography(
        self, camera: Camera, picture: Frame, per_m: float, inverse: tuple[float, float], upper: int
    ) -> NDArray[np.float64]:
        """Patch pixel → texel, float (3, 3). With 1/z = p + q·u and y = eye − (v − horizon)·z/f, both times 1/z:

        column = per_m · (z + camera − near end) − ½,   row = rows · (1 − y / height) − ½.
        """
        p, q = inverse
        rows = picture.shape[0]
        offset = per_m * (camera.s_m - self.near_m) - 0.5
        shift = rows * (1 - camera.eye_y_m / self.height_m) - 0.5
        down = rows / (self.height_m * camera.focal_px)
        return np.array(
            [
                (offset * q, 0.0, per_m + offset * p),
                (shift * q, down, shift * p + down * (upper - camera.horizon_v)),
                (q, 0.0, p),
            ]
        )


def _depths(count: int, inverse: tuple[float, float], z: tuple[float, float]) -> NDArray[np.uint16]:
    """Depth codes of `count` columns of a wall, of which the first and the step are given as 1/z."""
    columns = np.arange(count, dtype=np.float32)
    columns *= np.float32(inverse[1])
    columns += np.float32(inverse[0])
    np.maximum(columns, np.float32(1 / z[1]), out=columns)
    np.minimum(columns, np.float32(1 / z[0]), out=columns)
    return depth_codes(np.reciprocal(columns, out=columns))


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A tree at (x, position), facing the camera."""

    near_m: float
    x: float
    height_m: float
    crown: Texture
    stem: tuple[float, Colour]
    """Share of the height below the crown's picture, where only the trunk is; and its colour."""
    mirrored: bool
    layer: int
    half_m: float = field(init=False)
    vertices: Points = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rows, columns = self.crown.picture.shape[:2]
        foot = self.stem[0] * self.height_m
        half = (self.height_m - foot) * columns / rows / 2
        object.__setattr__(self, "half_m", half)
        box = [(-half, self.height_m), (half, foot)]
        trunk = [(side * share * self.height_m, y) for side, share, y in _TRUNK]
        points = [(self.x + x, y, self.near_m) for x, y in box + [(x, y * foot) for x, y in trunk]]
        object.__setattr__(self, "vertices", np.array(points))

    @property
    def far_m(self) -> float:
        """The same as the near end."""
        return self.near_m

    def draw(self, canvas: Canvas, camera: Camera, pixels: Pixels) -> None:
        """Paint the trunk, then the crown into the box of its two corners."""
        (left, top), (right, bottom) = (pixels[:2] / (1 << FRACTION_BITS)).tolist()
        code = depth_code(self.near_m - camera.s_m) | TREE
        if self.stem[0] > 0:
            canvas.fill_convex(pixels[2:], self.stem[1], code)
        height, width = canvas.ids.shape
        u1, u2 = max(0, int(left)), min(width, int(right) + 1)
        v1, v2 = max(0, int(top)), min(height, int(bottom) + 1)
        if u1 >= u2 or v1 >= v2 or right - left < 1:
            return
        rows, columns = self.crown.picture.shape[:2]
        picture = self.crown.pick(rows / (bottom - top), columns / (right - left))
        scale_u, scale_v = picture.shape[1] / (right - left), picture.shape[0] / (bottom - top)
        offset_u, offset_v = (u1 + 0.5 - left) * scale_u - 0.5, (v1 + 0.5 - top) * scale_v - 0.5
        if self.mirrored:
            scale_u, offset_u = -scale_u, picture.shape[1] - 1 - offset_u
        matrix = np.array([[scale_u, 0, offset_u], [0, scale_v, offset_v]])
        # Enlarged, leaves would be squares without interpolation; reduced, nobody can tell.
        mode = cv2.WARP_INVERSE_MAP | (cv2.INTER_LINEAR if scale_v < 0.7 else cv2.INTER_NEAREST)
        patch = cv2.warpAffine(picture, matrix, (u2 - u1, v2 - v1), flags=mode, borderValue=(0, 0, 0, 255))
        canvas.blend(u1, v1, patch, np.uint16(code))


_TRUNK = ((-1, 0.022, 0.0), (-1, 0.014, 1.1), (1, 0.014, 1.1), (1, 0.022, 0.0))
"""Side, half width as a share of the tree's height, height as a share of the stem's."""
