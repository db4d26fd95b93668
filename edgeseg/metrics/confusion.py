"""The confusion matrix, counted once, and every figure that follows from it.

With n[i][j] = pixels of class i taken for class j, t_i = Σ_j n[i][j] and p_j = Σ_i n[i][j] (Long et al., CVPR 2015,
section 5; Everingham et al., IJCV 2010, section 4.1.3):

    pixel accuracy Σ n[i][i] / Σ t_i        IoU_i       n[i][i] / (t_i + p_i − n[i][i])
    recall_i       n[i][i] / t_i            precision_i n[i][i] / p_i
    F1_i           2 n[i][i] / (t_i + p_i), which is also Dice's coefficient
    mean accuracy  mean of recall_i         mIoU, mean precision, mean F1: means of theirs
    frequency-weighted IoU                  Σ t_i IoU_i / Σ t_i

Pixels whose truth is void are not counted anywhere. A figure whose denominator is zero is None and left out of the
mean: a class that is neither in the truth nor predicted has no IoU and no F1, and one that was never predicted no
precision. A class that is predicted but not there has IoU 0, and counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import LabelMap
from edgeseg.types import Labels

_IDS = 256
"""Every pair of uint8 ids is counted at first, so that counting and checking take one pass over the pixels."""


@dataclass(frozen=True, slots=True)
class FrameScore:
    """One frame of a dataset and its own mIoU, over the classes seen or predicted in it; None where all is void."""

    index: int
    name: str
    miou: float | None


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationResult:
    """What a confusion matrix says, as fractions from 0 to 1; per-class values are keyed by class name."""

    miou: float
    pixel_accuracy: float
    mean_accuracy: float
    iou: dict[str, float | None]
    precision: dict[str, float | None]
    recall: dict[str, float | None]
    f1: dict[str, float | None]
    mean_precision: float
    mean_f1: float
    frequency_weighted_iou: float
    frames: int
    matrix: NDArray[np.int64]
    """(classes, classes) pixels; row: true class, column: predicted class."""
    worst: tuple[FrameScore, ...] = ()
    """Frames with the lowest mIoU of their own, worst first, where they were scored one by one (`evaluate`)."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: every figure of the matrix under its own name, without the list of worst frames."""
        return {
            "miou": self.miou,
            "pixel_accuracy": self.pixel_accuracy,
            "mean_accuracy": self.mean_accuracy,
            "iou": dict(self.iou),
            "precision": dict(self.precision),
            "recall": dict(self.recall),
            "f1": dict(self.f1),
            "mean_precision": self.mean_precision,
            "mean_f1": self.mean_f1,
            "frequency_weighted_iou": self.frequency_weighted_iou,
            "frames": self.frames,
            "matrix": self.matrix.tolist(),
        }


class ConfusionMatrix:
    """Counts pixels by true and predicted class, frame after frame; matrices of disjoint frames add up with `+`."""

    def __init__(self, label_map: LabelMap) -> None:
        self.label_map = label_map
        self.frames = 0
        self._counts = np.zeros((len(label_map), len(label_map)), np.int64)

    @property
    def pixels(self) -> int:
        """Pixels counted so far; void ones are not."""
        return int(self._counts.sum())

    @property
    def counts(self) -> NDArray[np.int64]:
        """(classes, classes) pixels so far; row: true class, column: predicted class. A copy."""
        return np.array(self._counts)

    def update(self, truth: Labels, prediction: Labels) -> None:
        """Count one frame: `truth` uint8 (H, W) with the label map's void, `prediction` uint8 (H, W) of class ids.

        Raises `DataError` for shapes that differ, another dtype, or an id that is no class; then nothing is counted.
        """
        require_label_maps(truth, prediction)
        pairs = truth.astype(np.uint16) << 8 | prediction
        every_id = np.bincount(pairs.ravel(), minlength=_IDS * _IDS).reshape(_IDS, _IDS)
        classes = len(self.label_map)
        self._require_classes("prediction", every_id[:, classes:].sum(axis=0))
        counts = every_id[:classes, :classes]
        every_id[self.label_map.void] = 0
        self._require_classes("truth", every_id[classes:].sum(axis=1))
        self._counts += counts
        self.frames += 1

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        """Both together; raises `ConfigError` for other classes."""
        if other.label_map.names != self.label_map.names:
            raise ConfigError(
                f"confusion matrices of other classes do not add up: {', '.join(self.label_map.names)} "
                f"and {', '.join(other.label_map.names)}."
            )
        total = ConfusionMatrix(self.label_map)
        total._counts = self._counts + other._counts
        total.frames = self.frames + other.frames
        return total

    def result(self) -> EvaluationResult:
        """Everything that follows from the matrix; raises `DataError` where no pixel was counted."""
        total = self.pixels
        if total == 0:
            raise DataError(f"no labelled pixel in {self.frames} frames: all is void. Check the masks and the void id.")
        right = np.diagonal(self._counts)
        true, predicted = self._counts.sum(axis=1), self._counts.sum(axis=0)
        iou = ratios(right, true + predicted - right)
        recall, precision = ratios(right, true), ratios(right, predicted)
        f1 = ratios(2 * right, true + predicted)
        names = self.label_map.names
        return EvaluationResult(
            miou=mean_known(iou),
            pixel_accuracy=int(right.sum()) / total,
            mean_accuracy=mean_known(recall),
            iou=dict(zip(names, iou, strict=True)),
            precision=dict(zip(names, precision, strict=True)),
            recall=dict(zip(names, recall, strict=True)),
            f1=dict(zip(names, f1, strict=True)),
            mean_precision=mean_known(precision),
            mean_f1=mean_known(f1),
            frequency_weighted_iou=sum(int(t) * i for t, i in zip(true, iou, strict=True) if i is not None) / total,
            frames=self.frames,
            matrix=self.counts,
        )

    def _require_classes(self, role: str, beyond: NDArray[np.int64]) -> None:
        """`beyond` holds how many pixels have each id from the class count on; there must be none."""
        if beyond.any():
            classes, index = len(self.label_map), int(beyond.argmax())
            raise DataError(
                f"{role} has id {classes + index} in {beyond[index]} pixels; classes are 0..{classes - 1}, void in the "
                f"truth is {self.label_map.void}. Use the label map that the labels were made with."
            )


def require_label_maps(truth: Labels, prediction: Labels) -> None:
    """Raise `DataError` unless both are uint8 and of one shape."""
    if truth.shape != prediction.shape:
        raise DataError(f"labels of shape {prediction.shape} for a truth of {truth.shape}; they must be the same.")
    if truth.dtype != np.uint8 or prediction.dtype != np.uint8:
        raise DataError(f"labels are {prediction.dtype}, truth is {truth.dtype}; both must be uint8 class ids.")


def ratios(part: NDArray[np.int64], whole: NDArray[np.int64]) -> list[float | None]:
    """Element by element; None where `whole` is zero."""
    return [int(p) / int(w) if w else None for p, w in zip(part, whole, strict=True)]


def mean_known(values: list[float | None]) -> float:
    """Mean of those that are not None; there must be one."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known)
