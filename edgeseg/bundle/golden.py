"""Golden frames: what the trained network says of a few pictures, for a device to test itself against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.bundle.fields import Fields, typed_items
from edgeseg.labels import LabelMap
from edgeseg.types import Confidence, Frame, Labels

if TYPE_CHECKING:
    from edgeseg.bundle.manifest import Contract


@dataclass(frozen=True, slots=True)
class GoldenConfidence:
    """Path of the confidence, and for each precision by how much a replay may differ from it, in the mean.

    A difference is one of probabilities, 0 to 1, over the pixels that have the trained network's label.
    """

    file: str
    may_differ: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class GoldenEntry:
    """A golden frame: paths of picture and labels, and for each precision how many pixels may differ on replay."""

    name: str
    frame: str
    labels: str
    may_differ: Mapping[str, int]
    confidence: GoldenConfidence | None = None
    """Only in a bundle whose graphs give the confidence, and only there in the file."""

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of all that belongs to it."""
        return (self.frame, self.labels, *(() if self.confidence is None else (self.confidence.file,)))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as in the manifest."""
        value = asdict(self)
        if self.confidence is None:
            del value["confidence"]
        return value

    @staticmethod
    def read(value: Any) -> GoldenEntry:
        """The manifest's entry, strictly; raises `BundleError`."""
        fields = Fields(value, "a golden frame of the manifest")
        may_differ = typed_items(fields.take("may_differ", dict), int, "may_differ")
        confidence = _read_confidence(fields.take("confidence", dict)) if "confidence" in value else None
        name, frame, labels = (fields.take(key, str) for key in ("name", "frame", "labels"))
        fields.done()
        return GoldenEntry(name, frame, labels, may_differ, confidence)


@dataclass(frozen=True, slots=True)
class GoldenFrame:
    """A frame, uint8 (H, W, 3) BGR, with the trained network's labels, uint8 (H, W).

    `may_differ`: precision → number of pixels that a replay may label otherwise; processors round differently.
    `confidence`: uint8 (H, W), that network's too, where the bundle's graphs give one; by precision,
    `confidence_may_differ` is how far a replay may be from it (see `GoldenConfidence`).
    """

    name: str
    frame_bgr: Frame
    labels: Labels
    may_differ: Mapping[str, int]
    confidence: Confidence | None = None
    confidence_may_differ: Mapping[str, float] | None = None


def confidence_difference(found: Confidence, expected: Confidence, same: NDArray[np.bool_]) -> float:
    """Mean difference of two confidences, uint8 (H, W), as probabilities, over the pixels in `same`; 0 of none."""
    if not same.any():
        return 0.0
    steps = np.abs(found[same].astype(np.int16) - expected[same])
    return float(steps.mean() / 255)


def golden_problem(
    frame: NDArray[np.generic],
    labels: NDArray[np.generic],
    contract: Contract,
    label_map: LabelMap,
    confidence: NDArray[np.generic] | None = None,
) -> str | None:
    """What is wrong with a golden frame, in words; `None` if it and its answers are as the contract says."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0:
        return f"the frame is {frame.dtype} {frame.shape}, expected uint8 (H, W, 3)"
    for name, answer in (("labels are", labels), ("confidence is", confidence)):
        if answer is not None and (answer.dtype != np.uint8 or answer.shape != frame.shape[:2]):
            return f"the {name} {answer.dtype} {answer.shape}, expected uint8 {frame.shape[:2]} as the frame"
    if (confidence is None) != (contract.confidence is None):
        return "the graphs give a confidence and the frame has none, or the reverse"
    if contract.camera_hw not in (None, frame.shape[:2]):
        return f"the frame is {frame.shape[:2]}, the graphs take {contract.camera_hw}"
    if labels.max() >= len(label_map):
        return f"class id {labels.max()} in the labels, but there are {len(label_map)} classes"
    return None


def _read_confidence(value: dict[str, Any]) -> GoldenConfidence:
    fields = Fields(value, "a golden confidence of the manifest")
    may_differ = typed_items(fields.take("may_differ", dict), float, "may_differ")
    file = fields.take("file", str)
    fields.done()
    return GoldenConfidence(file, may_differ)
