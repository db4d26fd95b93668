"""The first step of the loop: a frame is taken from the source."""

from __future__ import annotations

from collections.abc import Callable

from edgeseg.errors import DataError, SourceError
from edgeseg.video.pipeline.work import Work
from edgeseg.video.sources.base import Source
from edgeseg.video.timing import Timing

POLL_S = 0.1
"""What is waited for is waited for in steps of at most this length, between which a request to stop is seen."""


class Head:
    """Takes frames from the source, in one thread, until it ends or `close`; counts what it takes."""

    def __init__(
        self, source: Source, timing: Timing, *, allowed: Callable[[], bool], paused_s: Callable[[float], float]
    ) -> None:
        self._source = source
        self._allowed = allowed
        self._paused_s = paused_s
        self._gate = timing.condition()
        self._closed = False
        self.taken = 0
        """Frames taken, usable or not. With those that a live source drops, all that were captured."""
        self.failure: SourceError | None = None
        """What broke the source."""

    def take(self) -> Work | None:
        """The next frame, waited for; `None` at the end."""
        while self._may_go_on():
            try:
                record = self._source.read(POLL_S)
            except DataError as error:
                self.taken += 1
                return Work(None, error=error)
            except SourceError as error:
                self.failure = error
                return None
            if record is not None:
                self.taken += 1
                now = self._source.clock()
                capture_ms = 1e3 * (now - record.timestamp_s)
                return Work(record, self._paused_s(now), stages_ms={"capture": capture_ms})
            if self._source.ended:
                return None
        return None

    def close(self) -> None:
        """Take no more."""
        with self._gate:
            self._closed = True
            self._gate.notify_all()

    def _may_go_on(self) -> bool:
        """Wait while nothing may be taken. Returns False once it is closed."""
        with self._gate:
            while not self._closed:
                if self._gate.wait_for(lambda: self._closed or self._allowed(), POLL_S):
                    break
            return not self._closed
