"""Latency by the conventions of trtexec (NVIDIA's benchmark of engines): warm-up, duration, percentiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edgeseg.runtime.segmenter import Clock

WARM_UP_S = 0.2
"""trtexec's default, 200 ms: kernels are loaded, clocks rise, graphs are captured."""

DURATION_S = 3.0
"""trtexec's default."""

LEAST_RUNS = 10
"""trtexec's default."""

_PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True, slots=True)
class Latency:
    """How long one frame takes, in milliseconds; percentiles by nearest rank."""

    runs: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float

    def to_dict(self) -> dict[str, float | int]:
        """Plain data, rounded to microseconds."""
        percentiles = {name: getattr(self, name) for name in ("mean_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms")}
        return {"runs": self.runs, **{name: round(value, 3) for name, value in percentiles.items()}}


def measure(run: Callable[[], object], clock: Clock, seconds: float = DURATION_S) -> Latency:
    """Time `run`, which returns when its result is there, for `seconds` and at least ten runs, after the warm-up."""
    return measure_in_turn({"": run}, clock, seconds)[""]


def measure_in_turn(
    runs: Mapping[str, Callable[[], object]], clock: Clock, seconds: float = DURATION_S
) -> dict[str, Latency]:
    """The same for several, one after the other in each round, so that what slows the machine slows all; `seconds`
    are of each."""
    for run in runs.values():
        until = clock() + WARM_UP_S
        run()
        while clock() < until:
            run()
    times_s: dict[str, list[float]] = {name: [] for name in runs}
    until = clock() + seconds * len(runs)
    done = 0
    while done < LEAST_RUNS or clock() < until:
        for name, run in runs.items():
            began = clock()
            run()
            times_s[name].append(clock() - began)
        done += 1
    return {name: _latency(samples) for name, samples in times_s.items()}


def _latency(times_s: list[float]) -> Latency:
    times_ms = 1e3 * np.asarray(times_s)
    percentiles = (float(value) for value in np.percentile(times_ms, _PERCENTILES, method="inverted_cdf"))
    return Latency(len(times_ms), float(times_ms.mean()), *percentiles)
