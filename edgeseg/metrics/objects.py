"""Recall of pedestrians, or another class, by their size in the picture.

mIoU counts pixels, so one person at 5 m outweighs a hundred at 50 m. Here each object counts once, in the size that it
appears at. An object is an 8-connected component of the class in the truth: people who touch are one, one behind a
pole is two. It is found if at least half of its pixels have its class in the prediction.

Sizes are heights in pixels, because a person's height in the picture falls with 1/distance, whatever the pose, while
the area also changes with pose and occlusion. 30 and 80 px are the borders between far, medium and near of Dollár,
Wojek, Schiele, Perona, "Pedestrian Detection: An Evaluation of the State of the Art", PAMI 2012, for 640
pixels of width; 15 px divides the far once more. Components of fewer pixels than `object_min_pixels` are specks of the
drawing; they are not counted. Void cannot be part of an object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from edgeseg.data import Sample
from edgeseg.labels import LabelMap
from edgeseg.metrics.base import DEFAULTS, Metric, MetricConfig, Scores, Table, percent, ratio
from edgeseg.metrics.taxonomy import pedestrian_class
from edgeseg.types import Labels


@dataclass(frozen=True, slots=True)
class SizeRecall:
    """Objects of one size: at least `from_px` high, and lower than `below_px` (None: any height)."""

    from_px: int
    below_px: int | None
    objects: int
    found: int
    pixels: int
    found_pixels: int

    @property
    def object_recall(self) -> float | None:
        """Share of the objects that are found; None where there are none."""
        return ratio(self.found, self.objects)

    @property
    def pixel_recall(self) -> float | None:
        """Share of the objects' pixels that have their class; None where there are none."""
        return ratio(self.found_pixels, self.pixels)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "from_px": self.from_px,
            "below_px": self.below_px,
            "objects": self.objects,
            "found": self.found,
            "object_recall": self.object_recall,
            "pixels": self.pixels,
            "pixel_recall": self.pixel_recall,
        }


@dataclass(frozen=True, slots=True)
class ObjectResult:
    """A `SizeRecall` for each size, smallest first, and all of them together."""

    object_class: str
    sizes: tuple[SizeRecall, ...]
    overall: SizeRecall
    frames: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "class": self.object_class,
            "sizes": [size.to_dict() for size in self.sizes],
            "overall": self.overall.to_dict(),
            "frames": self.frames,
        }

    def table(self) -> Table:
        """A line per size, and all."""
        rows = tuple(
            (name, percent(size.object_recall), f"{size.found}/{size.objects}", percent(size.pixel_recall))
            for name, size in (*((_span(size), size) for size in self.sizes), ("all", self.overall))
        )
        title = f"{self.object_class.capitalize()} by height in the picture"
        return Table(title, ("height", "objects found %", "objects", "pixels found %"), rows)


class ObjectRecall(Metric):
    """Recall of one class's objects by height; see the module. Needs the class, by name or as the pedestrian."""

    def __init__(self, label_map: LabelMap, config: MetricConfig = DEFAULTS) -> None:
        super().__init__(label_map, config)
        self.object_class = config.object_class or pedestrian_class(label_map)
        (self._id,) = label_map.ids([self.object_class])
        # A row for each size: objects, found objects, their pixels, found pixels.
        self._counts = np.zeros((len(config.object_heights_px) + 1, 4), np.int64)

    def result(self) -> ObjectResult:
        """What the counts say so far."""
        borders: list[int | None] = [0, *self.config.object_heights_px, None]
        sizes = tuple(
            SizeRecall(low or 0, high, *(int(count) for count in row))
            for low, high, row in zip(borders, borders[1:], self._counts, strict=False)
        )
        overall = SizeRecall(0, None, *(int(count) for count in self._counts.sum(axis=0)))
        return ObjectResult(self.object_class, sizes, overall, self.frames)

    def _count(self, sample: Sample, prediction: Labels, scores: Scores | None) -> None:
        del scores
        mask = (sample.labels == self._id).astype(np.uint8)
        count, components, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        right = np.asarray(components)[prediction == self._id]
        found_pixels = np.bincount(right, minlength=count)[1:]
        pixels, heights = (np.asarray(stats)[1:, column] for column in (cv2.CC_STAT_AREA, cv2.CC_STAT_HEIGHT))
        for area, height, found in zip(pixels, heights, found_pixels, strict=True):
            if area >= self.config.object_min_pixels:
                size = int(np.searchsorted(self.config.object_heights_px, height, side="right"))
                self._counts[size] += (1, 2 * found >= area, area, found)

    def _absorb(self, other: ObjectRecall) -> None:
        self._counts += other._counts


def _span(size: SizeRecall) -> str:
    if size.below_px is None:
        return f"{size.from_px} px or more"
    return f"below {size.below_px} px" if size.from_px == 0 else f"{size.from_px} to {size.below_px - 1} px"
