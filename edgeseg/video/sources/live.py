"""How long a live source may be silent, and how it is opened again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeseg.errors import ConfigError


@dataclass(frozen=True, slots=True)
class LiveConfig:
    """Settings of a live source. All times in seconds."""

    stalled_after_s: float = 0.4
    """Without a frame for so long it counts as stalled."""
    abandon_after_s: float = 2.0
    """Without a frame for so long it is given up and opened again."""
    first_frame_s: float = 5.0
    """The same for the first frame of a connection: with H.264 it comes only with the next key frame."""
    open_s: float = 10.0
    """An opening that takes longer is given up."""
    first_wait_s: float = 0.25
    """Before the first attempt to open it again; doubles with each further one."""
    longest_wait_s: float = 2.0
    """At most between two attempts: also after a long time without it, a camera is back within this and its opening."""
    give_up_after_s: float | None = None
    """Without a frame for so long the source ends with an error; never, if `None`."""

    def __post_init__(self) -> None:
        if self.give_up_after_s is not None and not self.give_up_after_s > 0:
            raise ConfigError(f"--give-up {self.give_up_after_s:g}: expected seconds above 0, or nothing for never.")

    def wait_s(self, attempt: int, rng: np.random.Generator) -> float:
        """Before attempt 1, 2, …: doubling up to the longest, of which chance takes away up to a half.

        So that not all who lost the same camera come back in the same moment.
        """
        wait_s = min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(attempt - 1, 30))
        return float(wait_s * rng.uniform(0.5, 1.0))
