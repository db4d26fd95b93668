"""Sustained against burst: a processor that has rested is faster than one that has worked for a while."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from edgeseg.bench.summary import Samples

BURST_S = 2.0
LONG_S = 120.0
"""A run shorter than this tells little of heat: a heat sink takes minutes to warm up."""


@dataclass(frozen=True, slots=True)
class Steadiness:
    """Medians of the session's latency at the beginning and at the end of one run without a pause."""

    burst_ms: float
    """Of the first 2 s after the rest."""
    sustained_ms: float
    """Of the last third."""
    seconds: float
    """How long the run was."""

    @property
    def slowdown(self) -> float:
        """Sustained over burst: 1.2 is a fifth slower in the end."""
        return self.sustained_ms / self.burst_ms

    def to_dict(self) -> dict[str, float]:
        """Plain data."""
        return {name: round(value, 4) for name, value in {**asdict(self), "slowdown": self.slowdown}.items()}


def steadiness(at_s: Samples, latency_ms: Samples, seconds: float) -> Steadiness | None:
    """By when each run began, in seconds from the run's beginning; `None` if both parts would overlap or be empty."""
    times, values = np.asarray(at_s), np.asarray(latency_ms)
    last_third_s = seconds * 2 / 3
    burst, sustained = values[times < BURST_S], values[times >= last_third_s]
    if last_third_s < BURST_S or not burst.size or not sustained.size:
        return None
    return Steadiness(float(np.median(burst)), float(np.median(sustained)), seconds)
