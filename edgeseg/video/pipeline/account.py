"""What became of each frame, and how long it took: kept by the thread that puts the results out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edgeseg.errors import EdgesegError, InputError, SourceError
from edgeseg.video.pipeline.work import Work
from edgeseg.video.sources.base import Clock
from edgeseg.video.stats import STAGES, Deadline, Ended, RunReport, StageTimes

_NAMED_FAILURES = 5
"""So many frames that failed are named in the notes; the others are counted."""


class Account:
    """The counts of one run. Written by one thread; others may look."""

    def __init__(self, clock: Clock, deadline_ms: float | None) -> None:
        self._clock = clock
        self._times = {stage: StageTimes() for stage in STAGES}
        self._began_s = self._done_s = clock()
        self._paused_s = 0.0
        self._pause_began_s: float | None = None
        self._faults: Counter[str] = Counter()
        self.deadline_ms = deadline_ms
        self.deadline_misses = 0
        self.frames = self.failed = self.invalid = 0
        self.passed_over = 0
        """Frames of a live source that were on their way during a pause, and thrown away."""
        self.notes: list[str] = []
        self.first_error: EdgesegError | None = None

    def settle(self, work: Work) -> float:
        """A frame is through, at this moment. Returns its age in milliseconds, without pauses."""
        assert work.result is not None
        self._done_s = self._clock()
        age_ms = self.age_ms(work, self._done_s)
        stages_ms = {**work.stages_ms, "total": age_ms}
        # Between two stages frames wait, those of a file until their turn comes.
        stages_ms["queues"] = max(0.0, age_ms - sum(work.stages_ms.values()))
        for stage, took_ms in stages_ms.items():
            self._times[stage].add(took_ms)
        self.deadline_misses += self.deadline_ms is not None and age_ms > self.deadline_ms
        self.invalid += not work.result.segmentation.valid
        self._faults.update(work.result.health.faults)
        self.frames += 1
        return age_ms

    def age_ms(self, work: Work, now_s: float) -> float:
        """How old a frame is, in milliseconds, without pauses since it was taken."""
        assert work.record is not None
        return 1e3 * (now_s - work.record.timestamp_s - (self.paused_s(now_s) - work.paused_s))

    def fail(self, error: InputError) -> None:
        """A frame could not be decoded or segmented."""
        self.failed += 1
        self.first_error = self.first_error or error
        if self.failed <= _NAMED_FAILURES:
            self.notes.append(f"frame left out: {error}")

    def begin_pause(self) -> None:
        """From now on time does not count."""
        self._pause_began_s = self._clock()

    def end_pause(self) -> None:
        """From now on it does."""
        paused_s = self.paused_s(self._clock())
        self._done_s += paused_s - self._paused_s
        self._paused_s, self._pause_began_s = paused_s, None

    def paused_s(self, now_s: float) -> float:
        """All pauses up to now, in seconds."""
        began_s = self._pause_began_s  # may be reset by another thread between two looks
        return self._paused_s + (0.0 if began_s is None else now_s - began_s)

    def report(
        self,
        *,
        source: str,
        captured: int,
        dropped: int,
        ended: Ended,
        failure: SourceError | None,
        notes: Sequence[str],
        queue_peak: int,
        left_behind: Sequence[str],
    ) -> RunReport:
        """What happened."""
        deadline = None
        if self.deadline_ms is not None:
            deadline = Deadline(self.deadline_ms, self.deadline_misses)
        return RunReport(
            source=source,
            captured=captured,
            frames=self.frames,
            dropped=dropped,
            failed=self.failed,
            invalid=self.invalid,
            elapsed_s=self._done_s - self._began_s - self._paused_s,
            stages={name: found for name, times in self._times.items() if (found := times.percentiles()) is not None},
            ended=ended,
            notes=tuple(notes),
            failure=failure,
            deadline=deadline,
            camera_faults=dict(self._faults.most_common()),
            queue_peak=queue_peak,
            left_behind=tuple(left_behind),
        )
