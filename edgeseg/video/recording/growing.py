"""What every recording is while it grows: encoded frames in, whole on the disk after each append."""

from __future__ import annotations

import io
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, TypeVar

_Self = TypeVar("_Self", bound="GrowingVideo")


class Packet(NamedTuple):
    """One encoded frame."""

    data: bytes
    key: bool
    """Whether it can be decoded without the frames before it."""


@dataclass(frozen=True, slots=True)
class Track:
    """What a player must know before the first frame of an MPEG-4 Visual stream (ISO/IEC 14496-2)."""

    width: int
    height: int
    rate: Fraction
    """Frames per second: frame n is shown at n / rate."""
    config: bytes
    """The decoder's configuration: the headers of the first key frame, up to its picture."""


def rate_of(fps: float) -> Fraction:
    """The rate as a fraction, 30000/1001 for 29.97…; 1001 is the largest denominator of any rate in use."""
    return max(Fraction(fps).limit_denominator(1001), Fraction(1, 1001))


class GrowingVideo(ABC):
    """A video file that gets packets in groups, and plays up to the last group at every moment.

    `append` returns when the group is on the disk. A write that fails is undone, so that the file stays whole.
    All raise `OSError` where the file system refuses.
    """

    def __init__(self, file: io.FileIO, track: Track) -> None:
        """Begin the file, which must be empty and open for reading and writing."""
        self.track = track
        self.frames = 0
        self._file = file
        self._end = 0
        """So much of the file is whole, in bytes."""

    @classmethod
    @abstractmethod
    def resume(cls: type[_Self], file: io.FileIO) -> _Self | None:
        """Go on with what a killed run left; `None` where its header is not whole. A torn end is cut off."""

    @abstractmethod
    def append(self, packets: Sequence[Packet]) -> None:
        """Add frames, of which the first is a key frame; they are on the disk then."""

    @abstractmethod
    def finish(self) -> None:
        """Write what players need to seek. Nothing may be appended afterwards."""

    def _add(self, data: bytes) -> None:
        """Write at the end and wait for the disk; on failure the file is as long as it was."""
        try:
            write_at(self._file, self._end, data)
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(self._end)
            raise
        self._end += len(data)


def write_at(file: io.FileIO, position: int, data: bytes) -> None:
    """Write all of `data` at `position`; a full disk takes a part of it first."""
    file.seek(position)
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def read_at(file: io.FileIO, position: int, count: int) -> bytes:
    """Up to `count` bytes from `position`."""
    file.seek(position)
    return file.read(count)
