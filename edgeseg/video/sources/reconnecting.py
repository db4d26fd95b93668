"""A live source that is opened again when it falls silent: a pulled plug, a cut cable, a camera that restarts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edgeseg.errors import EdgesegError, SourceError
from edgeseg.video.sources.base import Clock, FrameRecord, Source, SourceState
from edgeseg.video.sources.live import LiveConfig
from edgeseg.video.sources.newest import NewestFrame
from edgeseg.video.sources.opening import Opening
from edgeseg.video.timing import REAL_TIME, Timing

_STEADY_S = 1.0
"""A connection that gave frames for so long was a good one: after it the back-off begins anew."""
_MOST_STUCK = 4
"""So many readers may hang in a driver at a time. At this number nothing is opened until one comes back."""
_INSTANT_S = 1e-6


class Reconnecting(Source):
    """What `connect` opens, and opens again when it is lost. Its newest frame wins; see `NewestFrame`.

    It is opened when this is made, on a thread of its own; what the first opening raises is raised here. Later ones are
    tried until one succeeds, driven by `read`. A reader or an opening that hangs in a driver is left behind, and gives
    back what it holds when it returns. Indices and the stream's time stamps go on over all connections.
    """

    live = True

    def __init__(
        self,
        uri: str,
        connect: Callable[[], Source],
        clock: Clock,
        *,
        rng: np.random.Generator,
        config: LiveConfig = LiveConfig(),  # noqa: B008 - frozen
        timing: Timing = REAL_TIME,
    ) -> None:
        """`uri` without passwords; `rng` spreads the attempts of many programs that lost the same camera."""
        super().__init__(uri, clock)
        self._connect = connect
        self._config = config
        self._rng = rng
        self._timing = timing
        self._changed = timing.condition()
        self._opening: Opening | None = None
        self._connection: NewestFrame | None = None
        self._left_behind: list[NewestFrame | Opening] = []
        self._before = (0, 0)  # captured and dropped of earlier connections
        self._attempt = self._reconnects = 0
        self._alive = False  # whether an earlier connection gave frames
        self._found = False  # whether a frame of this connection was read
        self._since_s = self._heard_s = self._due_s = clock()
        self._away_s = self._shift_s = 0.0
        self._last: FrameRecord | None = None
        self._reason = ""
        self._open_first()

    @property
    def state(self) -> SourceState:
        """How the source is doing. May be asked from any thread."""
        with self._changed:
            connection = self._connection
            if connection is None or (self._attempt and not _has_frames(connection)):
                return SourceState("reconnecting", self._since_s, self._attempt, self._reconnects, self._reason)
            silent_since_s = connection.arrived_s
            if self.clock() - silent_since_s > self._patience(self._config.stalled_after_s):
                return SourceState("stalled", silent_since_s, 0, self._reconnects)
            return SourceState("connected", self._since_s, 0, self._reconnects)

    def read(self, timeout_s: float = 1.0) -> FrameRecord | None:
        """The newest frame, waited for at most `timeout_s`; see `Source.read`.

        Raises `SourceError` for a source that never gave a frame, and when it gives up.
        """
        until_s = self.clock() + timeout_s
        while not self.ended:
            left_s = max(0.0, until_s - self.clock())
            if self._connection is not None:
                record = self._read_connection(self._connection, left_s)
                if record is not None:
                    return record
            elif self._opening is not None:
                self._await_opening(self._opening, left_s)
            else:
                self._await_turn(left_s)
            self._perhaps_give_up()
            if until_s - self.clock() <= _INSTANT_S:
                break
        return None

    def close(self) -> None:
        """Close what is open, and note how often the source was lost."""
        with self._changed:
            closed, self.ended = self.ended, True
            self._changed.notify_all()
            opening, self._opening = self._opening, None
            connection = self._connection
        if opening is not None:
            opening.abandon()
        if connection is not None:
            connection.close()
            self._keep_books(connection)
        if not closed and self._reconnects:
            times = "once" if self._reconnects == 1 else f"{self._reconnects} times"
            self.notes.append(f"the source was lost and found again {times}, {self._away_s:.1f} s without it in all")
        if not closed and connection is None and self._reason:
            self.notes.append(f"the source was lost at the end: {self._reason}")

    def _take(self) -> FrameRecord | None:
        raise AssertionError("read does without it")

    def _open_first(self) -> None:
        opening = self._opening = Opening(self._connect, self._timing, self._changed)
        try:
            opening.wait(self._config.open_s)
            if opening.failure is not None:
                raise opening.failure
            if not opening.done:
                raise SourceError(
                    f"{self.uri}: not open after {self._config.open_s:g} s. Is the camera on, and reachable?"
                )
        except BaseException:
            self.ended = True
            opening.abandon()
            raise
        self._adopt(opening)

    def _adopt(self, opening: Opening) -> None:
        """Make what was opened the connection. Its reader starts at once: nothing old may queue up in it."""
        with self._changed:
            source, self._opening = opening.take(), None
            connection = None if source is None or self.ended else NewestFrame(source, self._timing)
            self._connection = connection
            self._found = False
        if connection is None:
            if source is not None:  # closed in between
                source.close()
            return
        self.fps = connection.fps
        self.notes += [note for note in connection.notes if note not in self.notes]
        connection.start()

    def _read_connection(self, connection: NewestFrame, left_s: float) -> FrameRecord | None:
        config = self._config
        patience_s = self._patience(config.abandon_after_s if _has_frames(connection) else config.first_frame_s)
        try:
            dead_in_s = connection.arrived_s + patience_s - self.clock()
            record = connection.read(max(0.0, min(left_s, dead_in_s)))
        except SourceError as error:
            self._lose(connection, str(error))
            return None
        finally:
            self._keep_books(connection)
        if record is not None:
            return self._of_all(record, connection)
        if not self.ended:
            if connection.ended:
                self._lose(connection, f"{self.uri}: the stream has ended")
            elif self.clock() - connection.arrived_s >= patience_s - _INSTANT_S:
                self._lose(connection, f"{self.uri}: no frame for {patience_s:g} s")
        return None

    def _of_all(self, record: FrameRecord, connection: NewestFrame) -> FrameRecord:
        """The frame of one connection as one of the whole stream."""
        last, media_s = self._last, record.media_s
        if not self._found:
            self._found = True
            self._since_s = record.timestamp_s
            if last is not None:
                self._reconnects += 1
                self._away_s += record.timestamp_s - last.timestamp_s
            # A connection's own time begins anywhere: it is made to go on where the stream was lost.
            self._shift_s = 0.0
            if last is not None and last.media_s is not None and media_s is not None:
                self._shift_s = last.media_s + (record.timestamp_s - last.timestamp_s) - media_s
        if record.timestamp_s - self._since_s >= _STEADY_S:
            self._attempt = 0
        index = self._before[0] + record.index - connection.skipped
        name = f"{index:06d}"
        self._last = replace(
            record, index=index, name=name, media_s=None if media_s is None else media_s + self._shift_s
        )
        return self._last

    def _lose(self, connection: NewestFrame, reason: str) -> None:
        """Give up a connection, and open the source again in a moment."""
        connection.abandon()
        self._keep_books(connection)
        with self._changed:
            self._before = (self.captured, self.dropped)
            self._connection = None
            if self._found:
                self._since_s = self.clock()
        self._left_behind.append(connection)
        if _has_frames(connection):
            self._alive, self._heard_s = True, connection.arrived_s
        if not self._alive:
            self.ended = True
            raise SourceError(reason)
        self._next_attempt(reason)

    def _next_attempt(self, reason: str) -> None:
        with self._changed:
            self._reason = reason
            self._attempt += 1
            self._due_s = self.clock() + self._config.wait_s(self._attempt, self._rng)

    def _await_turn(self, left_s: float) -> None:
        """Wait for the next attempt, and begin it."""
        wait_s = self._due_s - self.clock()
        if wait_s > _INSTANT_S:
            with self._changed:
                self._changed.wait_for(lambda: self.ended, min(wait_s, left_s))
        if self.ended or self._due_s - self.clock() > _INSTANT_S:
            return
        self._left_behind = [one for one in self._left_behind if one.stuck]
        if len(self._left_behind) >= _MOST_STUCK:
            self._next_attempt(f"{self._reason.split(';')[0]}; {_MOST_STUCK} earlier reads hang in the driver")
            return
        with self._changed:
            if not self.ended:
                self._opening = Opening(self._connect, self._timing, self._changed)

    def _await_opening(self, opening: Opening, left_s: float) -> None:
        late_in_s = opening.began_s + self._config.open_s - self._timing.clock()
        opening.wait(max(0.0, min(left_s, late_in_s)))
        if opening.done:
            if opening.failure is None:
                self._adopt(opening)
            elif isinstance(opening.failure, EdgesegError):
                self._opening = None
                self._next_attempt(str(opening.failure))
            else:  # a defect
                self.ended = True
                raise opening.failure
        elif late_in_s <= left_s:
            self._opening = None
            opening.abandon()
            self._left_behind.append(opening)
            self._next_attempt(f"{self.uri}: not open after {self._config.open_s:g} s")

    def _perhaps_give_up(self) -> None:
        limit_s = self._config.give_up_after_s
        connection = self._connection
        if limit_s is None or self.ended or (connection is not None and _has_frames(connection)):
            return
        silent_s = self.clock() - self._heard_s
        if silent_s >= limit_s - _INSTANT_S:
            reason = f"{self._reason} Given up after {silent_s:.0f} s."
            self.close()
            raise SourceError(reason)

    def _keep_books(self, connection: NewestFrame) -> None:
        if connection is not self._connection:  # its frames are in the books already
            return
        captured, dropped = self._before
        self.captured, self.dropped = captured + connection.captured, dropped + connection.dropped

    def _patience(self, seconds: float) -> float:
        """Not less than three frames of a source as slow as that."""
        return max(seconds, 3 / self.fps) if self.fps else seconds


def _has_frames(connection: NewestFrame) -> bool:
    return connection.captured + connection.skipped > 0
