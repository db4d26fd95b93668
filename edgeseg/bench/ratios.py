"""How much faster, and how sure: the ratio of two medians with its 95 % confidence interval.

Frames that follow each other are not independent: a busy second makes thirty of them slow. So rounds are drawn, not
frames. The figure of a round is its median; the ratio is that of the medians of those. The interval is the percentile
bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13): rounds are drawn with
replacement, and the middle 95 % of the ratios that come out is the interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
_DRAWS = 10_000
METHOD = "ratio of the medians over rounds of each round's median; percentile bootstrap over rounds, 10,000 draws"


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast: above 1 is faster than what it is compared with."""

    speed: float
    low: float
    high: float
    rounds: int
    """The fewer of both."""

    @property
    def decided(self) -> bool:
        """Whether the interval leaves out "the same"."""
        return not self.low <= 1.0 <= self.high

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        rounded = {name: round(value, 4) for name, value in asdict(self).items()}
        return {**rounded, "decided": self.decided, "confidence": CONFIDENCE, "method": METHOD}


def speed_ratio(base_ms: Sequence[float], this_ms: Sequence[float], rng: np.random.Generator, *, paired: bool) -> Ratio:
    """How many times as fast `this` is as `base`, by their rounds' medians in milliseconds.

    `paired`: the rounds of both were made in turn, so those of a number share what the machine did, and are drawn
    together. Otherwise each side's are drawn alone, and what changed between the two runs is not in the interval.
    """
    base, this = np.asarray(base_ms, np.float64), np.asarray(this_ms, np.float64)
    if paired and base.size != this.size:
        raise ValueError(f"paired rounds must be as many: {base.size} and {this.size}")
    drawn = rng.integers(0, base.size, (_DRAWS, base.size))
    other = drawn if paired else rng.integers(0, this.size, (_DRAWS, this.size))
    ratios: NDArray[np.float64] = np.median(base[drawn], axis=1) / np.median(this[other], axis=1)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(ratios, (tail, 100 - tail))
    speed = float(np.median(base) / np.median(this))
    return Ratio(speed, float(low), float(high), min(base.size, this.size))
