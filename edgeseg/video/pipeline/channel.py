"""A bounded queue between two stages of the loop."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from edgeseg.video.timing import Timing

_T = TypeVar("_T")


class Channel(Generic[_T]):
    """Hands items from one thread to another, in order, at most `depth` on the way.

    `queue.Queue` cannot be closed before Python 3.13, and knows no time but the real one.
    """

    def __init__(self, depth: int, timing: Timing) -> None:
        self._depth = depth
        self._items: deque[_T] = deque()
        self._changed = timing.condition()
        self._finished = self._closed = False
        self.peak = 0
        """The most items that ever waited here."""

    def wait_for_room(self) -> bool:
        """Wait until an item could be put without waiting; False once it is closed.

        Who takes its own work only then takes the newest there is, and does not grow old with it at a full queue.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._depth or self._closed)
            return not self._closed

    def put(self, item: _T) -> bool:
        """Append an item, waiting for room; False, and the item is not taken, once it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._depth or self._closed)
            if self._closed:
                return False
            self._items.append(item)
            self.peak = max(self.peak, len(self._items))
            self._changed.notify_all()
            return True

    def get(self, timeout_s: float | None = None) -> _T | None:
        """The oldest item, waited for at most `timeout_s`; `None` after that, or at once when it has `ended`."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items) or self._finished or self._closed, timeout_s)
            if not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    @property
    def ended(self) -> bool:
        """Whether nothing will come any more."""
        with self._changed:
            return not self._items and (self._finished or self._closed)

    def finish(self) -> None:
        """Say that no more is put; what is on its way can still be got."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def close(self) -> None:
        """Throw away what is on its way, and let nobody wait any longer."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
