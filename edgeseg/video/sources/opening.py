"""Opening a source on a thread of its own, because a driver or a network may hang in it."""

from __future__ import annotations

from collections.abc import Callable

from edgeseg.video.sources.base import Source
from edgeseg.video.timing import Condition, Timing


class Opening:
    """`connect()` under way. Nobody waits for it longer than he wants; what comes too late is closed."""

    def __init__(self, connect: Callable[[], Source], timing: Timing, changed: Condition) -> None:
        self.began_s = timing.clock()
        self.failure: Exception | None = None
        self.done = False
        self._connect = connect
        self._changed = changed
        self._source: Source | None = None
        self._unwanted = False
        self._worker = timing.start(self._run, "edgeseg-open")

    def wait(self, seconds: float) -> None:
        """Until it is done, one way or the other, or nobody wants it any more; at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: self.done or self._unwanted, seconds)

    def take(self) -> Source | None:
        """What was opened, once; from then on the caller has to close it."""
        source, self._source = self._source, None
        return source

    def abandon(self) -> None:
        """Nobody wants it: what was opened is closed, and what will have been, too."""
        with self._changed:
            self._unwanted = True
            source = self.take()
            self._changed.notify_all()
        if source is not None:
            source.close()

    @property
    def stuck(self) -> bool:
        """Whether it has not come back yet."""
        return self._worker.is_alive()

    def _run(self) -> None:
        source: Source | None = None
        failure: Exception | None = None
        try:
            source = self._connect()
        except Exception as error:  # also a defect: raised where it is waited for, not lost with the thread
            failure = error
        with self._changed:
            late = self._unwanted
            self._source, self.failure, self.done = None if late else source, failure, True
            self._changed.notify_all()
        if late and source is not None:
            source.close()
