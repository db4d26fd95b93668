"""What every source is: frames in order, counted, each stamped by one clock."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeVar

from edgeseg.errors import DataError, SourceError
from edgeseg.types import Frame

_Self = TypeVar("_Self", bound="Source")

Clock = Callable[[], float]
"""Seconds since some fixed moment, never going back: `time.perf_counter`, or a test's own."""

CAMERA = re.compile(r"\d+|/dev/video\d+|/dev/v4l/by-(?:id|path)/[^/?]+")
"""What names a camera: a number, a V4L2 device file, or the link to one that stays the same after replugging."""


@dataclass(frozen=True, slots=True)
class SourceState:
    """How a source is doing, as of the moment it is asked."""

    link: Literal["connected", "stalled", "reconnecting"] = "connected"
    """Stalled: it is open, but gives no frames. Reconnecting: it was given up, and is being opened again."""
    since_s: float = 0.0
    """When that began, on the source's clock; stalled: when the last frame came."""
    attempt: int = 0
    """Reconnecting: which attempt is on its way, or comes next, from 1."""
    reconnects: int = 0
    """How often it was opened again so far, with frames."""
    reason: str = ""
    """Reconnecting: what is the matter, in one line, without passwords."""


CONNECTED = SourceState()


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """One captured frame: BGR uint8 (H, W, 3), with its place and time in the stream."""

    index: int
    """Position among all captured frames from 0, also those that were dropped."""
    frame_bgr: Frame
    timestamp_s: float
    """When it was captured, on the source's clock: a live frame's arrival, or the moment its decoding began."""
    name: str
    """What a file made from this frame is called, without suffix: the image's own name, or the index in six digits."""
    media_s: float | None = None
    """The stream's own time stamp, in seconds; `None` where it has none."""


class Source(ABC):
    """Frames from somewhere. A context manager, and an iterator over `FrameRecord`.

    A subclass gives the next record in `_take`; counting and the end are kept here.
    """

    live = False
    """Whether frames come by themselves and are lost when nobody takes them."""

    def __init__(self, uri: str, clock: Clock = time.perf_counter, fps: float | None = None) -> None:
        self.uri = uri
        self.clock = clock
        self.fps = fps
        """Nominal frames per second, where the source knows."""
        self.captured = 0
        """Frames taken so far, usable or not."""
        self.dropped = 0
        """Captured frames that were replaced by newer ones before anybody took them."""
        self.ended = False
        self.files: tuple[Path, ...] = ()
        """The files that are read, which no output may overwrite."""
        self.notes: list[str] = []
        """What a person should know about this stream, one line each."""

    @property
    def state(self) -> SourceState:
        """How the source is doing. May be asked from any thread."""
        return CONNECTED

    def again(self) -> Source:
        """The same source from its beginning, opened anew; raises `SourceError` for one that has no beginning."""
        raise SourceError(f"{self.uri}: a live source has no beginning to go back to. Leave out --loop.")

    @abstractmethod
    def _take(self) -> FrameRecord | None:
        """The next record, `None` at the end; `DataError` for one unusable frame, after which the next can be taken."""

    def read(self, timeout_s: float = 1.0) -> FrameRecord | None:  # noqa: ARG002 - only live sources wait
        """The next frame; `None` when the source has `ended`, or when a live one gave nothing for `timeout_s`.

        Raises `DataError` for one frame that cannot be used (reading may go on) and `SourceError` when the source
        is broken for good.
        """
        if self.ended:
            return None
        try:
            record = self._take()
        except DataError:
            self.captured += 1
            raise
        if record is None:
            self.ended = True
        else:
            self.captured += 1
        return record

    def close(self) -> None:  # noqa: B027 - most sources hold nothing
        """Give back what the source holds. Closing twice is harmless."""

    def __iter__(self) -> Iterator[FrameRecord]:
        while not self.ended:
            record = self.read()
            if record is not None:
                yield record

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
