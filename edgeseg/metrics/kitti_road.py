"""The KITTI road benchmark's figures: road against the rest, over all thresholds of the confidence.

Fritsch, Kühnl, Geiger, "A New Performance Measure and Evaluation Benchmark for Road Detection Algorithms", ITSC 2013,
and the devkit at cvlibs.net/datasets/kitti/eval_road.php. From the confidence of road at each pixel:

- It is stored in 8 bits, and a pixel is road at threshold t/255, t = 0..255, if its confidence is not below.
- MaxF is the largest F1 over the thresholds; precision, recall, FPR and FNR are those of the threshold that reaches it.
- AP is PASCAL VOC 2007's: the mean over recalls 0, 0.1, … 1 of the best precision at that recall or more (Everingham
  et al., IJCV 2010, section 4.2).
- Pixels of all frames are counted together. Void ("not evaluated", black in KITTI's masks) counts nowhere.

This is image space. The official ranking is in bird's-eye view, where far pixels weigh more, so figures from here stand
beside each other but not in its table.

Confidence comes from a checkpoint; a bundle gives labels alone. Then MaxF and AP are None and the one point that the
labels are is reported, as it is always, under `labels`. Classes other than road are the rest.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.data import Sample
from edgeseg.errors import DataError
from edgeseg.labels import LabelMap
from edgeseg.metrics.base import DEFAULTS, Metric, MetricConfig, Scores, Table, percent, ratio
from edgeseg.metrics.taxonomy import road_ids
from edgeseg.types import Labels

LEVELS = 256
"""Confidences of the devkit, which reads them from 8-bit pictures."""

_RECALLS = 10
"""AP looks at recalls 0/10, 1/10, … 10/10."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Road against the rest at one threshold; None where a denominator is zero."""

    f1: float | None
    precision: float | None
    recall: float | None
    false_positive_rate: float | None
    false_negative_rate: float | None


@dataclass(frozen=True, slots=True)
class KittiRoadResult:
    """`best` is the point of MaxF, at `threshold` (0 to 1); these and AP are None without confidences or any road."""

    average_precision: float | None
    best: OperatingPoint | None
    threshold: float | None
    labels: OperatingPoint
    """What the labels themselves are, without a threshold."""
    road_pixels: int
    frames: int

    @property
    def max_f(self) -> float | None:
        """F1 at the best threshold."""
        return self.best.f1 if self.best else None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "max_f": self.max_f,
            "average_precision": self.average_precision,
            "threshold": self.threshold,
            "best": asdict(self.best) if self.best else None,
            "labels": asdict(self.labels),
            "road_pixels": self.road_pixels,
            "space": "image",
            "frames": self.frames,
        }

    def table(self) -> Table:
        """A line for the best threshold and one for the labels."""
        rows = []
        if self.best and self.threshold is not None:
            name = f"best threshold, {self.threshold:.3f}"
            rows.append(_row(name, self.best, self.average_precision))
        rows.append(_row("labels", self.labels, None))
        notes = ["Image space; KITTI ranks in bird's-eye view."]
        if not self.best:
            notes.append("No confidences, or no road: MaxF and AP need a checkpoint and road in the truth.")
        header = ("road", "F1 %", "AP %", "precision %", "recall %", "FPR %", "FNR %")
        return Table("KITTI road: MaxF is the F1 at the best threshold", header, tuple(rows), tuple(notes))


class KittiRoad(Metric):
    """MaxF, AP and the labels' own point for road; see the module. Needs a class called road."""

    uses_scores = True

    def __init__(self, label_map: LabelMap, config: MetricConfig = DEFAULTS) -> None:
        super().__init__(label_map, config)
        self._roads = road_ids(label_map)
        self._is_road = np.isin(np.arange(256), self._roads)
        self._by_level = np.zeros((2, LEVELS), np.int64)  # rest, road
        self._by_label = np.zeros((2, 2), np.int64)  # true rest or road, labelled rest or road
        self._scored_frames = 0

    def result(self) -> KittiRoadResult:
        """What the counts say so far."""
        rest, road = self._by_label
        labels = _point(int(road[1]), int(rest[1]), int(road.sum()), int(rest.sum()))
        # Frames without confidences would stay out of the curve, and a part would pass for the whole.
        rest_levels, road_levels = self._by_level
        positives = int(road_levels.sum())
        if self._scored_frames < self.frames or positives == 0:
            return KittiRoadResult(None, None, None, labels, int(road.sum()), self.frames)
        hits, alarms = (np.cumsum(levels[::-1])[::-1] for levels in (road_levels, rest_levels))
        f1 = 2 * hits / (hits + alarms + positives)
        best = int(f1.argmax())
        point = _point(int(hits[best]), int(alarms[best]), positives, int(rest_levels.sum()))
        average = _average_precision(hits, alarms, positives)
        return KittiRoadResult(average, point, best / (LEVELS - 1), labels, int(road.sum()), self.frames)

    def _count(self, sample: Sample, prediction: Labels, scores: Scores | None) -> None:
        labelled = sample.labels != self.label_map.void
        true = self._is_road[sample.labels[labelled]]
        said = self._is_road[prediction[labelled]]
        if scores is not None:
            confidence = scores[list(self._roads)].sum(axis=0)[labelled]
            if not np.isfinite(confidence).all():
                raise DataError("the scores of road hold NaN or infinity. Check the model's weights.")
            level = np.clip(np.rint((LEVELS - 1) * confidence), 0, LEVELS - 1).astype(np.int64)
            self._by_level += np.bincount(LEVELS * true + level, minlength=2 * LEVELS).reshape(2, LEVELS)
            self._scored_frames += 1
        self._by_label += np.bincount(2 * true + said, minlength=4).reshape(2, 2)

    def _absorb(self, other: KittiRoad) -> None:
        self._by_level += other._by_level
        self._by_label += other._by_label
        self._scored_frames += other._scored_frames


def _average_precision(hits: NDArray[np.int64], alarms: NDArray[np.int64], positives: int) -> float:
    """11-point AP; recall is compared in whole numbers, where the devkit's 0.30000000000000004 is 0.3."""
    precision = hits / np.maximum(hits + alarms, 1)
    best = [precision[_RECALLS * hits >= step * positives].max() for step in range(_RECALLS + 1)]
    return float(np.mean(best))


def _point(hits: int, alarms: int, positives: int, negatives: int) -> OperatingPoint:
    return OperatingPoint(
        f1=ratio(2 * hits, hits + alarms + positives),
        precision=ratio(hits, hits + alarms),
        recall=ratio(hits, positives),
        false_positive_rate=ratio(alarms, negatives),
        false_negative_rate=ratio(positives - hits, positives),
    )


def _row(name: str, point: OperatingPoint, average_precision: float | None) -> tuple[str, ...]:
    rates = (point.precision, point.recall, point.false_positive_rate, point.false_negative_rate)
    return (name, percent(point.f1), percent(average_precision), *(percent(value) for value in rates))
