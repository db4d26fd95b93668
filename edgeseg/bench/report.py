"""What a benchmark found, what it did not and why, as plain data; and the gate on a deadline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeseg.bench.camera import CameraRun
from edgeseg.bench.config import BenchConfig
from edgeseg.bench.launch import StartUp
from edgeseg.bench.machine import MachineState, others_share
from edgeseg.bench.ratios import Ratio
from edgeseg.bench.rounds import Slice
from edgeseg.bench.steadiness import Steadiness
from edgeseg.bench.summary import Summary
from edgeseg.errors import GateError

SCHEMA = 1
KIND = "edgeseg benchmark"


@dataclass(frozen=True, slots=True)
class NotMeasured:
    """Something that a reader might look for."""

    what: str
    why: str

    def to_dict(self) -> dict[str, str]:
        """Plain data."""
        return {"what": self.what, "why": self.why}


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything of one candidate."""

    facts: Mapping[str, Any]
    """What it is: label, bundle, precision, backend, sizes."""
    slices: tuple[Slice, ...]
    ratio: Ratio | None
    """How many times as fast as the first candidate; `None` for the first."""
    steadiness: Steadiness | None
    camera: CameraRun | None
    bare_fps: float | None
    """Frames a second through the session right before and after the camera loop."""
    start_up: StartUp | None
    energy: Mapping[str, Any] | None

    @property
    def label(self) -> str:
        """What tells it apart."""
        return str(self.facts["label"])

    @property
    def session(self) -> Summary:
        """Frame in the host's memory to labels in the host's memory, through the runtime alone: transfers are in."""
        return Summary.of(self.session_ms)

    @property
    def session_ms(self) -> list[float]:
        """All of its latencies, in order of time."""
        return [run.session_ms for one in self.slices for run in one.timed]

    @property
    def at_s(self) -> list[float]:
        """When each of them began, in seconds from the first candidate's first run."""
        return [moment for one in self.slices for moment in one.at_s]

    @property
    def whole(self) -> Summary:
        """The same with what the host does around it: checks, and resizing where the frame does not fit the graph."""
        return Summary.of([run.total_ms for one in self.slices for run in one.timed])

    @property
    def session_fps(self) -> float:
        """Frames a second through the session, one after the other."""
        return 1e3 / self.session.mean_ms

    @property
    def whole_fps(self) -> float:
        """Frames over the time on the clock, as trtexec's throughput."""
        return sum(len(one.timed) for one in self.slices) / sum(one.wall_s for one in self.slices)

    @property
    def rounds_ms(self) -> list[float]:
        """The session's median in each round."""
        return [one.median_ms for one in self.slices]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            **self.facts,
            "session": _timing(self.session_fps, self.session),
            "frame_to_labels": _timing(self.whole_fps, self.whole),
            "rounds_median_ms": [round(value, 4) for value in self.rounds_ms],
            "against_first": None if self.ratio is None else self.ratio.to_dict(),
            "steadiness": None if self.steadiness is None else self.steadiness.to_dict(),
            "end_to_end": None if self.camera is None else self._camera_dict(self.camera),
            "start_up": None if self.start_up is None else self.start_up.to_dict(),
            "memory": None if self.start_up is None else self.start_up.memory_dict(),
            "energy": self.energy,
        }

    def _camera_dict(self, camera: CameraRun) -> dict[str, Any]:
        assert self.bare_fps is not None
        return {**camera.to_dict(), "share_of_session_fps": round(camera.fps / self.bare_fps, 4)}


@dataclass(frozen=True, slots=True)
class Deadline:
    """`--fail-over`: by the 95th percentile of the frame age, or without a camera loop of frame to labels.

    Not by the median, which half of the frames miss, and not by the 99th: in 3 s at 30 frames/s that is the slowest
    frame but none, one hiccup of the machine.
    """

    limit_ms: float

    def p95_of(self, one: Measured, end_to_end: bool) -> float | None:
        """What is held against the limit; `None` where it was not measured."""
        if end_to_end:
            return None if one.camera is None else one.camera.age.p95_ms
        return one.whole.p95_ms


@dataclass(frozen=True, slots=True)
class BenchmarkReport:
    """One benchmark."""

    edgeseg: str
    created: str
    """UTC, ISO 8601."""
    config: BenchConfig
    machine: Mapping[str, Any]
    arrived: MachineState
    """The machine as it was found."""
    before: MachineState
    """After the rest, right before the first measured frame."""
    after: MachineState
    candidates: tuple[Measured, ...]
    refused: Mapping[str, str]
    """Candidate that could not be opened → why."""
    not_measured: tuple[NotMeasured, ...]
    warnings: tuple[str, ...]
    deadline: Deadline | None = None
    comparison: Mapping[str, Any] | None = None
    """With an older report: see `edgeseg.bench.compare`."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data; `session` and `end_to_end` on top are the first candidate's."""
        candidates = [one.to_dict() for one in self.candidates]
        return {
            "kind": KIND,
            "schema": SCHEMA,
            "edgeseg": self.edgeseg,
            "created": self.created,
            "session": candidates[0]["session"],
            "end_to_end": candidates[0]["end_to_end"],
            "settings": self.config.to_dict(),
            "machine": {
                **self.machine,
                "arrived": self.arrived.to_dict(),
                "before": self.before.to_dict(),
                "after": self.after.to_dict(),
                "others_cpu_share": others_share(self.before, self.after),
            },
            "candidates": candidates,
            "gate": self._gate_dict(),
            "comparison": self.comparison,
            "not_measured": [one.to_dict() for one in self.not_measured],
            "warnings": list(self.warnings),
        }

    @property
    def gated_by(self) -> str:
        """What a deadline is held against."""
        return "frame age in the camera loop" if self.config.end_to_end else "frame to labels"

    def misses(self) -> list[str]:
        """Why the deadline does not hold, a line each; empty where it does, or none is set."""
        if self.deadline is None:
            return []
        found = [f"{label} could not be measured ({why})" for label, why in self.refused.items()]
        for one in self.candidates:
            p95 = self.deadline.p95_of(one, self.config.end_to_end)
            if p95 is None:
                found.append(f"{one.label} gave fewer than three pictures in its loop")
            elif p95 > self.deadline.limit_ms:
                found.append(f"{one.label} takes {p95:.1f} ms")
        return found

    def raise_if_failed(self) -> None:
        """Raise `GateError` where the deadline does not hold for every candidate that was asked for."""
        misses = self.misses()
        if misses and self.deadline is not None:
            raise GateError(
                f"p95 of {self.gated_by} must be at most {self.deadline.limit_ms:g} ms: {'; '.join(misses)}. "
                "A smaller network or size, INT8, or a GPU is faster."
            )

    def _gate_dict(self) -> dict[str, Any] | None:
        if self.deadline is None:
            return None
        misses = self.misses()
        metric = "frame_age.p95_ms" if self.config.end_to_end else "frame_to_labels.p95_ms"
        return {"limit_ms": self.deadline.limit_ms, "metric": metric, "passed": not misses, "misses": misses}


def _timing(fps: float, summary: Summary) -> dict[str, Any]:
    return {"fps": round(fps, 3), "latency_ms": round(summary.p50_ms, 4), "latency": summary.to_dict()}
