"""No class where the model is not sure of one."""

from __future__ import annotations

import math

import cv2
import numpy as np

from edgeseg.errors import ConfigError
from edgeseg.types import UNKNOWN, Segmentation


def with_unknown(segmentation: Segmentation, below: float) -> Segmentation:
    """The segmentation with `UNKNOWN` for the label where the confidence is lower than `below`, 0 to 1.

    An invalid frame stays as it is. Raises `ConfigError` for a segmentation without confidence.
    """
    if not segmentation.valid:
        return segmentation
    if segmentation.confidence is None:
        raise ConfigError("this bundle gives no confidence, so nothing can be unknown. Export it with --confidence.")
    if not 0 < below <= 1:
        raise ConfigError(f"below={below}: expected a confidence above 0, at most 1.")
    unsure = cv2.inRange(segmentation.confidence, 0, math.ceil(255 * below) - 1)
    labels = segmentation.labels.copy()
    cv2.copyTo(np.full_like(labels, UNKNOWN), unsure, labels)
    return Segmentation(labels, segmentation.latency_ms, confidence=segmentation.confidence)
