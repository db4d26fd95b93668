"""Latencies in figures: trtexec's own (minimum to 99th percentile), and how much one frame differs from the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = "Sequence[float] | NDArray[np.float64]"

_PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True, slots=True)
class Summary:
    """Latencies in milliseconds.

    What is summed up, and that a percentile is the sample of the nearest rank and so a latency that was measured, is
    trtexec's (TensorRT, samples/common/sampleReporting.cpp). `p50_ms` is the median.
    """

    count: int
    min_ms: float
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    jitter_ms: float
    """Mean absolute difference between a latency and the one before it: the delay variation D of RFC 3550, 6.4.1,
    averaged over the run and not smoothed. 0 for a single sample."""
    cv: float
    """Coefficient of variation: standard deviation over mean. trtexec warns where it is above 0.01 (1 %)."""

    @staticmethod
    def of(samples_ms: Samples) -> Summary:
        """Of at least one sample, in the order in which they were taken."""
        values = np.asarray(samples_ms, np.float64)
        p50, p90, p95, p99 = (float(value) for value in np.percentile(values, _PERCENTILES, method="inverted_cdf"))
        mean = float(values.mean())
        return Summary(
            count=values.size,
            min_ms=float(values.min()),
            mean_ms=mean,
            p50_ms=p50,
            p90_ms=p90,
            p95_ms=p95,
            p99_ms=p99,
            max_ms=float(values.max()),
            jitter_ms=float(np.abs(np.diff(values)).mean()) if values.size > 1 else 0.0,
            cv=float(values.std()) / mean if mean > 0 else 0.0,
        )

    def to_dict(self) -> dict[str, float]:
        """Plain data, rounded to a tenth of a microsecond."""
        return {name: round(value, 4) for name, value in asdict(self).items()}
