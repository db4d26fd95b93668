"""How much of the picture each class takes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.labels import LabelMap
from edgeseg.types import Labels

_SAMPLED_ROWS, _SAMPLED_COLUMNS = 90, 320
"""Shares are counted on a grid of so many rows and columns, at least: exact enough for whole per cent."""


def id_shares(labels: Labels) -> NDArray[np.float64]:
    """Labels uint8 (H, W) → float64 (256,): the share of each id, 0 to 1, on a grid of some 90 × 320 pixels."""
    height, width = labels.shape
    sampled = labels[:: max(1, height // _SAMPLED_ROWS), :: max(1, width // _SAMPLED_COLUMNS)].copy()
    counts = cv2.calcHist([sampled], [0], None, [256], [0, 256])
    return np.asarray(counts.reshape(256) / np.float64(sampled.size), np.float64)


def class_shares(labels: Labels, label_map: LabelMap) -> dict[str, float]:
    """Class name → share, in id order. What is missing to 1 has no class: unknown, or the model's void."""
    shares = id_shares(labels)[: len(label_map)]
    return dict(zip(label_map.names, map(float, shares), strict=True))
