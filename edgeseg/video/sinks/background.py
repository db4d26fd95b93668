"""Work that waits for a disk, on a thread of its own, so that the loop does not wait with it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Background(Generic[_T]):
    """Hands items to `job` on a thread, in order, as many at once as have gathered; at most `depth` wait.

    What `job` raises is raised by the next `put` or by `close`, once; what comes after it is thrown away.
    """

    def __init__(self, job: Callable[[list[_T]], None], name: str, depth: int) -> None:
        self._job = job
        self._depth = depth
        self._waiting: deque[_T] = deque()
        self._changed = threading.Condition()
        self._busy = self._closed = False
        self._error: BaseException | None = None
        self._failed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """Whether all that was put is done."""
        with self._changed:
            return not self._waiting and not self._busy

    def put(self, item: _T) -> None:
        """Hand over one item; waits while `depth` are waiting."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < self._depth or self._failed)
            self._raise_error()
            if not self._failed:
                self._waiting.append(item)
                self._changed.notify_all()

    def close(self) -> None:
        """Wait until all is done, and end the thread. Closing twice is harmless."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        self._raise_error()

    def _work(self) -> None:
        while items := self._take():
            try:
                self._job(items)
            except BaseException as error:  # raised where somebody can act on it
                with self._changed:
                    self._error, self._failed = error, True
                    self._waiting.clear()
                    self._changed.notify_all()
                return
            with self._changed:
                self._busy = False

    def _take(self) -> list[_T]:
        """All that waits; nothing once it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._closed)
            items = list(self._waiting)
            self._waiting.clear()
            self._busy = bool(items)
            self._changed.notify_all()
            return items

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
