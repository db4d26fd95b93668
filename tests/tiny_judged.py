"""Frames to calibrate on and to judge by for the network in `tiny_graph`: soft patches, no noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from onnx import ModelProto
from tiny_graph import LABEL_MAP, SIZE_HW

from edgeseg.quantize.scoring import Agreement, segmenter
from edgeseg.types import Frame, Labels


def soft_frames(count: int, seed: int = 8) -> list[Frame]:
    """uint8 (50, 70, 3) each."""
    patches = np.random.default_rng(seed).integers(0, 256, (count, 5, 7, 3), np.uint8)
    large = patches.repeat(SIZE_HW[0] // 5, axis=1).repeat(SIZE_HW[1] // 7, axis=2)
    return [np.asarray(cv2.GaussianBlur(frame, (0, 0), 3), np.uint8) for frame in large]


class Labelled(Agreement):
    """The same frames with labels, which are FP32's own: a perfect model."""

    @property
    def name(self) -> str:
        return "tiny val"


def labels_of(model: ModelProto, frames: Sequence[Frame]) -> list[Labels]:
    with segmenter(model.SerializeToString(), "fp32", LABEL_MAP) as segment:
        return [segment(frame).labels for frame in frames]


@dataclass(frozen=True)
class Frames:
    """What a calibration set is to whoever calibrates."""

    frames: tuple[Frame, ...]
    digest: str = "12" * 32

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)

    def summary(self) -> dict[str, Any]:
        return {"digest": self.digest, "sources": ["tiny"]}
