"""Two sets of logits for the same frames → how far they are apart, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.graph.sureness import ConfidenceError, ConfidenceMeter, probability
from edgeseg.labels import LabelMap
from edgeseg.metrics.confusion import ConfusionMatrix
from edgeseg.types import Labels

Logits = NDArray[Any]
"""Float (C, h, w)."""

CLASS_BORDER_PX = 3
"""Width of the band on each side of a class border."""

IMAGE_BORDER_PX = 8
"""Width of the frame along the image's edge: as far as the zero padding of the usual last transposed convolution
(kernel 16, stride 8) reaches. Mistakes of padding and cropping show there first."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """A candidate's logits beside the reference's, over all frames. Shares are 0..1; None where no such pixel is."""

    frames: int
    pixels: int
    max_abs: float
    """Largest difference of a logit; infinite if the candidate has a NaN or an infinity."""
    mean_abs: float
    peak: float
    """Largest magnitude of a logit of the reference, to judge `max_abs` by."""
    argmax_agreement: float
    by_frame: tuple[float, ...]
    """The same for each frame."""
    border_agreement: float | None
    """Within 3 pixels of a class border of the reference."""
    image_border_agreement: float
    """Within 8 pixels of the image's edge."""
    flip_margin: float
    """Largest lead of the reference's winning class over its second at a pixel whose class changed; 0 if none did.
    Rounding alone turns only pixels where the lead is at most 2·max_abs."""
    iou: dict[str, float | None]
    """Per class, the reference's labels taken as truth."""
    share: dict[str, float]
    """Per class, share of the pixels that have it in the reference."""
    miou: float
    confidence: ConfidenceError | None = None
    """How far apart both are in how sure they are, where that was asked."""

    @property
    def finite(self) -> bool:
        """Whether every logit of the candidate is a number."""
        return bool(np.isfinite(self.max_abs))


class AgreementMeter:
    """Adds up frames; with `confidence` also how sure both are."""

    def __init__(self, label_map: LabelMap, *, confidence: bool = False) -> None:
        self._confidence = ConfidenceMeter() if confidence else None
        self._confusion = ConfusionMatrix(label_map)
        self._max_abs = self._sum_abs = self._peak = self._flip_margin = 0.0
        self._values = self._pixels = self._same = 0
        self._by_frame: list[float] = []
        self._band = self._band_same = self._edge = self._edge_same = 0

    def update(self, reference: Logits, candidate: Logits) -> None:
        """Logits of one frame, (C, h, w) each; float16 is compared in float32."""
        truth, found = reference.astype(np.float32), candidate.astype(np.float32)
        truth_ids, found_ids = _argmax(truth), _argmax(found)
        difference = np.abs(found - truth)
        finite = bool(np.isfinite(difference).all())
        same = truth_ids == found_ids
        self._max_abs = max(self._max_abs, float(difference.max()) if finite else np.inf)
        self._sum_abs += float(difference.sum(dtype=np.float64)) if finite else np.inf
        self._peak = max(self._peak, float(np.abs(truth).max()))
        self._values += truth.size
        self._pixels += same.size
        self._same += int(same.sum())
        self._by_frame.append(float(same.mean()))
        band = class_border(truth_ids)
        self._band += int(band.sum())
        self._band_same += int(same[band].sum())
        edge = image_border(truth_ids.shape)
        self._edge += int(edge.sum())
        self._edge_same += int(same[edge].sum())
        if not same.all():
            first_two = np.partition(truth[:, ~same], -2, axis=0)[-2:]
            self._flip_margin = max(self._flip_margin, float((first_two[1] - first_two[0]).max()))
        if self._confidence is not None:
            self._confidence.update(probability(truth), probability(found), same)
        self._confusion.update(truth_ids, found_ids)

    def result(self) -> Agreement:
        """The figures; at least one frame must have been added."""
        confusion = self._confusion.result()
        return Agreement(
            frames=self._confusion.frames,
            pixels=self._pixels,
            max_abs=self._max_abs,
            mean_abs=self._sum_abs / self._values,
            peak=self._peak,
            argmax_agreement=self._same / self._pixels,
            by_frame=tuple(self._by_frame),
            border_agreement=self._band_same / self._band if self._band else None,
            image_border_agreement=self._edge_same / self._edge,
            flip_margin=self._flip_margin,
            iou=confusion.iou,
            share=dict(zip(confusion.iou, (confusion.matrix.sum(axis=1) / self._pixels).tolist(), strict=True)),
            miou=confusion.miou,
            confidence=None if self._confidence is None else self._confidence.result(),
        )


def class_border(labels: Labels, width: int = CLASS_BORDER_PX) -> NDArray[np.bool_]:
    """uint8 (H, W) → bool (H, W): pixels with another class at most `width` pixels away, diagonals counted as one."""
    window = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    return np.asarray(cv2.dilate(labels, window) != cv2.erode(labels, window))


def image_border(shape: tuple[int, ...], width: int = IMAGE_BORDER_PX) -> NDArray[np.bool_]:
    """(H, W) → bool (H, W): pixels at most `width` from the edge."""
    edge = np.ones(shape, bool)
    edge[width:-width, width:-width] = False
    return edge


def _argmax(logits: Logits) -> Labels:
    return np.asarray(logits.argmax(axis=0), np.uint8)
