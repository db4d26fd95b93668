"""What every sink is: it takes results in order, and is told when they stop coming."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import TypeVar

from edgeseg.types import Frame
from edgeseg.video.results import FrameResult

_Self = TypeVar("_Self", bound="Sink")


class Sink(ABC):
    """Takes the results in order. A context manager. Called from the loop's thread alone."""

    wants_picture = False
    """Whether it needs the overlay to be painted."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        """What a person should know about what was written, one line each."""

    @abstractmethod
    def write(self, result: FrameResult) -> None:
        """Take one result; raises `OutputError` when it cannot be written."""

    def waiting(self, picture_bgr: Frame) -> None:  # noqa: B027 - only what shows pictures live has a use for it
        """No new frame has come for too long, or the loop is paused: `picture_bgr`, uint8 (H, W, 3), says so.

        What shows live pictures must show this one: the last would look alive. A recording ignores it.
        """

    def close(self) -> None:  # noqa: B027 - not every sink holds something
        """Finish what was written. Closing twice is harmless."""

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
