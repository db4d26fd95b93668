"""Accuracy and mIoU near the borders of the truth, in bands (trimaps) of several widths.

Kohli, Ladický, Torr, "Robust Higher Order Potentials for Enforcing Label Consistency", IJCV 2009: the share
of wrong pixels within a narrow band around the true borders, as the band grows. Chen et al., "Semantic Image
Segmentation with Deep Convolutional Nets and Fully Connected CRFs", ICLR 2015, give mIoU in the same band.

The band of width k holds every labelled pixel with a pixel of another class at most k away, in the truth, on either
side of the border. Both papers take the border from VOC's void outlines. Here void is no border: a pixel beside void
is in the band only if another class lies within k, so outlines drawn as void are crossed by a k wider than they are.
The frame's edge is no border either. Void pixels count nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeseg.data import Sample
from edgeseg.labels import LabelMap
from edgeseg.metrics.bands import near_border
from edgeseg.metrics.base import DEFAULTS, Metric, MetricConfig, Scores, Table, percent
from edgeseg.metrics.confusion import ConfusionMatrix
from edgeseg.types import Labels


@dataclass(frozen=True, slots=True)
class Band:
    """One width; the figures are None where no pixel lies near a border."""

    width_px: int
    pixels: int
    accuracy: float | None
    miou: float | None


@dataclass(frozen=True, slots=True)
class TrimapResult:
    """A band for each width, narrowest first."""

    bands: tuple[Band, ...]
    frames: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        bands = [
            {"width_px": band.width_px, "pixels": band.pixels, "pixel_accuracy": band.accuracy, "miou": band.miou}
            for band in self.bands
        ]
        return {"bands": bands, "frames": self.frames}

    def table(self) -> Table:
        """A line per width."""
        rows = tuple(
            (f"{band.width_px} px", percent(band.accuracy), percent(band.miou), f"{band.pixels:,}")
            for band in self.bands
        )
        return Table("Near the borders of the truth (trimaps)", ("within", "accuracy %", "mIoU %", "pixels"), rows)


class Trimap(Metric):
    """Pixel accuracy and mIoU within k pixels of the truth's borders; see the module."""

    def __init__(self, label_map: LabelMap, config: MetricConfig = DEFAULTS) -> None:
        super().__init__(label_map, config)
        self._matrices = {width: ConfusionMatrix(label_map) for width in config.trimap_widths_px}

    def result(self) -> TrimapResult:
        """What the counts say so far."""
        bands = []
        for width, matrix in self._matrices.items():
            found = matrix.result() if matrix.pixels else None
            accuracy, miou = (found.pixel_accuracy, found.miou) if found else (None, None)
            bands.append(Band(width, matrix.pixels, accuracy, miou))
        return TrimapResult(tuple(bands), self.frames)

    def _count(self, sample: Sample, prediction: Labels, scores: Scores | None) -> None:
        del scores
        truth, void = sample.labels, self.label_map.void
        for width, matrix in self._matrices.items():
            near = near_border(truth, void, width, frame_edge=False)
            matrix.update(np.where(near, truth, np.uint8(void)), prediction)

    def _absorb(self, other: Trimap) -> None:
        self._matrices = {width: matrix + other._matrices[width] for width, matrix in self._matrices.items()}
