"""How much faster, and how sure: a ratio of medians with its 95 % confidence interval.

Frames that follow each other are not independent: a busy second makes thirty of them slow. So rounds are drawn, not
frames. Where candidates took turns, a round gives one ratio, that of both medians in it, and what the machine did in
that round cancels out; the figure is the median of those. (The ratio of the medians over all rounds is as right, but
its interval is twice as wide: those two medians stem from different rounds.) For two runs at two times there are no
common rounds: the figure is then the ratio of the medians over each run's rounds.

The interval is the percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13):
rounds are drawn with replacement, and the middle 95 % of the figures that come out are the interval.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.bench.summary import Samples

CONFIDENCE = 0.95
_DRAWS = 10_000
IN_TURN = "median over rounds of the ratio of the round's medians; percentile bootstrap over rounds, 10,000 draws"
APART = "ratio of the medians over rounds of each round's median; percentile bootstrap over rounds, 10,000 draws"


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast: above 1 is faster than what it is compared with."""

    speed: float
    low: float
    high: float
    rounds: int
    """The fewer of both."""
    method: str

    @property
    def decided(self) -> bool:
        """Whether the interval leaves out "the same"."""
        return not self.low <= 1.0 <= self.high

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        rounded = {name: round(getattr(self, name), 4) for name in ("speed", "low", "high")}
        return {**asdict(self), **rounded, "decided": self.decided, "confidence": CONFIDENCE}


def ratio_in_turn(base_ms: Samples, this_ms: Samples, rng: np.random.Generator) -> Ratio:
    """How many times as fast `this` is as `base`, by the medians in milliseconds of the rounds that both ran in."""
    ratios = np.asarray(base_ms, np.float64) / np.asarray(this_ms, np.float64)
    drawn = np.median(ratios[_draws(ratios.size, rng)], axis=1)
    return _ratio(float(np.median(ratios)), drawn, ratios.size, IN_TURN)


def ratio_apart(base_ms: Samples, this_ms: Samples, rng: np.random.Generator) -> Ratio:
    """The same of two runs at two times. What changed on the machine in between is not in the interval."""
    base, this = np.asarray(base_ms, np.float64), np.asarray(this_ms, np.float64)
    drawn = np.median(base[_draws(base.size, rng)], axis=1) / np.median(this[_draws(this.size, rng)], axis=1)
    return _ratio(float(np.median(base) / np.median(this)), drawn, min(base.size, this.size), APART)


def _draws(rounds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return rng.integers(0, rounds, (_DRAWS, rounds))


def _ratio(speed: float, drawn: NDArray[np.float64], rounds: int, method: str) -> Ratio:
    tail = 50 * (1 - CONFIDENCE)
    low, high = (float(value) for value in np.percentile(drawn, (tail, 100 - tail)))
    return Ratio(speed, low, high, rounds, method)
