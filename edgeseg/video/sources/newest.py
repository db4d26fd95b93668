"""A live source whose reader never waits for its user: the newest frame wins, and what it replaces is counted."""

from __future__ import annotations

import threading

from edgeseg.errors import DataError
from edgeseg.video.sources.base import FrameRecord, Source
from edgeseg.video.timing import REAL_TIME, Timing, Worker

_JOIN_S = 1.0
"""How long closing waits for a read in progress. One that hangs in a driver is left to its daemon thread: a program
that was told to end has to be gone within two seconds."""


class NewestFrame(Source):
    """Reads `inner` on a thread of its own into a slot for one frame; `read` empties the slot.

    Without it frames queue up in the driver, and a loop slower than the camera falls further behind with each.
    """

    live = True

    def __init__(self, inner: Source, timing: Timing = REAL_TIME) -> None:
        super().__init__(inner.uri, inner.clock, inner.fps)
        self.files = inner.files
        self.notes = inner.notes
        self.skipped = 0
        """Frames of `inner` that were thrown away before the first `read`, and are in no count."""
        self.arrived_s = self.clock()
        """When the newest frame came, on the source's clock; before the first one: when this was made."""
        self._inner = inner
        self._wanted = False
        self._slot: FrameRecord | DataError | None = None
        self._failure: Exception | None = None
        self._finished = False
        self._closing = threading.Event()
        self._timing = timing
        self._changed = timing.condition()
        self._thread: Worker | None = None

    def start(self) -> None:
        """Start the reader before anybody reads. What comes until the first `read` is thrown away, and not counted.

        So a connection stays alive while the model is being loaded, and no old frames queue up in it.
        """
        if self._thread is None:
            self._thread = self._timing.start(self._pump, "edgeseg-capture")

    def read(self, timeout_s: float = 1.0) -> FrameRecord | None:
        """The newest frame not yet taken, waited for at most `timeout_s`; see `Source.read`.

        The first call starts the reader, so that nothing is dropped while the model is still being loaded.
        """
        if self.ended:
            return None
        with self._changed:
            self._wanted = True
        self.start()
        with self._changed:
            self._changed.wait_for(lambda: self._slot is not None or self._finished, timeout_s)
            taken, self._slot = self._slot, None
            if taken is None and self._finished:
                self.ended = True
                failure, self._failure = self._failure, None
                if failure is not None:
                    raise failure
        if isinstance(taken, DataError):
            raise taken
        return taken

    def close(self) -> None:
        """Stop the reader, and wait for it. A frame that nobody took counts as dropped, so that the books are final."""
        closing = self._closing.is_set()
        self._closing.set()
        if self._thread is not None and not closing:  # once is enough for a reader that hangs
            self._thread.join(_JOIN_S)
        self.abandon()

    def abandon(self) -> None:
        """As `close`, without waiting: a reader that is stuck closes `inner` when it gets back."""
        self._closing.set()
        with self._changed:
            if self._slot is not None:
                self._slot = None
                self.dropped += 1
            self.ended = True
        if self._thread is None:
            self._inner.close()

    @property
    def stuck(self) -> bool:
        """Whether the reader has not come back yet."""
        return self._thread is not None and self._thread.is_alive()

    def _take(self) -> FrameRecord | None:
        return self._inner.read()

    def _pump(self) -> None:
        try:
            self._capture()
        except Exception as error:  # also a defect: raised where the frame is read, not lost with the thread
            self._finish(error)
        else:
            self._finish(None)
        finally:
            self._inner.close()

    def _capture(self) -> None:
        while not self._closing.is_set():
            arrived: FrameRecord | DataError | None
            try:
                arrived = self._take()
            except DataError as error:
                arrived = error
            if arrived is None:
                if self._inner.ended:
                    return
                continue
            with self._changed:
                if self._closing.is_set():  # the books are final
                    return
                self.arrived_s = self.clock()
                if not self._wanted:
                    self.skipped += 1
                    continue
                self.captured += 1
                self.dropped += self._slot is not None
                self._slot = arrived
                self._changed.notify_all()

    def _finish(self, failure: Exception | None) -> None:
        with self._changed:
            self._failure, self._finished = failure, True
            self._changed.notify_all()
