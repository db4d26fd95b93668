"""The camera loop: capture → inference → overlay → output, each timed, every frame accounted for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from edgeseg.errors import DataError, EdgesegError, InputError, SourceError
from edgeseg.labels import LabelMap
from edgeseg.types import Frame, Segmentation
from edgeseg.video.overlay import Overlay
from edgeseg.video.results import FrameResult
from edgeseg.video.sinks import Sink
from edgeseg.video.sources.base import FrameRecord, Source
from edgeseg.video.stats import STAGES, Ended, RunReport, StageTimes

_POLL_S = 0.1
"""A silent live source is waited for in steps of this length, between which a request to stop is seen."""
_SMOOTHING = 0.1
"""Weight of the newest frame in the rate and latency on the screen, which otherwise flicker too fast to read."""
_NAMED_FAILURES = 5
"""So many frames that failed are named in the notes; the others are counted."""
_HOPELESS_AFTER = 30
"""A live source of which not one frame worked by then is given up: it would fail for ever, and nobody would see it."""


class FrameSegmenter(Protocol):
    """What the loop needs of a `Segmenter`."""

    label_map: LabelMap

    def __call__(self, frame_bgr: Frame) -> Segmentation:
        """BGR uint8 (H, W, 3) → labels uint8 (H, W)."""
        ...


def run_loop(
    source: Source,
    segmenter: FrameSegmenter,
    sinks: Sequence[Sink] = (),
    *,
    overlay: Overlay | None = None,
    max_frames: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
    after_frame: Callable[[FrameResult], bool] | None = None,
) -> RunReport:
    """Segment the source's frames until it ends, `max_frames` are done, `stopped()`, or `after_frame` says no.

    Pictures are painted with `overlay` where a sink wants them. Closes the source, so that the count of its frames
    is final; the sinks stay open. A frame that cannot be decoded or segmented is counted and named in the notes, and
    the next one follows; if no frame works, the first error is raised. A source that breaks after its first frame ends
    the run: see `RunReport.failure`.
    """
    if overlay is None and any(sink.wants_picture for sink in sinks):
        raise ValueError("a sink wants pictures, so the loop needs an overlay to paint them with")
    run = _Run(source, segmenter, sinks, overlay)
    try:
        ended = run.until_end(max_frames, stopped, after_frame)
    finally:
        source.close()
    if run.frames == 0 and run.first_error is not None:
        raise run.first_error
    return run.report(ended)


class _Run:
    """The state of one run of the loop."""

    def __init__(
        self, source: Source, segmenter: FrameSegmenter, sinks: Sequence[Sink], overlay: Overlay | None
    ) -> None:
        self._source = source
        self._segmenter = segmenter
        self._sinks = sinks
        self._overlay = overlay if any(sink.wants_picture for sink in sinks) else None
        self._clock = source.clock
        self._times = {stage: StageTimes() for stage in STAGES}
        self._rate = _Rate()
        self._notes: list[str] = []
        self._began_s = self._done_s = self._clock()
        self._paused_s = 0.0
        self.frames = self.failed = self._invalid = 0
        self.first_error: EdgesegError | None = None
        self._failure: SourceError | None = None

    def until_end(
        self, max_frames: int | None, stopped: Callable[[], bool], after_frame: Callable[[FrameResult], bool] | None
    ) -> Ended:
        """Frame after frame. Returns why it ended."""
        while not stopped():
            if max_frames is not None and self.frames + self.failed >= max_frames:
                return Ended.LIMIT
            if self._source.live and self.frames == 0 and self.failed >= _HOPELESS_AFTER:
                return Ended.BROKEN
            try:
                record = self._source.read(_POLL_S)
            except DataError as error:
                self._fail(error)
                continue
            except SourceError as error:
                self.first_error = self.first_error or error
                self._failure = error
                return Ended.BROKEN
            if record is None:
                if self._source.ended:
                    return Ended.SOURCE
                continue
            result = self._process(record)
            if result is not None and after_frame is not None and not self._untimed(after_frame, result):
                return Ended.KEY
        return Ended.SIGNAL

    def report(self, ended: Ended) -> RunReport:
        """What happened."""
        stages = {stage: times.percentiles() for stage, times in self._times.items()}
        return RunReport(
            source=self._source.uri,
            captured=self._source.captured,
            frames=self.frames,
            dropped=self._source.dropped,
            failed=self.failed,
            invalid=self._invalid,
            elapsed_s=self._done_s - self._began_s - self._paused_s,
            stages={stage: percentiles for stage, percentiles in stages.items() if percentiles is not None},
            ended=ended,
            notes=(*self._source.notes, *self._notes, *(note for sink in self._sinks for note in sink.notes)),
            failure=self._failure,
        )

    def _process(self, record: FrameRecord) -> FrameResult | None:
        """Segment, paint and write one frame; `None` if it could not be segmented."""
        moments = [record.timestamp_s, self._clock()]
        try:
            segmentation = self._segmenter(record.frame_bgr)
        except InputError as error:
            self._fail(error)
            return None
        moments.append(self._clock())
        self._invalid += not segmentation.valid
        picture = None
        status = str(self._rate)
        if self._overlay is not None:
            picture = self._overlay.paint(record.frame_bgr, segmentation.labels, status, valid=segmentation.valid)
        moments.append(self._clock())
        result = FrameResult(record, segmentation, status, picture)
        for sink in self._sinks:
            sink.write(result)
        moments.append(self._clock())
        self._account(moments)
        return result

    def _account(self, moments: Sequence[float]) -> None:
        """Note the stages of a frame that is through, from the moments between them, in seconds."""
        used = {"overlay": self._overlay is not None, "output": bool(self._sinks)}
        for stage, begin_s, end_s in zip(STAGES, moments, moments[1:], strict=False):
            if used.get(stage, True):
                self._times[stage].add(1e3 * (end_s - begin_s))
        total_s = moments[-1] - moments[0]
        self._times["total"].add(1e3 * total_s)
        self._rate.update(moments[-1] - self._done_s, total_s)
        self._done_s = moments[-1]
        self.frames += 1

    def _fail(self, error: EdgesegError) -> None:
        self.failed += 1
        self.first_error = self.first_error or error
        if self.failed <= _NAMED_FAILURES:
            self._notes.append(f"frame left out: {error}")

    def _untimed(self, after_frame: Callable[[FrameResult], bool], result: FrameResult) -> bool:
        """Ask whether to go on. The answer may take its time, as in a pause, which is not the loop's."""
        go_on = after_frame(result)
        waited_s = self._clock() - self._done_s
        self._done_s += waited_s
        self._paused_s += waited_s
        return go_on


class _Rate:
    """Frames per second and latency for the eye: smoothed, because a number that changes with each frame is no use."""

    def __init__(self) -> None:
        self._interval_s = self._latency_s = 0.0

    def update(self, interval_s: float, latency_s: float) -> None:
        """Take in the time since the frame before, and from this frame's capture to its output."""
        weight = _SMOOTHING if self._interval_s else 1.0
        self._interval_s += weight * (interval_s - self._interval_s)
        self._latency_s += weight * (latency_s - self._latency_s)

    def __str__(self) -> str:
        if not self._interval_s:
            return "edgeseg"
        return f"{1 / self._interval_s:.1f} fps   {1e3 * self._latency_s:.1f} ms"
