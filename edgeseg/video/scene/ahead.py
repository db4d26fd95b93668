"""Somebody on the road ahead: an event with hysteresis, measured in seconds and not in frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgeseg.errors import ConfigError
from edgeseg.video.scene.base import Person

PERSON_AHEAD, PATH_CLEAR = "person_ahead", "path_clear"

_LONGEST_STEP_S = 0.5
"""A longer time between two frames counts as this much: nobody saw what was in between."""


@dataclass(frozen=True, slots=True)
class AheadConfig:
    """Where "ahead" is in the picture, and how long it takes to be believed.

    The corridor is a trapezoid, upright and in the picture's middle. As it stands it is the lane of 3.5 m and a quarter
    of a metre on each side, from the lower edge to some 28 m, for a camera 1.35 m above a flat road, focal length 1.3
    times the picture's height, horizon at 0.52 of it: a usual dashcam.
    """

    top_row: float = 0.58
    """Upper edge of the corridor, as a share of the picture's height from the top."""
    top_width: float = 0.11
    """Width of the upper edge, as a share of the picture's width."""
    bottom_width: float = 0.8
    """Width at the picture's lower edge, as a share of its width."""
    confirm_s: float = 0.2
    """Somebody must be seen in the corridor for so long, until the event begins: a flicker is over sooner."""
    clear_s: float = 0.8
    """The corridor must be empty for so long, until it ends: a person may be lost for some frames."""

    def __post_init__(self) -> None:
        if not 0 <= self.top_row < 1:
            raise ConfigError(f"top_row={self.top_row}: expected a share of the picture's height, 0 to below 1.")
        for name in ("top_width", "bottom_width"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name}={getattr(self, name)}: expected a share of the picture's width, 0 to 1.")
        for name in ("confirm_s", "clear_s"):
            if not 0 < getattr(self, name) < 60:
                raise ConfigError(f"{name}={getattr(self, name)}: expected seconds, above 0 and below 60.")


def in_corridor(person: Person, size_hw: tuple[int, int], config: AheadConfig) -> bool:
    """Whether any part of the feet's row is inside the corridor of a picture (H, W)."""
    height, width = size_hw
    left, top, person_width, person_height = person.box_xywh
    row = (top + person_height) / height
    if row < config.top_row:
        return False
    along = (row - config.top_row) / (1 - config.top_row)
    half = width * (config.top_width + along * (config.bottom_width - config.top_width)) / 2
    return left < width / 2 + half and left + person_width > width / 2 - half


class AheadEvent:
    """Turns what single frames say into `person_ahead` and `path_clear`, each once.

    Only time between two frames that say the same counts, so one frame alone never changes the state, at any rate. Time
    without a person takes away from what was seen before the event, so that a person seen in three frames of four is
    believed, and one in one of four is not. Between two changes there is at least the time that the later one takes.
    """

    def __init__(self, config: AheadConfig | None = None) -> None:
        self.config = config or AheadConfig()
        self.ahead = False
        """Whether the event is on."""
        self._seen_before = False
        self._time_s: float | None = None
        self._evidence_s = 0.0

    def step(self, seen: bool, time_s: float) -> str | None:
        """Take the next frame, at `time_s`; returns the event that begins with it, mostly `None`."""
        step_s = 0.0 if self._time_s is None else min(max(time_s - self._time_s, 0.0), _LONGEST_STEP_S)
        if seen != self._seen_before:
            step_s = 0.0
        self._time_s, self._seen_before = time_s, seen
        if self.ahead:
            # Being seen once more starts the wait anew.
            self._evidence_s = 0.0 if seen else self._evidence_s + step_s
            if self._evidence_s < self.config.clear_s:
                return None
        else:
            self._evidence_s = max(0.0, self._evidence_s + (step_s if seen else -step_s))
            if self._evidence_s < self.config.confirm_s:
                return None
        self.ahead = not self.ahead
        self._evidence_s = 0.0
        return PERSON_AHEAD if self.ahead else PATH_CLEAR


def anybody_ahead(people: Iterable[Person], size_hw: tuple[int, int], config: AheadConfig) -> bool:
    """Whether anybody who stands on the road is in the corridor of a picture (H, W)."""
    return any(person.on_road and in_corridor(person, size_hw, config) for person in people)
