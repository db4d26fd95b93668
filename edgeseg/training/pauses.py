"""What may come between two steps: writing the state, stopping, failing. All processes do the same."""

from __future__ import annotations

import enum
from collections.abc import Callable

from edgeseg.errors import EdgesegError
from edgeseg.training import distributed


class Pause(enum.IntEnum):
    """What a process wants before a step; the highest wins on all of them."""

    NONE = 0
    SAVE = 1
    STOP = 2
    FAIL = 3


class Pauses:
    """Says what comes before the next step. Saving is due so many seconds of `clock` after it was last done."""

    def __init__(self, save_every_s: float | None, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._save_every_s = save_every_s
        self._saved_at_s = clock()

    def saved(self) -> None:
        """The state was written, for whatever reason."""
        self._saved_at_s = self._clock()

    def agree(self, stop: bool, failure: EdgesegError | None) -> Pause:
        """NONE, SAVE or STOP, the same on every process; a failure of any of them is raised here, once."""
        wish = Pause.FAIL if failure else Pause.STOP if stop else Pause.SAVE if self._save_is_due() else Pause.NONE
        agreed = Pause(distributed.highest(wish))
        if agreed is Pause.FAIL:
            distributed.raise_together(failure)
        return agreed

    def _save_is_due(self) -> bool:
        return self._save_every_s is not None and self._clock() - self._saved_at_s >= self._save_every_s
