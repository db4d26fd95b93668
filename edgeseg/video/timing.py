"""Time and threads as the loop uses them: a seam, so that a test can run a minute in a second, the same each time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol


class Condition(Protocol):
    """What is used of `threading.Condition`."""

    def __enter__(self) -> bool:
        """Take its lock."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Give the lock back."""
        ...

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        """With the lock held: wait until the predicate holds, at most `timeout` seconds. Returns whether it holds."""
        ...

    def notify_all(self) -> None:
        """With the lock held: let all who wait look at their predicates again."""
        ...


class Worker(Protocol):
    """A thread that was started."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, at most `timeout` seconds."""
        ...

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        ...


class Timing(Protocol):
    """A clock, and what waits by it."""

    def clock(self) -> float:
        """Seconds since some fixed moment, never going back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let so much time pass."""
        ...

    def condition(self) -> Condition:
        """A new condition with a lock of its own."""
        ...

    def start(self, target: Callable[[], None], name: str) -> Worker:
        """Run `target` on a thread of that name, which does not keep the process alive."""
        ...


class RealTime:
    """Time as it passes: `time.perf_counter` and `threading`."""

    def clock(self) -> float:
        """`time.perf_counter`."""
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        """`time.sleep`."""
        time.sleep(seconds)

    def condition(self) -> threading.Condition:
        """`threading.Condition`."""
        return threading.Condition()

    def start(self, target: Callable[[], None], name: str) -> threading.Thread:
        """A daemon thread: one that hangs in a driver cannot be ended, only left behind."""
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        return thread


REAL_TIME: Timing = RealTime()
