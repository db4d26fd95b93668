"""Replaying a bundle's golden frames on this machine: does it give the labels that the trained network gave?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from edgeseg.bundle import Bundle, GoldenFrame
from edgeseg.bundle.golden import confidence_difference
from edgeseg.errors import GateError, InputError
from edgeseg.runtime.chain import Fallback
from edgeseg.runtime.segmenter import Clock, Segmenter
from edgeseg.types import Segmentation, precisions_for


@dataclass(frozen=True, slots=True)
class ConfidenceCheck:
    """How sure a graph is of a golden frame, beside how sure the trained network is: probabilities, 0 to 1."""

    off: float
    """Mean difference over the pixels with that network's class."""
    may_differ: float
    """The most that passes, from the manifest."""

    @property
    def passed(self) -> bool:
        """Whether it differs no more than it may."""
        return self.off <= self.may_differ


@dataclass(frozen=True, slots=True)
class FrameCheck:
    """One golden frame through one graph."""

    name: str
    pixels: int
    differing: int
    """Pixels whose class is not the trained network's."""
    may_differ: int
    """The most that pass, from the manifest."""
    latency_ms: float
    valid: bool
    """False where the graph computed a NaN or an infinity."""
    confidence: ConfidenceCheck | None = None
    """Where the graph gives it."""

    @property
    def agreement(self) -> float:
        """Share of pixels with the trained network's class, 0..1."""
        return 1 - self.differing / self.pixels

    @property
    def passed(self) -> bool:
        """Whether no more differs than may."""
        return self.differing <= self.may_differ and (self.confidence is None or self.confidence.passed)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        value = asdict(self) | {"agreement": self.agreement, "passed": self.passed}
        if self.confidence is None:
            del value["confidence"]
        return value


@dataclass(frozen=True, slots=True)
class GraphCheck:
    """All golden frames through one graph."""

    precision: str
    frames: tuple[FrameCheck, ...]
    backend: str
    """The runtime that ran it."""
    fallbacks: tuple[Fallback, ...] = ()
    """Runtimes that "auto" passed over for it, and why."""

    @property
    def agreement(self) -> float:
        """That of the worst frame, 0..1."""
        return min(frame.agreement for frame in self.frames)

    @property
    def latency_ms(self) -> float:
        """Median time that the session took for a frame, after one frame of warm-up."""
        return median(frame.latency_ms for frame in self.frames)

    @property
    def passed(self) -> bool:
        """Whether every frame passed."""
        return all(frame.passed for frame in self.frames)


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a bundle's replay gave. Its hashes were checked when it was opened."""

    bundle: str
    backend: str
    """The runtime that was asked for."""
    files: int
    """Number of files whose hash was checked, without the manifest."""
    graphs: tuple[GraphCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether every graph passed."""
        return all(graph.passed for graph in self.graphs)

    def raise_if_failed(self) -> None:
        """Raise `GateError` naming the worst frame of the first graph that failed."""
        for graph in self.graphs:
            if not graph.passed:
                worst = max(graph.frames, key=lambda frame: frame.differing - frame.may_differ)
                if worst.differing <= worst.may_differ:
                    raise GateError(_unsure(self.bundle, graph))
                found = "" if worst.valid else " (all: it computes a NaN or an infinity)"
                raise GateError(
                    f"{self.bundle}: {graph.precision} on {graph.backend} labels {worst.differing} of {worst.pixels} "
                    f"pixels{found} of golden frame {worst.name} unlike the trained network; {worst.may_differ} may "
                    "differ. Use another precision on this machine; on the workstation, edgeseg parity --locate."
                )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "bundle": self.bundle,
            "backend": self.backend,
            "files": self.files,
            "passed": self.passed,
            "graphs": {
                graph.precision: {
                    "backend": graph.backend,
                    "fallbacks": [fallback.to_dict() for fallback in graph.fallbacks],
                    "passed": graph.passed,
                    "argmax_agreement": graph.agreement,
                    "latency_ms": graph.latency_ms,
                    "frames": [frame.to_dict() for frame in graph.frames],
                }
                for graph in self.graphs
            },
        }


def verify_bundle(
    bundle: Bundle,
    precisions: Sequence[str] | None = None,
    *,
    backend: str = "onnxruntime",
    threads: int | None = None,
    clock: Clock = time.perf_counter,
) -> VerifyReport:
    """Replay the golden frames through the graphs of `precisions`, by default all that the runtime can run."""
    golden = bundle.golden()
    checks = []
    for precision in precisions_for(backend, bundle.precisions) if precisions is None else precisions:
        with Segmenter(bundle, precision=precision, backend=backend, threads=threads, clock=clock) as segmenter:
            segmenter(golden[0].frame_bgr)
            frames = tuple(_check(segmenter, frame) for frame in golden)
            checks.append(GraphCheck(segmenter.precision, frames, segmenter.backend, segmenter.fallbacks))
    return VerifyReport(str(bundle.path), backend, len(bundle.manifest.files), tuple(checks))


def _check(segmenter: Segmenter, golden: GoldenFrame) -> FrameCheck:
    result = segmenter(golden.frame_bgr)
    differing = int(np.count_nonzero(result.labels != golden.labels))
    precision = segmenter.precision
    may_differ = golden.may_differ[precision]
    return FrameCheck(
        golden.name,
        golden.labels.size,
        differing,
        may_differ,
        result.latency_ms,
        result.valid,
        _sure(result, golden, precision),
    )


def _sure(result: Segmentation, golden: GoldenFrame, precision: str) -> ConfidenceCheck | None:
    if golden.confidence is None or golden.confidence_may_differ is None:
        return None
    if result.confidence is None:
        raise InputError(f"the {precision} graph gives no confidence, but its manifest says so. Export it again.")
    same = result.labels == golden.labels
    off = confidence_difference(result.confidence, golden.confidence, same)
    return ConfidenceCheck(off, golden.confidence_may_differ[precision])


def _unsure(bundle: str, graph: GraphCheck) -> str:
    """Of a graph whose labels are right."""
    checks = ((frame.name, frame.confidence) for frame in graph.frames if frame.confidence is not None)
    name, worst = max(checks, key=lambda item: item[1].off - item[1].may_differ)
    return (
        f"{bundle}: {graph.precision} on {graph.backend} labels the golden frames right, but its confidence is off by "
        f"{worst.off:.2g} in the mean of frame {name}; {worst.may_differ:.2g} may be. Do without it on this machine."
    )
