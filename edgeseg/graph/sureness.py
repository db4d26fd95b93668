"""How sure two sets of logits are of the class that both give, and how far apart they are in that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Probability = NDArray[np.float32]
"""Float32 (h, w), 0 to 1: the softmax probability of the class that is given."""


@dataclass(frozen=True, slots=True)
class ConfidenceError:
    """Differences of probability, 0 to 1, over the pixels to which both give the same class; 0 where there are none."""

    mean: float
    max: float


class ConfidenceMeter:
    """Adds up frames."""

    def __init__(self) -> None:
        self._sum = self._max = 0.0
        self._pixels = 0

    def update(self, reference: Probability, candidate: Probability, same: NDArray[np.bool_]) -> None:
        """Probabilities of one frame, (h, w) each, and where both have the same class."""
        difference = np.abs(candidate - reference)[same]
        if difference.size:
            self._sum += float(difference.sum(dtype=np.float64))
            self._max = float(np.maximum(self._max, difference.max()))  # a NaN stays one
            self._pixels += difference.size

    def result(self) -> ConfidenceError:
        """The figures."""
        return ConfidenceError(self._sum / max(self._pixels, 1), self._max)


def probability(logits: NDArray[Any]) -> Probability:
    """Float (C, h, w) → softmax probability of the largest logit, (h, w); NaN where a logit is no number."""
    values = logits.astype(np.float32)
    with np.errstate(invalid="ignore"):
        terms = np.exp(values - values.max(axis=0))
    return np.asarray(1 / terms.sum(axis=0), np.float32)
