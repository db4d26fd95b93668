"""How much of the picture each class takes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.labels import LabelMap
from edgeseg.types import Labels

_SAMPLED_ROWS = 90
"""Rows on which shares are counted, evenly spread: exact enough for whole per cent, in an eighth of the time at 720."""


def id_shares(labels: Labels) -> NDArray[np.float64]:
    """Labels uint8 (H, W) → float64 (256,): the share of each id, 0 to 1, among the pixels of some 90 rows."""
    sampled = labels[:: max(1, len(labels) // _SAMPLED_ROWS)]
    counts = cv2.calcHist([sampled], [0], None, [256], [0, 256])
    return np.asarray(counts, np.float64).reshape(256) / sampled.size


def class_shares(labels: Labels, label_map: LabelMap) -> dict[str, float]:
    """Class name → share, in id order. What is missing to 1 has no class: unknown, or the model's void."""
    shares = id_shares(labels)[: len(label_map)]
    return dict(zip(label_map.names, map(float, shares), strict=True))
