"""When the picture on the screen must be called dead: a frozen one that looks alive is the worst that can happen."""

from __future__ import annotations

from collections import deque
from statistics import median_low

from edgeseg.video.sources.base import Source

STALE_AFTER_S = 0.4
"""Age at which a picture is called stale. Until half a second there is time for the banner to reach the eye."""
_CARD_AFTER_S = 0.25
"""Before the first frame: a card that flashes up for less would only disturb."""
_REPEAT_S = 0.2
"""The seconds are counted up this often, so that who looks sees that the picture stands and not the program."""
_PATIENCE = 1.25
"""A picture may get older by this than the backend and the camera's rate make it, before it is called stale."""
_REMEMBERED, _ENOUGH = 9, 3
"""The usual age of a picture is the median of the last ones. The very first are slower: libraries warm up."""


class Standstill:
    """Watches the time since the picture on the screen: since its capture for a live source, else since it was shown.

    It is called stale after `after_s`; without that, after `STALE_AFTER_S`, or later where the backend or the camera's
    nominal rate is slow. Gaps between frames that a camera promised to fill are never got used to.
    """

    def __init__(self, source: Source, after_s: float | None) -> None:
        self._source = source
        self._after_s = after_s
        self._nominal_s = 1 / source.fps if source.live and source.fps else 0.0
        self._ages_s: deque[float] = deque(maxlen=_REMEMBERED)
        self._seen = False
        self._reference_s = source.clock()
        self._next_s = self._reference_s + _CARD_AFTER_S

    def shown(self, captured_s: float) -> None:
        """A frame of that moment is on the screen now."""
        now_s = self._source.clock()
        self._ages_s.append(now_s - captured_s)
        self._seen = True
        self._count_from(captured_s if self._source.live else now_s)

    def restart(self) -> None:
        """After a pause: pictures may come again."""
        self._count_from(self._source.clock())

    def due_in_s(self) -> float:
        """Seconds until the next picture that says that there is none; 0 if it is due."""
        return max(0.0, self._next_s - self._source.clock())

    def text(self) -> str:
        """What that picture says; the one after it is due a moment later."""
        now_s = self._source.clock()
        self._next_s = now_s + _REPEAT_S
        reconnecting = self._source.state.link == "reconnecting"
        if not self._seen:
            return "RECONNECTING" if reconnecting else "NO PICTURE YET"
        why = "RECONNECTING" if reconnecting else "STALE"
        return f"{why}: this picture is {now_s - self._reference_s:.1f} s old"

    def _count_from(self, moment_s: float) -> None:
        self._reference_s = moment_s
        self._next_s = moment_s + (self._limit_s() if self._seen else _CARD_AFTER_S)

    def _limit_s(self) -> float:
        if self._after_s is not None:
            return self._after_s
        usual_s = median_low(self._ages_s) if len(self._ages_s) >= _ENOUGH else 0.0
        # A picture stays on the screen until the next: the one in the backend meanwhile, or the camera's next.
        return max(STALE_AFTER_S, _PATIENCE * (usual_s + max(usual_s, self._nominal_s)))
