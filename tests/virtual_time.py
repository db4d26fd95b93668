"""Time that passes only when every thread waits: a minute of the loop in a second, the same each time.

One thread runs at a time. It goes on until it waits, and hands over to the one that has been ready the longest; when
none is, time jumps to the earliest moment for which one waits.
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType

REAL_LIMIT_S = 60.0
"""A thread that is not given its turn for so long has been lost: a defect of the test or of this module."""


class DeadlockError(RuntimeError):
    """Every thread waits, and for nothing that could come."""


class _Over(BaseException):
    """Ends a thread that is still waiting when the test is over."""


class _Task:
    def __init__(self, name: str) -> None:
        self.name = name
        self.turn = threading.Semaphore(0)
        self.waits = 0
        """Counts the times it has waited, so that an alarm for an earlier time is not taken for this one's."""
        self.ready = True
        self.done = False


class VirtualTime:
    """A `Timing`. The thread that makes it is the first one; leave its `with` block before making another."""

    def __init__(self) -> None:
        self.now = 0.0
        self.switches = 0
        """How often one thread handed over to another, for tests that nothing is polled without rest."""
        self._current = self._main = _Task("main")
        self._ready: deque[_Task] = deque()
        self._alarms: list[tuple[float, int, _Task, int]] = []
        self._order = itertools.count()
        self._threads: list[tuple[_Task, threading.Thread]] = []
        self._over = self._deadlock = False

    def clock(self) -> float:
        """Seconds since the beginning."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Wait; `math.inf` is for ever, as what hangs does."""
        if seconds > 0:
            self._wait(self.now + seconds)

    def condition(self) -> VirtualCondition:
        """A condition of this time."""
        return VirtualCondition(self)

    def start(self, target: Callable[[], None], name: str) -> VirtualWorker:
        """Start a thread; its turn comes when this one waits."""
        task = _Task(name)
        ended = self.condition()

        def run() -> None:
            self._take_turn(task)
            try:
                if not self._over:
                    target()
            except _Over:
                pass  # the test is over; what this thread was doing ends here
            finally:
                task.done = True
                if not self._over:
                    ended.notify_all()
                    self._hand_over()

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append((task, thread))
        self._ready.append(task)
        thread.start()
        return VirtualWorker(task, ended)

    def __enter__(self) -> VirtualTime:
        return self

    def __exit__(self, *_: object) -> None:
        """End the threads that hang still."""
        self._over = True
        for task, thread in self._threads:
            task.turn.release()
            thread.join(REAL_LIMIT_S)
            assert not thread.is_alive(), f"{task.name} does not end"

    @property
    def hanging(self) -> list[str]:
        """Names of the threads that have not ended."""
        return [task.name for task, _ in self._threads if not task.done]

    def _wait(self, until_s: float) -> None:
        """Let others run until this thread is woken or that moment comes."""
        task = self._current
        task.waits += 1
        task.ready = False
        if until_s < math.inf:
            heapq.heappush(self._alarms, (until_s, next(self._order), task, task.waits))
        self._hand_over()
        self._take_turn(task)
        if self._over:
            raise _Over
        if self._deadlock:
            raise DeadlockError(f"at {self.now:.3f} s every thread waits for ever: {', '.join(self.hanging)}")

    def _take_turn(self, task: _Task) -> None:
        if not task.turn.acquire(timeout=REAL_LIMIT_S):
            raise DeadlockError(f"{task.name} was never given its turn")
        self._current = task

    def _wake(self, task: _Task) -> None:
        if not task.ready:
            task.ready = True
            self._ready.append(task)

    def _hand_over(self) -> None:
        self.switches += 1
        while not self._ready and self._alarms:
            moment_s, _, task, waits = heapq.heappop(self._alarms)
            if task.waits == waits and not task.ready:
                self.now = max(self.now, moment_s)
                self._wake(task)
        if not self._ready:
            self._deadlock = True
            self._wake(self._main)
        self._ready.popleft().turn.release()


class VirtualWorker:
    """A thread of a virtual time."""

    def __init__(self, task: _Task, ended: VirtualCondition) -> None:
        self._task = task
        self._ended = ended

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        self._ended.wait_for(lambda: self._task.done, timeout)

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return not self._task.done


class VirtualCondition:
    """A condition of a virtual time. It needs no lock: who holds it runs alone until it waits."""

    def __init__(self, time: VirtualTime) -> None:
        self._time = time
        self._waiting: list[_Task] = []

    def __enter__(self) -> bool:
        return True

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        return None

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until the predicate holds, at most `timeout` seconds."""
        until_s = math.inf if timeout is None else self._time.now + timeout
        while not predicate():
            if self._time.now >= until_s:
                return False
            task = self._time._current
            self._waiting.append(task)
            try:
                self._time._wait(until_s)
            finally:
                if task in self._waiting:
                    self._waiting.remove(task)
        return True

    def notify_all(self) -> None:
        """Let all who wait look again."""
        waiting, self._waiting = self._waiting, []
        for task in waiting:
            self._time._wake(task)
