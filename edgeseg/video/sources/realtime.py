"""A recording played as if it were a camera: at its own rate, and the newest frame wins."""

from __future__ import annotations

from dataclasses import replace

from edgeseg.errors import DataError
from edgeseg.video.sources.base import FrameRecord, Source
from edgeseg.video.sources.newest import NewestFrame
from edgeseg.video.timing import REAL_TIME, Timing

_FPS = 30.0
"""Of folders of images, and files that do not say."""


def realtime(source: Source, *, loop: bool = False, timing: Timing = REAL_TIME) -> Source:
    """`source` as a live one, at its own rate (30 frames/s where it has none); with `loop` it has no end.

    A source that is live already is returned as it is. Its first frame comes with the first `read`.
    """
    return source if source.live else NewestFrame(_Paced(source, loop, timing), timing)


class _Paced(Source):
    """Frames at the rate at which they were recorded. A decoder that is too slow for it slows it down."""

    live = True

    def __init__(self, inner: Source, loop: bool, timing: Timing) -> None:
        super().__init__(inner.uri, inner.clock, inner.fps or _FPS)
        self.files = inner.files
        self.notes = inner.notes
        self._inner = inner
        self._loop = loop
        self._timing = timing
        self._interval_s = 1 / (inner.fps or _FPS)
        self._due_s: float | None = None
        self._shift_s = self._media_s = 0.0

    def _take(self) -> FrameRecord | None:
        try:
            record = self._inner.read()
        except DataError:
            self._wait()
            raise
        if record is None:
            if not self._loop or not self._inner.captured:
                return None
            following = self._inner.again()
            self._inner.close()
            self._inner = following
            # The stream's time goes on, or every round would look like a step back in time.
            self._shift_s = self._media_s + self._interval_s
            return self._take()
        self._wait()
        media_s = record.media_s
        if media_s is not None:
            media_s = self._media_s = media_s + self._shift_s
        name = f"{self.captured:06d}" if self._loop else record.name
        return replace(record, index=self.captured, timestamp_s=self.clock(), name=name, media_s=media_s)

    def _wait(self) -> None:
        """Until this frame is due. One that is late by more than a frame moves all that follow."""
        now_s = self._timing.clock()
        due_s = now_s if self._due_s is None else max(self._due_s + self._interval_s, now_s - self._interval_s)
        self._timing.sleep(max(0.0, due_s - now_s))
        self._due_s = due_s

    def close(self) -> None:
        """Close what is played."""
        self._inner.close()
