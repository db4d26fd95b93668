"""What the camera's health is made of."""

from __future__ import annotations

from dataclasses import dataclass

FAULTS = ("blackout", "whiteout", "frozen", "blurred", "occluded", "wrong_colours", "reversed_time")
"""What can be the matter with a camera whose frames still arrive."""


@dataclass(frozen=True, slots=True)
class Health:
    """The camera's faults at one frame, names from `FAULTS`; none is a healthy camera."""

    faults: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is the matter."""
        return not self.faults


HEALTHY = Health()
