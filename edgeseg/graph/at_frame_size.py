"""What a graph gives at the frame's size, held against its own logits at the network's, taken by nearest neighbour.

Where the centre of a pixel falls exactly between two of the network's, either is right: the runtimes compute it in
floating point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.graph.agreement import Logits
from edgeseg.graph.sureness import probability
from edgeseg.types import Confidence, Labels

_ONE_STEP = 1.0
"""Of 255: half a step is rounding, and exponentials differ in their last bits."""


def wrong_labels(labels: Labels, logits: Logits) -> int:
    """Pixels of labels (H, W) that are not the argmax of logits (C, h, w)."""
    return _wrong(labels, logits.argmax(axis=0), np.equal)


def wrong_confidence(confidence: Confidence, logits: Logits) -> int:
    """Pixels of confidence (H, W) that are not 255 times the softmax probability of logits (C, h, w)."""
    return _wrong(confidence, 255 * probability(logits), lambda exact, found: np.abs(exact - found) <= _ONE_STEP)


def _wrong(given: NDArray[np.uint8], expected: NDArray[Any], fits: Callable[[Any, Any], Any]) -> int:
    right = np.zeros(given.shape, bool)
    for rows in _nearest(expected.shape[0], given.shape[0]):
        for columns in _nearest(expected.shape[1], given.shape[1]):
            right |= fits(expected[rows][:, columns], given)
    return int(right.size - right.sum())


def _nearest(inner: int, outer: int) -> Iterator[NDArray[Any]]:
    """For each of `outer` pixels the one of `inner` under its centre, floor((i + ½)·inner/outer); ties down as well."""
    numerator = (2 * np.arange(outer) + 1) * inner
    upper = numerator // (2 * outer)
    yield upper
    yield upper - (numerator % (2 * outer) == 0)
