from __future__ import annotations

import threading

import pytest
from scripted_stream import ScriptedSource, TickClock, grey_frame

from edgeseg.errors import DataError, SourceError
from edgeseg.video.sources.base import FrameRecord, Source
from edgeseg.video.sources.newest import NewestFrame

SOON_S = 5.0
"""Far more than any step here needs; a test that waits so long has failed."""


class GatedSource(Source):
    """A camera whose frames come when the test says. `released` frames may be read; then it blocks."""

    def __init__(self) -> None:
        super().__init__("gated", TickClock())
        self._gate = threading.Semaphore(0)
        self._arrived = threading.Condition()
        self.closed = False

    def let(self, frames: int) -> None:
        """Let so many frames arrive, and wait until the reader is back for the one after them."""
        with self._arrived:
            target = self.captured + frames
            for _ in range(frames):
                self._gate.release()
            assert self._arrived.wait_for(lambda: self._waiting_for == target, SOON_S)

    _waiting_for = -1

    def _take(self) -> FrameRecord | None:
        with self._arrived:
            self._waiting_for = self.captured
            self._arrived.notify_all()
        self._gate.acquire()
        return None if self.closed else FrameRecord(self.captured, grey_frame(self.captured), 0.0, "")

    def close(self) -> None:
        self.closed = True
        self._gate.release()


def test_the_newest_frame_wins_and_the_others_are_counted() -> None:
    inner = GatedSource()
    source = NewestFrame(inner)
    assert source.read(timeout_s=0.01) is None  # starts the reader
    inner.let(5)
    record = source.read(SOON_S)
    assert record is not None
    assert record.index == 4
    assert (source.captured, source.dropped) == (5, 4)
    inner.let(1)
    following = source.read(SOON_S)
    assert following is not None
    assert following.index == 5
    inner.let(2)
    inner.close()
    source.close()
    assert (source.captured, source.dropped) == (8, 6)  # nobody took the last two


def test_reading_does_not_wait_longer_than_asked() -> None:
    inner = GatedSource()
    with NewestFrame(inner) as source:
        assert source.read(timeout_s=0.01) is None
        assert not source.ended
        inner.close()
    assert source.ended


def test_nothing_is_captured_before_the_first_read() -> None:
    inner = ScriptedSource([grey_frame(1)])
    with NewestFrame(inner) as source:
        pass
    assert (inner.captured, source.captured, inner.closed) == (0, 0, True)
    assert source.read() is None


def test_the_end_comes_after_the_last_frame() -> None:
    source = NewestFrame(ScriptedSource([grey_frame(1)]))
    assert [record.index for record in source] == [0]
    assert (source.captured, source.dropped, source.ended) == (1, 0, True)


def test_an_unusable_frame_is_raised_where_it_is_read() -> None:
    source = NewestFrame(ScriptedSource([DataError("torn")]))
    with pytest.raises(DataError, match="torn"):
        source.read(SOON_S)
    assert source.read(SOON_S) is None
    assert (source.captured, source.dropped) == (1, 0)


@pytest.mark.parametrize("error", [SourceError("unplugged"), ZeroDivisionError("a defect")])
def test_a_failure_of_the_reader_is_raised_once(error: Exception) -> None:
    source = NewestFrame(ScriptedSource([error]))
    with pytest.raises(type(error)):
        source.read(SOON_S)
    assert source.ended
    assert source.read() is None


def test_threads_end_with_their_sources() -> None:
    before = threading.active_count()
    for _ in range(20):
        with NewestFrame(ScriptedSource([grey_frame(1)] * 3)) as source:
            source.read(SOON_S)
    assert threading.active_count() == before
