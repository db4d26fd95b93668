"""What the threads between the source and the output do."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from edgeseg.errors import InputError
from edgeseg.video.health.base import HEALTHY
from edgeseg.video.pipeline.account import Account
from edgeseg.video.pipeline.channel import Channel
from edgeseg.video.pipeline.painter import Painter
from edgeseg.video.pipeline.work import FrameAnalyser, FrameMonitor, FrameSegmenter, FrameSmoother, Work
from edgeseg.video.results import FrameResult, Pulse
from edgeseg.video.sources.base import Clock, Source

_RECENT = 120
"""Frame ages kept for a curve."""
_SMOOTHING = 0.1
"""Weight of the newest frame in the rate and latency on the screen, which otherwise flicker too fast to read."""


def run_stage(take: Callable[[], Work | None], process: Callable[[Work], None], following: Channel[Work]) -> None:
    """Take, process and hand on until nothing comes any more, or nothing is taken any more.

    There is room for a frame before it is taken: one that waits for the stage after it grows old, and a live source
    could have given a newer one instead.
    """
    while following.wait_for_room():
        work = take()
        if work is None:
            return
        if work.error is None:
            process(work)
        if not following.put(work):
            return


class Inference:
    """Runs the model on each frame."""

    def __init__(self, segmenter: FrameSegmenter, clock: Clock) -> None:
        self._segmenter = segmenter
        self._clock = clock

    def __call__(self, work: Work) -> None:
        """Add the labels, or the error."""
        assert work.record is not None
        began_s = self._clock()
        try:
            work.segmentation = self._segmenter(work.record.frame_bgr)
        except InputError as error:
            work.error = error
        work.stages_ms["inference"] = 1e3 * (self._clock() - began_s)


class Analysis:
    """Draws the conclusions from the labels, and the picture where one is wanted."""

    def __init__(
        self,
        source: Source,
        account: Account,
        *,
        smoother: FrameSmoother | None,
        analyser: FrameAnalyser | None,
        monitor: FrameMonitor | None,
        painter: Painter | None,
        degraded: str | None,
    ) -> None:
        self._source = source
        self._account = account
        self._smoother = smoother
        self._analyser = analyser
        self._monitor = monitor
        self._painter = painter
        self._degraded = degraded
        self._rate = _Rate()
        self._ages_ms: deque[float] = deque(maxlen=_RECENT)

    def __call__(self, work: Work) -> None:
        """Add the result."""
        assert work.record is not None
        assert work.segmentation is not None
        clock, record, segmentation = self._source.clock, work.record, work.segmentation
        began_s = clock()
        scene, health = None, HEALTHY if self._monitor is None else self._monitor(record)
        if self._smoother is not None:
            segmentation = self._smoother(segmentation, record.frame_bgr)
        if self._analyser is not None:
            scene = self._analyser(record, segmentation)
        analysed_s = clock()
        if (self._smoother, self._analyser, self._monitor) != (None, None, None):
            work.stages_ms["analysis"] = 1e3 * (analysed_s - began_s)
        pulse = self._pulse(work, analysed_s)
        result = FrameResult(record, segmentation, str(self._rate), None, scene, health, pulse)
        if self._painter is not None:
            work.painted_as, picture = self._painter.paint(result)
            result = replace(result, picture_bgr=picture)
            work.stages_ms["overlay"] = 1e3 * (clock() - analysed_s)
        work.result = result

    def _pulse(self, work: Work, now_s: float) -> Pulse:
        account = self._account
        age_ms = account.age_ms(work, now_s)
        self._ages_ms.append(age_ms)
        self._rate.update(now_s - account.paused_s(now_s), age_ms)
        return Pulse(
            fps=self._rate.fps,
            age_ms=age_ms,
            stages_ms=dict(work.stages_ms),
            recent_age_ms=tuple(self._ages_ms),
            captured=self._source.captured,
            processed=account.frames,
            dropped=self._source.dropped + account.passed_over,
            failed=account.failed,
            deadline_ms=account.deadline_ms,
            deadline_misses=account.deadline_misses,
            degraded=self._degraded,
        )


class _Rate:
    """Frames per second and age for the eye: smoothed, because a number that changes with each frame is no use."""

    def __init__(self) -> None:
        self._last_s: float | None = None
        self._interval_s = self._age_ms = 0.0

    def update(self, now_s: float, age_ms: float) -> None:
        """Take in a frame of that age, at this moment."""
        interval_s = 0.0 if self._last_s is None else now_s - self._last_s
        weight = _SMOOTHING if self._interval_s else 1.0
        self._interval_s += weight * (interval_s - self._interval_s)
        self._age_ms += weight * (age_ms - self._age_ms)
        self._last_s = now_s

    @property
    def fps(self) -> float:
        """Frames per second; 0 before the second frame."""
        return 1 / self._interval_s if self._interval_s > 0 else 0.0

    def __str__(self) -> str:
        return f"{self.fps:.1f} fps   {self._age_ms:.1f} ms" if self.fps else "edgeseg"
