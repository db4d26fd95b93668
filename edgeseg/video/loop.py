"""The camera loop: capture, inference, analysis and output at the same time, each timed, every frame accounted for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgeseg.errors import ConfigError
from edgeseg.types import Frame, Labels
from edgeseg.video.controls import Controls
from edgeseg.video.pipeline.account import Account
from edgeseg.video.pipeline.channel import Channel
from edgeseg.video.pipeline.crew import Crew
from edgeseg.video.pipeline.head import Head
from edgeseg.video.pipeline.output import Output
from edgeseg.video.pipeline.painter import Painter
from edgeseg.video.pipeline.stages import Analysis, Inference, run_stage
from edgeseg.video.pipeline.work import (
    FrameAnalyser,
    FrameMonitor,
    FramePainter,
    FrameSegmenter,
    FrameSmoother,
    Work,
)
from edgeseg.video.results import FrameResult
from edgeseg.video.sinks import Sink
from edgeseg.video.sources.base import Source
from edgeseg.video.stats import Ended, RunReport
from edgeseg.video.timing import REAL_TIME, Timing

_LEAVE_AFTER_S = 1.2
"""A source or a model that hangs is left behind so long after the end: a program that was told to end has to be gone
within two seconds, and has files to finish in the rest of them."""


_READER = {False: "capture", True: "inference"}
"""Is the source live → the stage that asks it for frames."""


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """How the loop runs."""

    in_flight: int = 1
    """Frames that may wait between two stages. More even out stages of changing length, and make frames older."""
    deadline_ms: float | None = None
    """Frames older than this when their output is done are counted as misses."""
    stale_after_s: float | None = None
    """Age at which the picture on the screen is called stale; `None`: 0.4 s, or later where the backend or the camera
    is slow, see `edgeseg.video.pipeline.standstill`."""
    snapshots: Path = Path()
    """Folder for the pictures that `Controls.ask_snapshot` asks for."""

    def __post_init__(self) -> None:
        if self.in_flight < 1:
            raise ConfigError(f"in_flight={self.in_flight}: expected 1 or more frames between two stages.")
        if self.deadline_ms is not None and not 0 < self.deadline_ms < math.inf:
            raise ConfigError(
                f"deadline_ms={self.deadline_ms}: expected milliseconds above 0, or None for no deadline."
            )
        if self.stale_after_s is not None and not 0 < self.stale_after_s < math.inf:
            raise ConfigError(f"stale_after_s={self.stale_after_s}: expected seconds above 0, or None for the default.")


def run_loop(
    source: Source,
    segmenter: FrameSegmenter,
    sinks: Sequence[Sink] = (),
    *,
    overlay: FramePainter | None = None,
    analyser: FrameAnalyser | None = None,
    monitor: FrameMonitor | None = None,
    smoother: FrameSmoother | None = None,
    inset: Callable[[Labels], Frame] | None = None,
    controls: Controls | None = None,
    config: LoopConfig | None = None,
    max_frames: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
    after_frame: Callable[[FrameResult], bool] | None = None,
    degraded: str | None = None,
    timing: Timing = REAL_TIME,
) -> RunReport:
    """Segment the source's frames until it ends, `max_frames` are done, or `stopped`, `controls`, `after_frame` say so.

    A file's frames are read, segmented, painted and put out each on a thread of its own, with at most
    `config.in_flight` waiting before each stage; output, `stopped` and `after_frame` are called in this thread. A live
    source is asked for its newest frame when the model is free. Pictures are painted with `overlay` where a sink wants
    them, with what `inset` makes of the labels in a corner. When the picture on the screen gets old, or `controls` say
    pause, each such sink gets `Sink.waiting`.

    Closes the source, so that the count of its frames is final; the sinks stay open. A frame that cannot be decoded or
    segmented is counted and named in the notes, and the next one follows; if no frame works, the first error is
    raised. Frames still on their way at the end count as dropped. A source that breaks after its first frame ends the
    run: see `RunReport.failure`. A source or model that hangs then is left behind: see `RunReport.left_behind`.
    What any stage raises is raised here.
    """
    wanted = any(sink.wants_picture for sink in sinks)
    if overlay is None and wanted:
        raise ValueError("a sink wants pictures, so the loop needs an overlay to paint them with")
    config = config or LoopConfig()
    controls = controls or Controls(segmenter.label_map)
    painter = Painter(overlay, controls, inset) if overlay is not None and wanted else None
    account = Account(source.clock, config.deadline_ms)

    def allowed() -> bool:
        left = math.inf if max_frames is None else max_frames + account.passed_over - head.taken
        return left > 0 and not controls.paused

    head = Head(source, timing, allowed=allowed, paused_s=account.paused_s)
    analysis = Analysis(
        source, account, smoother=smoother, analyser=analyser, monitor=monitor, painter=painter, degraded=degraded
    )
    crew, analysed = Crew(timing), Channel[Work](config.in_flight, timing)
    output = Output(
        source,
        analysed,
        sinks,
        account,
        controls,
        timing,
        painter=painter,
        stale_after_s=config.stale_after_s,
        snapshots=config.snapshots,
    )
    left_behind: tuple[str, ...] = ()
    try:
        _start(crew, head, Inference(segmenter, source.clock), analysis, analysed, source.live, config, timing)
        ended = output.until_end(max_frames, stopped, after_frame)
        defect = crew.defect
    finally:
        left_behind = _end(crew, head, source, timing)
    if defect is not None:
        raise defect
    first_error = account.first_error or head.failure
    if account.frames == 0 and first_error is not None:
        raise first_error
    # A reader that was left behind may count one more at any time.
    captured = source.dropped + head.taken if _READER[source.live] in left_behind else source.captured
    on_their_way = head.taken - account.frames - account.failed
    return account.report(
        source=source.uri,
        captured=captured,
        dropped=source.dropped + on_their_way,
        ended=ended or (Ended.SOURCE if head.failure is None else Ended.BROKEN),
        failure=head.failure,
        notes=(*source.notes, *account.notes, *(note for sink in sinks for note in sink.notes)),
        queue_peak=crew.queue_peak,
        left_behind=left_behind,
    )


def _start(
    crew: Crew,
    head: Head,
    inference: Inference,
    analysis: Analysis,
    analysed: Channel[Work],
    live: bool,
    config: LoopConfig,
    timing: Timing,
) -> None:
    """Start the threads. A live source reads on one of its own: a frame that waited here would only grow old."""
    inferred = Channel[Work](config.in_flight, timing)
    read: Channel[Work] | None = None
    take: Callable[[], Work | None] = head.take
    if not live:
        read = Channel[Work](config.in_flight, timing)
        crew.start(_READER[live], partial(run_stage, head.take, lambda _: None, read), None, read)
        take = read.get
    crew.start("inference", partial(run_stage, take, inference, inferred), read, inferred)
    crew.start("analysis", partial(run_stage, inferred.get, analysis, analysed), inferred, analysed)


def _end(crew: Crew, head: Head, source: Source, timing: Timing) -> tuple[str, ...]:
    """Stop the threads and close the source. Returns which of them hang, and are left behind."""
    until_s = timing.clock() + _LEAVE_AFTER_S
    head.close()
    crew.stop()
    if source.live:
        source.close()
    # To close a file while it is being read crashes the process, so who reads it closes it.
    closes_late = None if source.live else _READER[False]
    left_behind = crew.join(until_s, lambda name: source.close if name == closes_late else lambda: None)
    if not source.live and closes_late not in left_behind:
        source.close()
    return left_behind
