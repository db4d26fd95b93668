"""How far a build is, and stopping it. TensorRT tells by phases that contain phases, from several threads.

Answering a step with False stops a build cleanly: IProgressMonitor, from TensorRT 10.0 on.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from edgeseg.engine.seam import TensorRT, base


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a build is."""

    fraction: float
    """0 to 1, by steps: they take unlike times, so this is no clock. It never goes back."""
    phase: str
    """What TensorRT calls the innermost phase that goes on."""


@dataclass(slots=True)
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class Watch:
    """Follows one build, tells of it, and stops it when asked."""

    def __init__(self, tell: Callable[[Progress], None] | None, stop: Callable[[], bool]) -> None:
        """`stop` is asked at every step; a True ends the build."""
        self._tell, self._stop = tell, stop
        self._lock = threading.Lock()
        self._phases: dict[str, _Phase] = {}
        self._furthest = 0.0
        self.stopped = False
        """Whether the build was asked to end."""
        self.failure: BaseException | None = None
        """What `tell` or `stop` raised, or KeyboardInterrupt; it ended the build, and is to be raised after it."""

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase begins."""
        with self._lock:
            self._phases[name] = _Phase(parent, max(1, steps))

    def step(self, name: str, step: int) -> bool:
        """A step of a phase, counted from 0, is done; False ends the build."""
        with self._lock:
            if name in self._phases:
                self._phases[name].done = step + 1
            progress = self._now(name)
        self.stopped = self.stopped or self._stop()
        if self._tell is not None and not self.stopped:
            self._tell(progress)
        return not self.stopped

    def finish(self, name: str) -> None:
        """A phase ends."""
        with self._lock:
            self._phases.pop(name, None)

    def guard(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Call, and keep what it raises: an exception that reached TensorRT's C++ would end the process."""
        try:
            return call(*arguments)
        except BaseException as error:
            self.failure = self.failure or error
            self.stopped = True
            return False

    def _now(self, name: str) -> Progress:
        roots = [phase for phase in self._phases if self._phases[phase].parent not in self._phases]
        fraction = min(1.0, max((self._fraction(root) for root in roots), default=0.0))
        self._furthest = max(self._furthest, fraction)
        return Progress(self._furthest, name)

    def _fraction(self, name: str) -> float:
        phase = self._phases[name]
        inner = [self._fraction(child) for child, other in self._phases.items() if other.parent == name]
        return min(1.0, (phase.done + min(1.0, max(inner, default=0.0))) / phase.steps)


def make_monitor(trt: TensorRT, watch: Watch) -> Any:
    """An `IProgressMonitor` of this module's that `watch` follows. The class is made now: its base is the module's."""
    parent = base(trt, "IProgressMonitor")

    class Monitor(parent):  # type: ignore[misc, valid-type]
        """Names and order of arguments are TensorRT's."""

        def __init__(self) -> None:
            parent.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            watch.guard(watch.start, phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return bool(watch.guard(watch.step, phase_name, step))

        def phase_finish(self, phase_name: str) -> None:
            watch.guard(watch.finish, phase_name)

    return Monitor()


@contextlib.contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """A function that says whether Ctrl-C was pressed since, to be asked from any thread.

    Python's own answer to Ctrl-C waits until the main thread runs Python again, and that sits in TensorRT for minutes.
    Its C handler writes the signal's number to a descriptor at once, which is read here. In another thread than the
    main one nobody can ask for that, and the function says False.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        there.setblocking(False)
        seen = bytearray()

        def pressed() -> bool:
            with contextlib.suppress(BlockingIOError):
                seen.extend(here.recv(64))
            return signal.SIGINT in seen

        before = signal.set_wakeup_fd(there.fileno(), warn_on_full_buffer=False)
        try:
            yield pressed
        finally:
            signal.set_wakeup_fd(before)
