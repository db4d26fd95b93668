"""The camera's health, frame by frame: every detector looks at the same small picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgeseg.video.health.base import FAULTS, HEALTHY, Health
from edgeseg.video.health.blackout import Blackout
from edgeseg.video.health.blurred import Blurred
from edgeseg.video.health.colours import WrongColours
from edgeseg.video.health.frozen import Frozen
from edgeseg.video.health.look import Look, look_at
from edgeseg.video.health.occluded import Occluded
from edgeseg.video.health.reversed_time import ReversedTime
from edgeseg.video.health.whiteout import Whiteout
from edgeseg.video.sources.base import FrameRecord

Detector = Callable[[Look], bool]
"""Takes the frames of one stream in order; returns whether its fault is there."""

DETECTORS: Mapping[str, Callable[[float], Detector]] = {
    "blackout": Blackout,
    "whiteout": Whiteout,
    "frozen": Frozen,
    "blurred": Blurred,
    "occluded": Occluded,
    "wrong_colours": WrongColours,
    "reversed_time": ReversedTime,
}
"""Fault → what makes its detector, given the frames per second."""

NO_PICTURE = ("blackout", "whiteout")
"""Where one of these is there, nothing else can be said, and the other detectors do not look."""

DEFAULT_FPS = 30.0


class HealthMonitor:
    """Takes a stream's frames in order and tells the camera's faults. Deterministic; memory does not grow.

    `fps` (frames per second, 30 where it is not known) only sets how long a fault is still reported after its signs
    have gone. A frame of another size than the one before begins anew: a camera that changes its mode is another one.
    """

    def __init__(self, fps: float | None = None) -> None:
        self._fps = fps or DEFAULT_FPS
        self._size_hw: tuple[int, ...] | None = None
        self._detectors: dict[str, Detector] = {}

    def __call__(self, record: FrameRecord) -> Health:
        """The camera's faults at this frame, BGR uint8 (H, W, 3) of any size, in the order of `FAULTS`."""
        size_hw = record.frame_bgr.shape[:2]
        if size_hw != self._size_hw:
            self._size_hw = size_hw
            self._detectors = {fault: make(self._fps) for fault, make in DETECTORS.items()}
        look = look_at(record)
        gone = {fault for fault in NO_PICTURE if self._detectors[fault](look)}
        if gone:
            return Health(tuple(fault for fault in FAULTS if fault in gone))
        faults = {name for name, detector in self._detectors.items() if name not in NO_PICTURE and detector(look)}
        return Health(tuple(fault for fault in FAULTS if fault in faults)) if faults else HEALTHY
