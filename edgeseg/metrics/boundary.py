"""Boundary IoU: intersection over union of the bands along the inside of each class's outline.

Cheng, Girshick, Dollár, Berg, Kirillov, "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR
2021. With G_d the pixels of the true region G at most d from its outline, P_d those of the prediction:

    boundary IoU = |G_d ∩ P_d| / |G_d ∪ P_d|        d = 2 % of the image diagonal, rounded, at least 1 pixel

As in the authors' code the frame's edge belongs to the outline of what it cuts. Intersections and unions of a class
are summed over all frames before they are divided, as for mIoU.

The paper knows no void. Here a border with void is no outline, because it only says where the drawing stops; and the
prediction is made void where the truth is, so that what it says there can neither help nor harm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.data import Sample
from edgeseg.labels import LabelMap
from edgeseg.metrics.bands import near_border
from edgeseg.metrics.base import DEFAULTS, Metric, MetricConfig, Scores, Table, mean_or_none, percent
from edgeseg.metrics.confusion import ratios
from edgeseg.types import Labels


@dataclass(frozen=True, slots=True)
class BoundaryResult:
    """Boundary IoU of each class, None for a class with no outline in truth and prediction, and their mean."""

    mean: float | None
    iou: dict[str, float | None]
    ratio: float
    """Width of the band as a share of the image diagonal."""
    frames: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "mean_boundary_iou": self.mean,
            "boundary_iou": dict(self.iou),
            "ratio": self.ratio,
            "frames": self.frames,
        }

    def table(self) -> Table:
        """A line per class, and the mean."""
        rows = [*((name, percent(value)) for name, value in self.iou.items()), ("mean", percent(self.mean))]
        title = f"Boundary IoU, band of {100 * self.ratio:g} % of the diagonal"
        return Table(title, ("class", "boundary IoU %"), tuple(rows))


class BoundaryIoU(Metric):
    """Boundary IoU per class; see the module."""

    def __init__(self, label_map: LabelMap, config: MetricConfig = DEFAULTS) -> None:
        super().__init__(label_map, config)
        self._both, self._either = np.zeros((2, len(label_map)), np.int64)

    def result(self) -> BoundaryResult:
        """What the counts say so far."""
        iou = ratios(self._both, self._either)
        by_name = dict(zip(self.label_map.names, iou, strict=True))
        return BoundaryResult(mean_or_none(iou), by_name, self.config.boundary_ratio, self.frames)

    def _count(self, sample: Sample, prediction: Labels, scores: Scores | None) -> None:
        del scores
        truth, void = sample.labels, self.label_map.void
        masked = np.where(truth == void, np.uint8(void), prediction)
        distance_px = max(1, round(self.config.boundary_ratio * math.hypot(*truth.shape)))
        true_band = near_border(truth, void, distance_px, frame_edge=True)
        predicted_band = near_border(masked, void, distance_px, frame_edge=True)
        both = self._by_class(truth[true_band & predicted_band & (truth == masked)])
        self._both += both
        self._either += self._by_class(truth[true_band]) + self._by_class(masked[predicted_band]) - both

    def _by_class(self, ids: Labels) -> NDArray[np.int64]:
        return np.bincount(ids, minlength=len(self.label_map))

    def _absorb(self, other: BoundaryIoU) -> None:
        self._both += other._both
        self._either += other._either
