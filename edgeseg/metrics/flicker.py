"""Flicker: labels that change from frame to frame although the scene does not.

The labels of the frame before are moved to where their pixels are now, by optical flow, and compared with the labels of
this frame, as in Varghese et al., "Unsupervised Temporal Consistency Metric for Video Segmentation in Highly-Automated
Driving", CVPR Workshops 2020, and Liu et al., "Efficient Semantic Video Segmentation with Per-frame
Inference", ECCV 2020:

    flicker          share of the compared pixels whose label changed; for a class, of those that had it before
    mTC              mean temporal consistency: mIoU of the moved labels against the new ones
    raw change rate  share of all pixels whose label changed at the same place, without moving anything

Only pixels are compared whose flow forth and back agree (see `motion`); what was hidden, comes in from outside or moves
unclearly is left out, and `compared` says how many are left. A pair with less than a quarter left is a cut, or two
frames too far apart: it counts as a cut and nowhere else. A change of frame size starts a new clip.

No truth is needed: a steady mistake does not flicker. With truth its own figures stand beside the prediction's, over
the same pixels, those void in either frame left out; what they have above zero is the drawing's and the flow's share.
Frames must come in order. Accumulators of two parts of a clip add up but for the pair between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.data import Sample
from edgeseg.errors import DataError
from edgeseg.labels import LabelMap
from edgeseg.metrics.base import DEFAULTS, Metric, MetricConfig, Scores, Table, percent, ratio
from edgeseg.metrics.confusion import ConfusionMatrix
from edgeseg.metrics.motion import motion_between
from edgeseg.types import Frame, Labels

MIN_TRUSTED = 0.25
"""Share of pixels with a trusted flow, below which a pair is a cut."""


@dataclass(frozen=True, slots=True)
class Stability:
    """How steady one sequence of label maps is; None where nothing was compared."""

    flicker: float | None
    mtc: float | None
    raw_change: float | None
    flicker_of: dict[str, float | None]
    """By the class that a pixel had before."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "flicker": self.flicker,
            "mtc": self.mtc,
            "raw_change": self.raw_change,
            "classes": dict(self.flicker_of),
        }


@dataclass(frozen=True, slots=True)
class FlickerResult:
    """The prediction's stability, and the truth's where there is one."""

    prediction: Stability
    truth: Stability | None
    compared: float | None
    """Share of the pairs' pixels that were compared."""
    pairs: int
    cuts: int
    frames: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "prediction": self.prediction.to_dict(),
            "truth": self.truth.to_dict() if self.truth else None,
            "compared": self.compared,
            "pairs": self.pairs,
            "cuts": self.cuts,
            "frames": self.frames,
        }

    def table(self) -> Table:
        """A line per figure and class; a column for the truth where there is one."""
        columns = [self.prediction, *([self.truth] if self.truth else [])]
        rows = [
            ("flicker", *(percent(one.flicker) for one in columns)),
            ("mTC", *(percent(one.mtc) for one in columns)),
            ("raw change", *(percent(one.raw_change) for one in columns)),
            *(
                (f"flicker of {name}", *(percent(one.flicker_of[name]) for one in columns))
                for name in self.prediction.flicker_of
            ),
        ]
        header = ("", "prediction %", "truth %")[: 1 + len(columns)]
        note = (
            f"{self.pairs} pairs of frames, {percent(self.compared, 1)} % of their pixels compared, {self.cuts} cuts."
        )
        return Table("Flicker: labels that change while the scene does not", header, tuple(rows), (note,))


class _Counts:
    """Old labels against new ones, moved and unmoved."""

    def __init__(self, label_map: LabelMap) -> None:
        self.moved, self.unmoved = ConfusionMatrix(label_map), ConfusionMatrix(label_map)

    def add(self, other: _Counts) -> None:
        self.moved += other.moved
        self.unmoved += other.unmoved

    def stability(self) -> Stability:
        names = self.moved.label_map.names
        if not self.moved.pixels or not self.unmoved.pixels:
            return Stability(None, None, None, dict.fromkeys(names))
        moved, unmoved = self.moved.result(), self.unmoved.result()
        changed = {name: None if recall is None else 1 - recall for name, recall in moved.recall.items()}
        return Stability(1 - moved.pixel_accuracy, moved.miou, 1 - unmoved.pixel_accuracy, changed)


class Flicker(Metric):
    """Change of labels between consecutive frames; see the module. Works without truth, through `update_frame`."""

    def __init__(self, label_map: LabelMap, config: MetricConfig = DEFAULTS) -> None:
        super().__init__(label_map, config)
        self._predicted, self._true = _Counts(label_map), _Counts(label_map)
        self._before: tuple[Frame, Labels, Labels | None] | None = None
        self._pairs = self._cuts = self._pair_pixels = 0

    def update_frame(self, frame_bgr: Frame, prediction: Labels) -> None:
        """Count the next frame of a clip without truth, BGR uint8 (H, W, 3); raises `DataError` as `update` does."""
        if frame_bgr.shape[:2] != prediction.shape:
            raise DataError(f"labels of shape {prediction.shape} for a frame of {frame_bgr.shape[:2]}.")
        self._require_ids(prediction)
        self._step(frame_bgr, prediction, None)
        self.frames += 1

    def result(self) -> FlickerResult:
        """What the counts say so far."""
        compared = ratio(self._predicted.moved.pixels, self._pair_pixels)
        truth = self._true.stability() if self._true.moved.pixels else None
        return FlickerResult(self._predicted.stability(), truth, compared, self._pairs, self._cuts, self.frames)

    def _count(self, sample: Sample, prediction: Labels, scores: Scores | None) -> None:
        del scores
        self._step(sample.image_bgr, prediction, sample.labels)

    def _step(self, frame_bgr: Frame, prediction: Labels, truth: Labels | None) -> None:
        before, self._before = self._before, (frame_bgr, prediction, truth)
        if before is None or before[0].shape != frame_bgr.shape:
            return
        frame_before, prediction_before, truth_before = before
        motion = motion_between(frame_before, frame_bgr)
        if motion.trusted.mean() < MIN_TRUSTED:
            self._cuts += 1
            return
        self._pairs += 1
        self._pair_pixels += prediction.size
        still = np.ones(prediction.shape, np.bool_)
        moving = motion.trusted
        if truth is not None and truth_before is not None:
            void = self.label_map.void
            truth_moved = motion.warp(truth_before)
            still = (truth != void) & (truth_before != void)
            moving = moving & (truth != void) & (truth_moved != void)
            self._true.unmoved.update(*self._pair(truth_before, truth, still))
            self._true.moved.update(*self._pair(truth_moved, truth, moving))
        self._predicted.unmoved.update(*self._pair(prediction_before, prediction, still))
        self._predicted.moved.update(*self._pair(motion.warp(prediction_before), prediction, moving))

    def _pair(self, old: Labels, new: Labels, compared: NDArray[np.bool_]) -> tuple[Labels, Labels]:
        """What a confusion matrix counts only where `compared`: void is its truth elsewhere, and never its labels."""
        return np.where(compared, old, np.uint8(self.label_map.void)), np.where(compared, new, np.uint8(0))

    def _absorb(self, other: Flicker) -> None:
        self._predicted.add(other._predicted)
        self._true.add(other._true)
        self._pairs += other._pairs
        self._cuts += other._cuts
        self._pair_pixels += other._pair_pixels
