"""Stopping a run from outside: the first signal asks it to finish its files, the second one ends it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class StopFlag:
    """Whether somebody has asked to stop, and how."""

    def __init__(self) -> None:
        self.signal: int | None = None
        """Number of the signal that came."""

    def __call__(self) -> bool:
        """Whether somebody has."""
        return self.signal is not None


@contextmanager
def stop_on_signals() -> Iterator[StopFlag]:
    """Catch SIGINT and SIGTERM while inside; only in the main thread, where Python lets signals be handled.

    An exception in the middle of a frame would leave it uncounted; a flag lets the loop finish it.
    """
    flag = StopFlag()
    before: dict[int, Any] = {}

    def ask(number: int, _: FrameType | None) -> None:
        flag.signal = number
        signal.signal(number, before[number])

    for caught in (signal.SIGINT, signal.SIGTERM):
        before[caught] = signal.signal(caught, ask)
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
