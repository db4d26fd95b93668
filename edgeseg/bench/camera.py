"""The camera loop of `edgeseg run`, with overlay, on frames that are there already: no camera and no disk takes part.

The camera is one that has a new frame whenever the loop is free, so the loop is never kept waiting and no frame waits
for it: the rate is the most that this machine does, and a frame's age is what the loop makes of it. With a rate of
frames a second it is one that comes on its own, as a real one does: then frames are dropped, and wait for their turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgeseg.bench.summary import Summary
from edgeseg.types import Frame
from edgeseg.video.health import HealthMonitor
from edgeseg.video.loop import run_loop
from edgeseg.video.overlay import Overlay
from edgeseg.video.pipeline.work import FrameSegmenter
from edgeseg.video.results import FrameResult
from edgeseg.video.scene.analyser import SceneAnalyser
from edgeseg.video.sinks import Sink
from edgeseg.video.sources.base import Clock, FrameRecord, Source
from edgeseg.video.sources.realtime import realtime
from edgeseg.video.stats import RunReport
from edgeseg.video.timing import REAL_TIME, Timing


@dataclass(frozen=True, slots=True)
class CameraRun:
    """What the loop did."""

    report: RunReport
    ages_ms: tuple[float, ...]
    """Of every frame, in order."""
    age: Summary
    """From a frame's capture to the moment when its picture is handed over, painted."""
    interval: Summary
    """Between two pictures; its jitter is what a viewer sees as stutter."""
    camera_fps: float | None

    @property
    def fps(self) -> float:
        """Pictures a second, between the first and the last."""
        return 1e3 / self.interval.mean_ms

    def to_dict(self) -> dict[str, Any]:
        """Plain data; the stages are in milliseconds."""
        report = self.report
        return {
            "fps": round(self.fps, 3),
            "latency_ms": round(self.age.p50_ms, 4),
            "camera_fps": self.camera_fps,
            "frame_age": self.age.to_dict(),
            "interval": self.interval.to_dict(),
            "stages_ms": {name: times.to_dict() for name, times in report.stages.items()},
            "frames": report.frames,
            "dropped": report.dropped,
            "failed": report.failed,
            "invalid": report.invalid,
            "camera_faults": dict(report.camera_faults),
        }


def run_camera(
    segmenter: FrameSegmenter,
    frames: Sequence[Frame],
    *,
    seconds: float,
    warmup_s: float,
    camera_fps: float | None = None,
    tick: Callable[[], None] = lambda: None,
    timing: Timing = REAL_TIME,
) -> CameraRun | None:
    """Run the loop for `seconds` after `warmup_s`; `None` where fewer than three pictures came in that time."""
    _loop(segmenter, frames, _NullSink(timing.clock, warmup_s, tick), camera_fps, timing)
    sink = _NullSink(timing.clock, seconds, tick)
    report = _loop(segmenter, frames, sink, camera_fps, timing)
    if len(sink.done_s) < 3:
        return None
    intervals_ms = [1e3 * (after - before) for before, after in zip(sink.done_s, sink.done_s[1:], strict=False)]
    return CameraRun(report, tuple(sink.ages_ms), Summary.of(sink.ages_ms), Summary.of(intervals_ms), camera_fps)


def _loop(
    segmenter: FrameSegmenter, frames: Sequence[Frame], sink: _NullSink, camera_fps: float | None, timing: Timing
) -> RunReport:
    """As `edgeseg run` sets it up: overlay, scene and the camera's health."""
    label_map = segmenter.label_map
    source: Source = _Ready(frames, timing.clock) if camera_fps is None else _Paced(frames, timing.clock, camera_fps)
    report = run_loop(
        source if camera_fps is None else realtime(source, loop=True, timing=timing),
        segmenter,
        [sink],
        overlay=Overlay(label_map),
        analyser=SceneAnalyser(label_map),
        monitor=HealthMonitor(camera_fps),
        stopped=sink.full,
        timing=timing,
    )
    report.raise_if_failed()
    return report


class _Ready(Source):
    """A camera whose newest frame is always new: it is taken the moment that it is asked for."""

    live = True

    def __init__(self, frames: Sequence[Frame], clock: Clock) -> None:
        super().__init__("frames drawn beforehand", clock)
        self._frames = frames

    def _take(self) -> FrameRecord:
        frame_bgr = self._frames[self.captured % len(self._frames)]
        return FrameRecord(self.captured, frame_bgr, self.clock(), f"{self.captured:06d}")


class _Paced(_Ready):
    """The same as a recording, which `realtime` plays at its rate."""

    live = False

    def __init__(self, frames: Sequence[Frame], clock: Clock, fps: float) -> None:
        super().__init__(frames, clock)
        self.fps = fps


class _NullSink(Sink):
    """Takes painted pictures, notes when, and throws them away."""

    wants_picture = True

    def __init__(self, clock: Clock, seconds: float, tick: Callable[[], None]) -> None:
        super().__init__()
        self.done_s: list[float] = []
        self.ages_ms: list[float] = []
        self._clock = clock
        self._tick = tick
        self._until_s = clock() + seconds

    def write(self, result: FrameResult) -> None:
        now_s = self._clock()
        self.done_s.append(now_s)
        self.ages_ms.append(1e3 * (now_s - result.record.timestamp_s))
        self._tick()

    def full(self) -> bool:
        """Whether its time is over."""
        return self._clock() >= self._until_s
