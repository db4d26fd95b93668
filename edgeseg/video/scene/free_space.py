"""The road that is free from the lower edge of the picture upwards, column by column, and as a polygon."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.labels import LabelMap
from edgeseg.metrics.taxonomy import is_ground, is_person, is_road
from edgeseg.types import Labels
from edgeseg.video.scene.base import FreeSpace
from edgeseg.video.scene.birds_eye import BirdsEye
from edgeseg.video.scene.bonnet import Bonnet
from edgeseg.video.scene.tables import id_table

COLUMNS = 80
"""The picture is cut into so many upright strips, 16 pixels wide at 1280; each is one column of the result."""

ROWS = 180
"""Rows that are looked at, evenly spread: every fourth at 720."""

_ROAD_SHARE = 0.9
"""A strip's row is free where so much of it is road: a pole of a tenth of its width blocks it, single pixels do not."""
_SPECK = 0.01
"""Interruptions of the road up to this share of the picture's height are specks: somebody so low is beyond 150 m."""
_TOLERANCE = 0.003
"""The polygon is simplified by no more than this share of the picture's height."""


class FreeSpaceFinder:
    """Labels uint8 (H, W) → the free road: every column followed from the lower edge to where the road ends.

    The car's own bonnet is not in the way, see `Bonnet`: there the road begins above it.
    """

    def __init__(self, label_map: LabelMap, birds_eye: BirdsEye | None = None) -> None:
        self._road = id_table(label_map, is_road)
        self._no_bonnet = id_table(label_map, lambda name: is_person(name) or (is_ground(name) and not is_road(name)))
        self._birds_eye = birds_eye
        self._bonnet = Bonnet()

    def __call__(self, labels: Labels, time_s: float) -> FreeSpace:
        """The free road in the frame at `time_s`, on any clock that goes forward."""
        height, width = labels.shape
        step = max(1, height // ROWS)
        sampled = labels[(height - 1) % step :: step]  # with the lowest row
        columns = min(COLUMNS, width)
        # From here on rows are counted from the lower edge, in steps.
        road = _strips(sampled, self._road, columns) >= _ROAD_SHARE
        gap = np.ones((max(1, round(_SPECK * len(road))) + 1, 1), np.uint8)
        road = cv2.morphologyEx(road.astype(np.uint8), cv2.MORPH_CLOSE, gap) > 0
        low = Bonnet.rows(len(road))
        other = _strips(sampled[-low:], self._no_bonnet, columns) > 1 - _ROAD_SHARE
        first = self._bonnet(road[:low], other, time_s, labels.shape)
        blocked = ~road & (np.arange(len(road))[:, np.newaxis] >= first)
        end = np.where(blocked.any(axis=0), blocked.argmax(axis=0), len(road))
        free = end > first
        edges = np.linspace(0, width, columns + 1)
        columns_x = ((edges[:-1] + edges[1:]) / 2).astype(np.int32)
        top, bottom = height - 1 - (end - 1) * step, height - 1 - first * step
        rows_y = np.where(free, top, height).astype(np.int32)
        distances = None
        if self._birds_eye is not None:
            distances = self._birds_eye.distances_m(np.column_stack([columns_x, rows_y]), labels.shape)
            distances[~free] = np.nan
        polygon = _polygon(edges, top, bottom, free)
        if len(polygon):
            polygon = np.asarray(cv2.approxPolyDP(polygon, _TOLERANCE * height, closed=True)[:, 0], np.int32)
        return FreeSpace(polygon, columns_x, rows_y, distances)


def _strips(sampled: Labels, table: NDArray[np.uint8], columns: int) -> NDArray[np.float32]:
    """float32 (rows, columns), lowest row first: the share of each strip's pixels whose id is in the table."""
    mask = cv2.LUT(sampled, table)
    shares = cv2.resize(mask, (columns, len(sampled)), interpolation=cv2.INTER_AREA)
    return np.asarray(shares[::-1] / np.float32(255), np.float32)


def _polygon(
    edges: NDArray[np.float64], top: NDArray[np.int64], bottom: NDArray[np.int64], free: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """int32 (N, 2): around the free columns from the first to the last; those between that are not are of no height.

    In a strip's middle it goes up to the strip's own row, between two strips to the lower of both: no vertex and no
    side is above what is free.
    """
    (found,) = np.nonzero(free)
    if not len(found):
        return np.empty((0, 2), np.int32)
    ground = np.interp(np.arange(len(free)), found, bottom[found])
    roof = np.where(free, top, ground)
    part = slice(int(found[0]), int(found[-1]) + 1)
    left, right = edges[:-1][part], edges[1:][part]
    outer_x = np.append(left, right[-1] - 1)
    middle_x = (left + right) / 2
    upper = _zigzag(outer_x, middle_x, roof[part], np.maximum)
    lower = _zigzag(outer_x, middle_x, ground[part], np.minimum)
    lower[:, 1] = np.maximum(lower[:, 1], upper[:, 1])
    return np.asarray(np.rint(np.concatenate([upper, lower[::-1]])), np.int32)


def _zigzag(
    outer_x: NDArray[np.float64], middle_x: NDArray[np.float64], rows: NDArray[np.float64], between: np.ufunc
) -> NDArray[np.float64]:
    """float64 (2n + 1, 2): a line through strips, at each strip's middle at its row, and `between` two of both."""
    line = np.empty((2 * len(rows) + 1, 2))
    line[::2, 0], line[1::2, 0] = outer_x, middle_x
    line[1::2, 1] = rows
    line[2:-1:2, 1] = between(rows[:-1], rows[1:])
    line[[0, -1], 1] = rows[[0, -1]]
    return line
