"""How long the stages of the loop take, and the report at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from edgeseg.errors import GateError, SourceError
from edgeseg.types import NO_NUMBERS

STAGES = ("capture", "inference", "analysis", "overlay", "output", "queues", "total")
"""In the order of the loop. `queues` is how long a frame waited between two of them, `total` its age when its output is
done: the sum of what comes before it."""

_PERCENTILES = (50, 95, 99)
_KEPT = 1 << 16
"""Latencies kept for each stage, the newest ones: 36 minutes at 30 frames/s, in half a megabyte."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Latencies in milliseconds by nearest rank: each is one that was measured, not an interpolation."""

    p50: float
    p95: float
    p99: float

    @staticmethod
    def of(samples_ms: Sequence[float] | np.ndarray[Any, Any]) -> Percentiles:
        """Of at least one sample."""
        return Percentiles(*(float(value) for value in np.percentile(samples_ms, _PERCENTILES, method="inverted_cdf")))

    def to_dict(self) -> dict[str, float]:
        """Plain data, rounded to microseconds."""
        return {"p50": round(self.p50, 3), "p95": round(self.p95, 3), "p99": round(self.p99, 3)}


class StageTimes:
    """The newest latencies of one stage, in a ring of fixed size."""

    def __init__(self) -> None:
        self._ring = np.zeros(_KEPT, np.float64)
        self._count = 0

    def add(self, milliseconds: float) -> None:
        """Note one latency."""
        self._ring[self._count % _KEPT] = milliseconds
        self._count += 1

    def percentiles(self) -> Percentiles | None:
        """Of what is kept; `None` while nothing is."""
        return Percentiles.of(self._ring[: self._count]) if self._count else None


class Ended(str, Enum):
    """Why a run ended."""

    SOURCE = "end of the source"
    LIMIT = "limit of frames"
    KEY = "key in the window"
    PAGE = "stopped from the page"
    SIGNAL = "signal"
    BROKEN = "broken source"


@dataclass(frozen=True, slots=True)
class Deadline:
    """How many frames were older than they may be when their output was done."""

    milliseconds: float
    misses: int

    def share_of(self, frames: int) -> float:
        """Misses among so many frames, 0 to 1."""
        return self.misses / frames if frames else 0.0


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run of the loop did. Every captured frame is processed, dropped or failed: checked at birth."""

    source: str
    captured: int
    frames: int
    """Frames segmented and written."""
    dropped: int
    """Frames of a live source that newer ones replaced, and those on their way when the run ended."""
    failed: int
    """Frames that could not be decoded or segmented."""
    elapsed_s: float
    """From the start to the last frame's output, without pauses."""
    stages: Mapping[str, Percentiles]
    """Stage → latency. A stage that never ran is absent."""
    ended: Ended
    notes: tuple[str, ...] = ()
    failure: SourceError | None = None
    """What broke the source after it had given frames."""
    invalid: int = 0
    """Of `frames`, those for which the model computed a NaN or an infinity. They have no classes."""
    deadline: Deadline | None = None
    camera_faults: Mapping[str, int] = field(default_factory=dict)
    """Fault of the camera → frames at which it stood, the most frequent first."""
    queue_peak: int = 0
    """The most frames that ever waited between two stages."""
    left_behind: tuple[str, ...] = ()
    """Stages that hung when the run had to end. Their threads hold the source or the model still: neither can be
    closed safely, so the process should end."""

    def __post_init__(self) -> None:
        if self.captured != self.frames + self.dropped + self.failed:
            raise ValueError(
                f"lost frames: {self.captured} captured, but {self.frames} processed, {self.dropped} dropped, "
                f"{self.failed} failed"
            )

    @property
    def fps(self) -> float:
        """Processed frames per second of the whole run."""
        return self.frames / self.elapsed_s if self.elapsed_s > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain data; `latency_ms` is the age of a frame, from its capture until its output is done."""
        stages = {name: times.to_dict() for name, times in self.stages.items()}
        return {
            "source": self.source,
            "captured": self.captured,
            "frames": self.frames,
            "dropped": self.dropped,
            "failed": self.failed,
            "invalid": self.invalid,
            "fps": round(self.fps, 2),
            "elapsed_s": round(self.elapsed_s, 3),
            "latency_ms": stages.get("total"),
            "stages": stages,
            "deadline": self._deadline_dict(),
            "camera_faults": dict(self.camera_faults),
            "queue_peak": self.queue_peak,
            "left_behind": list(self.left_behind),
            "ended": self.ended.value,
            "notes": list(self.notes),
        }

    def _deadline_dict(self) -> dict[str, float] | None:
        if self.deadline is None:
            return None
        share = round(self.deadline.share_of(self.frames), 5)
        return {"ms": self.deadline.milliseconds, "misses": self.deadline.misses, "share": share}

    def raise_if_failed(self) -> None:
        """Raise what broke the source, if something did; `GateError` where frames were invalid."""
        if self.failure is not None:
            raise self.failure
        if self.invalid:
            raise GateError(NO_NUMBERS.format(f"{self.invalid} of {self.frames} frames"))
