"""The last step of the loop, in the caller's thread: results go to the sinks, and standing still is said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2

from edgeseg.errors import EdgesegError
from edgeseg.files import write_bytes
from edgeseg.types import Frame
from edgeseg.video.controls import Controls
from edgeseg.video.pipeline.account import Account
from edgeseg.video.pipeline.channel import Channel
from edgeseg.video.pipeline.head import POLL_S
from edgeseg.video.pipeline.painter import Painter
from edgeseg.video.pipeline.standstill import Standstill
from edgeseg.video.pipeline.work import Wishes, Work
from edgeseg.video.results import FrameResult
from edgeseg.video.sinks import Sink
from edgeseg.video.sources.base import Source
from edgeseg.video.stats import Ended
from edgeseg.video.timing import Timing

_HOPELESS_AFTER = 30
"""A live source of which not one frame worked by then is given up: it would fail for ever, and nobody would see it."""


class Output:
    """Puts out what comes until something ends it."""

    def __init__(
        self,
        source: Source,
        arriving: Channel[Work],
        sinks: Sequence[Sink],
        account: Account,
        controls: Controls,
        timing: Timing,
        *,
        painter: Painter | None,
        stale_after_s: float | None,
        snapshots: Path,
    ) -> None:
        self._source = source
        self._arriving = arriving
        self._sinks = sinks
        self._account = account
        self._standstill = Standstill(source, stale_after_s)
        self._controls = controls
        self._timing = timing
        self._painter = painter
        self._snapshots = snapshots
        self._snapshots_due = 0
        self._last: FrameResult | None = None
        self._painted_as: Wishes | None = None

    def until_end(
        self,
        max_frames: int | None,
        stopped: Callable[[], bool],
        after_frame: Callable[[FrameResult], bool] | None,
    ) -> Ended | None:
        """Result after result. Returns why it ended, `None` if because nothing comes any more."""
        while True:
            ended = self._ended(max_frames, stopped)
            if ended is not None:
                return ended
            self._save_snapshots()
            if self._controls.paused:
                self._pause(stopped)
                continue
            work = self._arriving.get(min(POLL_S, self._standstill.due_in_s()))
            if work is None:
                if self._arriving.ended:
                    return None
                if self._standstill.due_in_s() == 0:
                    self._say(self._standstill.text())
            elif work.error is not None:
                self._account.fail(work.error)
            else:
                result = self._put_out(work)
                if after_frame is not None and not self._untimed(after_frame, result):
                    return Ended.KEY

    def _ended(self, max_frames: int | None, stopped: Callable[[], bool]) -> Ended | None:
        account = self._account
        if stopped():
            return Ended.SIGNAL
        if self._controls.stopped is not None:
            return self._controls.stopped
        if max_frames is not None and account.frames + account.failed >= max_frames:
            return Ended.LIMIT
        if self._source.live and account.frames == 0 and account.failed >= _HOPELESS_AFTER:
            return Ended.BROKEN
        return None

    def _put_out(self, work: Work) -> FrameResult:
        result = work.result
        assert result is not None
        began_s = self._source.clock()
        for sink in self._sinks:
            sink.write(result)
        if self._sinks:
            work.stages_ms["output"] = 1e3 * (self._source.clock() - began_s)
        self._account.settle(work)
        self._standstill.shown(result.record.timestamp_s)
        self._last, self._painted_as = result, work.painted_as
        return result

    def _say(self, text: str) -> None:
        """Show every sink a picture with this text instead of the last one, which would look alive."""
        if self._painter is not None:
            picture = self._painter.waiting(self._picture(), text)
            for sink in self._sinks:
                if sink.wants_picture:
                    sink.waiting(picture)

    def _pause(self, stopped: Callable[[], bool]) -> None:
        """Stand still while paused. Frames of a file wait; those of a live source that are on their way get too old."""
        self._account.begin_pause()
        try:
            while self._controls.paused and self._controls.stopped is None and not stopped():
                self._say("PAUSED")
                self._save_snapshots()
                if not self._source.live or self._arriving.ended:
                    self._timing.sleep(POLL_S)
                elif self._arriving.get(POLL_S) is not None:
                    self._account.passed_over += 1
        finally:
            self._account.end_pause()
            self._standstill.restart()

    def _untimed(self, after_frame: Callable[[FrameResult], bool], result: FrameResult) -> bool:
        """Ask whether to go on. The answer may take its time, which is not the loop's."""
        self._account.begin_pause()
        go_on = after_frame(result)
        self._account.end_pause()
        return go_on

    def _save_snapshots(self) -> None:
        self._snapshots_due += self._controls.take_snapshots()
        if not self._snapshots_due or self._last is None:
            return
        self._snapshots_due = 0
        picture = self._picture()
        if picture is None:
            self._account.notes.append("no snapshot was saved: without a window, page or video nothing is painted")
            return
        path = self._snapshots / f"edgeseg-{Path(self._last.record.name).name}.png"
        try:
            write_bytes(path, cv2.imencode(".png", picture)[1].tobytes())
        except EdgesegError as error:  # no reason to end the run
            self._account.notes.append(str(error))
        else:
            self._account.notes.append(f"saved {path}")

    def _picture(self) -> Frame | None:
        """The last result's picture, painted again where who watches has changed the overlay since."""
        if self._last is None or self._painter is None:
            return None
        if self._painted_as != self._painter.wishes:
            self._painted_as, picture = self._painter.paint(self._last)
            self._last = replace(self._last, picture_bgr=picture)
        return self._last.picture_bgr
