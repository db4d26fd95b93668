"""False free space: obstacles that are called road, the one mistake that a car drives into.

The miss rate of obstacles against the drivable surface, as in Pinggera et al., "Lost and Found: Detecting Small Road
Hazards for Self-Driving Vehicles", IROS 2016, counted on the labels. An obstacle is every class that is
neither ground (road, pavement, kerb, terrain, …) nor sky nor the car itself; `taxonomy` holds the names.

    false free space     obstacle pixels labelled road / obstacle pixels        also for each obstacle class
    false obstacles      road pixels labelled as an obstacle / road pixels
    swallowed objects    8-connected components of an obstacle class, `object_min_pixels` or larger, of which at least
                         half is labelled road

Obstacle pixels that get another wrong class (a car called a building) are no free space and do not count. Void pixels
count nowhere; a rate without a pixel to count is None.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from edgeseg.data import Sample
from edgeseg.labels import LabelMap
from edgeseg.metrics.base import DEFAULTS, Metric, MetricConfig, Scores, Table, percent, ratio
from edgeseg.metrics.confusion import ConfusionMatrix
from edgeseg.metrics.taxonomy import obstacle_ids, road_ids
from edgeseg.types import Labels


@dataclass(frozen=True, slots=True)
class ObstacleRate:
    """Pixels and objects of one obstacle class, or of all, and how many are labelled road."""

    pixels: int
    called_road: int
    objects: int
    swallowed: int
    rate: float | None
    """Share of the pixels; None where there are none."""


@dataclass(frozen=True, slots=True)
class FreeSpaceResult:
    """False free space overall and by class, and its reverse."""

    overall: ObstacleRate
    by_class: dict[str, ObstacleRate]
    road_pixels: int
    road_called_obstacle: int
    frames: int

    @property
    def false_obstacle_rate(self) -> float | None:
        """Share of the road that is labelled as an obstacle."""
        return ratio(self.road_called_obstacle, self.road_pixels)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "false_free_space_rate": self.overall.rate,
            "false_obstacle_rate": self.false_obstacle_rate,
            "overall": asdict(self.overall),
            "classes": {name: asdict(rate) for name, rate in self.by_class.items()},
            "road_pixels": self.road_pixels,
            "road_called_obstacle": self.road_called_obstacle,
            "frames": self.frames,
        }

    def table(self) -> Table:
        """A line per obstacle class, all of them, and the reverse below."""
        rows = tuple(
            (name, percent(rate.rate, 3), f"{rate.called_road:,}/{rate.pixels:,}", f"{rate.swallowed}/{rate.objects}")
            for name, rate in (*self.by_class.items(), ("all obstacles", self.overall))
        )
        header = ("class", "called road %", "pixels", "objects at least half road")
        note = f"Road called an obstacle: {percent(self.false_obstacle_rate, 3)} % of {self.road_pixels:,} pixels."
        return Table("False free space: obstacles called road", header, rows, (note,))


class FreeSpace(Metric):
    """Obstacles called road and the reverse; see the module. Needs a road class and names that tell obstacles."""

    def __init__(self, label_map: LabelMap, config: MetricConfig = DEFAULTS) -> None:
        super().__init__(label_map, config)
        self._roads, self._obstacles = list(road_ids(label_map)), list(obstacle_ids(label_map))
        self._is_road = np.isin(np.arange(256), self._roads)
        self._confusion = ConfusionMatrix(label_map)
        self._objects = np.zeros((len(self._obstacles), 2), np.int64)  # all, swallowed

    def result(self) -> FreeSpaceResult:
        """What the counts say so far."""
        matrix = self._confusion.counts
        pixels = matrix[self._obstacles].sum(axis=1)
        called_road = matrix[np.ix_(self._obstacles, self._roads)].sum(axis=1)
        by_class = {
            self.label_map.names[index]: _rate(pixels[row], called_road[row], *self._objects[row])
            for row, index in enumerate(self._obstacles)
        }
        return FreeSpaceResult(
            overall=_rate(pixels.sum(), called_road.sum(), *self._objects.sum(axis=0)),
            by_class=by_class,
            road_pixels=int(matrix[self._roads].sum()),
            road_called_obstacle=int(matrix[np.ix_(self._roads, self._obstacles)].sum()),
            frames=self.frames,
        )

    def _count(self, sample: Sample, prediction: Labels, scores: Scores | None) -> None:
        del scores
        self._confusion.update(sample.labels, prediction)
        called_road = self._is_road[prediction]
        for row, index in enumerate(self._obstacles):
            mask = (sample.labels == index).astype(np.uint8)
            count, components, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
            areas = np.asarray(stats)[1:, cv2.CC_STAT_AREA]
            missed = np.bincount(np.asarray(components)[called_road], minlength=count)[1:]
            large = areas >= self.config.object_min_pixels
            self._objects[row] += (large.sum(), (large & (2 * missed >= areas)).sum())

    def _absorb(self, other: FreeSpace) -> None:
        self._confusion += other._confusion
        self._objects += other._objects


def _rate(*counts: np.int64) -> ObstacleRate:
    pixels, called_road, objects, swallowed = (int(count) for count in counts)
    return ObstacleRate(pixels, called_road, objects, swallowed, ratio(called_road, pixels))
