"""From picture to ground: a homography read from a file, distances in metres, and the labels seen from above."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ConfigError
from edgeseg.files import write_json
from edgeseg.types import UNKNOWN, Labels

_HOW = "Make one with edgeseg.video.scene.birds_eye.birds_eye_from_points; see docs/driving-outputs.md"


@dataclass(frozen=True, slots=True, eq=False)
class BirdsEye:
    """Where on a flat ground a pixel of the road is: x metres to the right of the origin, y metres ahead of it.

    The origin is where the metres were measured from: the middle of the bumper, say.
    """

    image_to_ground: NDArray[np.float64]
    """float64 (3, 3): homography from pixels (x, y, 1) to ground (x, y, 1) · w, with w > 0 for what lies on the ground
    before the camera."""
    camera_hw: tuple[int, int]
    """Size of the pictures it was made for, in pixels. Pictures of another size are taken for scaled ones."""

    def __post_init__(self) -> None:
        matrix = self.image_to_ground
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
            raise ConfigError(f"image_to_ground: expected 3 x 3 finite numbers, found shape {matrix.shape}.")
        if len(self.camera_hw) != 2 or min(self.camera_hw) < 1:
            raise ConfigError(f"camera_hw={self.camera_hw}: expected height and width in pixels.")
        if np.linalg.cond(matrix) > 1e12:
            raise ConfigError("image_to_ground cannot be inverted, so it maps the picture onto a line. " + _HOW + ".")
        if not (matrix @ [self.camera_hw[1] / 2, self.camera_hw[0], 1.0])[2] > 0:
            raise ConfigError(
                "image_to_ground puts the middle of the picture's lower edge behind the camera; multiply it by -1, or "
                f"measure the points again. {_HOW}."
            )

    def ground_m(self, points_xy: NDArray[Any], size_hw: tuple[int, ...]) -> NDArray[np.float64]:
        """Pixels (N, 2), x and y, of a picture (H, W) → metres float64 (N, 2), right and ahead; NaN in the sky."""
        scale = np.array([self.camera_hw[1] / size_hw[1], self.camera_hw[0] / size_hw[0]])
        points = np.column_stack([np.asarray(points_xy, np.float64) * scale, np.ones(len(points_xy))])
        ground = points @ self.image_to_ground.T
        w = np.where(ground[:, 2] > 1e-12 * np.abs(self.image_to_ground[2]).max(), ground[:, 2], np.nan)
        return np.asarray(ground[:, :2] / w[:, np.newaxis], np.float64)

    def distances_m(self, points_xy: NDArray[Any], size_hw: tuple[int, ...]) -> NDArray[np.float64]:
        """Pixels (N, 2) of a picture (H, W) → metres float64 (N,) from the origin, along the ground; NaN in the sky."""
        return np.asarray(np.hypot(*self.ground_m(points_xy, size_hw).T), np.float64)

    def top_view(
        self, labels: Labels, *, ahead_m: float = 30.0, aside_m: float = 8.0, px_per_m: float = 10.0
    ) -> Labels:
        """Labels uint8 (H, W) → labels uint8 of the ground from above, ahead upwards; `UNKNOWN` out of its view.

        It reaches `ahead_m` from the origin, and `aside_m` to each side. What stands on the ground is drawn away from
        the camera, as its shadow would be: only its foot is in the right place.
        """
        size_wh = (round(2 * aside_m * px_per_m), round(ahead_m * px_per_m))
        scale = np.diag([self.camera_hw[1] / labels.shape[1], self.camera_hw[0] / labels.shape[0], 1.0])
        to_view = np.array([[px_per_m, 0, aside_m * px_per_m], [0, -px_per_m, ahead_m * px_per_m], [0, 0, 1]])
        view = cv2.warpPerspective(
            labels, to_view @ self.image_to_ground @ scale, size_wh, flags=cv2.INTER_NEAREST, borderValue=UNKNOWN
        )
        return np.asarray(view, np.uint8)

    def write(self, path: Path | str) -> None:
        """Write the JSON file that `read_birds_eye` reads."""
        height, width = self.camera_hw
        matrix = [[float(value) for value in row] for row in self.image_to_ground]
        write_json(path, {"camera_width": width, "camera_height": height, "image_to_ground": matrix})


def read_birds_eye(path: Path | str) -> BirdsEye:
    """Read a homography file: JSON with `image_to_ground` (3 rows of 3), `camera_width` and `camera_height` in pixels.

    Raises `ConfigError` for a file that cannot be read or used, naming it.
    """
    try:
        value = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error}). {_HOW}.") from error
    except ValueError as error:
        raise ConfigError(f"{path}: is not JSON ({error}). {_HOW}.") from error
    keys = ("image_to_ground", "camera_width", "camera_height")
    if not isinstance(value, dict) or any(key not in value for key in keys):
        raise ConfigError(f"{path}: expected a JSON object with {', '.join(keys)}. {_HOW}.")
    size = (value["camera_height"], value["camera_width"])
    if not all(type(number) is int for number in size):
        raise ConfigError(f"{path}: camera_height and camera_width are {size}; expected whole numbers of pixels.")
    try:
        matrix = np.array(value["image_to_ground"], np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path}: image_to_ground: expected 3 rows of 3 numbers.") from error
    try:
        return BirdsEye(matrix, size)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def birds_eye_from_points(
    points_xy: Sequence[tuple[float, float]], ground_m: Sequence[tuple[float, float]], camera_hw: tuple[int, int]
) -> BirdsEye:
    """The homography through four or more pixels (x, y) and their places on the ground in metres (right, ahead).

    More than four are fitted by least squares. Raises `ConfigError` for fewer, and where three of four lie on a line.
    """
    if not len(points_xy) == len(ground_m) >= 4:
        raise ConfigError(
            f"{len(points_xy)} pixels and {len(ground_m)} places on the ground: expected as many of both, four or more."
        )
    matrix, _ = cv2.findHomography(np.array(points_xy, np.float64), np.array(ground_m, np.float64))
    if matrix is None or not np.isfinite(matrix).all() or np.linalg.cond(matrix) > 1e12:
        raise ConfigError("no homography goes through these points; no three of four may lie on a line.")
    side = (matrix @ [*points_xy[0], 1.0])[2]
    return BirdsEye(np.asarray(matrix / side if side else matrix, np.float64), camera_hw)
