"""A camera that the operating system knows: by number, or by its device file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from edgeseg.errors import SourceError
from edgeseg.video.opencv import quiet_opencv
from edgeseg.video.pixels import to_bgr8
from edgeseg.video.sources.base import CAMERA, Clock, FrameRecord, Source
from edgeseg.video.sources.newest import NewestFrame

_GIVE_UP_AFTER = 10
"""Failed reads in a row that mean the camera is gone; a single one happens when the exposure or the cable is busy."""


class Camera(Source):
    """Frames straight from the driver; `read` waits for the next one."""

    live = True

    def __init__(self, device: str, clock: Clock, open_capture: Callable[[int], Any] = cv2.VideoCapture) -> None:
        number = int(device.removeprefix("/dev/video"))
        with quiet_opencv():
            self._capture = open_capture(number)
        if not self._capture.isOpened():
            self._capture.release()
            raise SourceError(_why_closed(number, Path("/dev")))
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        super().__init__(device, clock, fps if 1 <= fps <= 480 else None)

    def _take(self) -> FrameRecord | None:
        for _ in range(_GIVE_UP_AFTER):
            # Two steps, so that the time stamp does not include the conversion from MJPG or YUYV.
            if self._capture.grab():
                arrived = self.clock()
                decoded, pixels = self._capture.retrieve()
                if decoded:
                    frame_bgr = to_bgr8(pixels, f"camera {self.uri}, frame {self.captured}")
                    return FrameRecord(self.captured, frame_bgr, arrived, f"{self.captured:06d}")
        raise SourceError(
            f"camera {self.uri} gives no more frames after {self.captured}. Check its cable, and dmesg for USB errors."
        )

    def close(self) -> None:
        """Give the device back."""
        self._capture.release()


def open_camera(device: str, clock: Clock) -> NewestFrame:
    """Open a camera so that its newest frame wins; raises `SourceError` saying what to check if it does not open."""
    if not CAMERA.fullmatch(device):
        raise SourceError(f"camera {device!r}: expected a number (0, 1, …) or a device file such as /dev/video0.")
    return NewestFrame(Camera(device, clock))


def _why_closed(number: int, devices: Path) -> str:
    """What to check when camera `number` does not open, by what is in the folder `devices`."""
    here = sorted(entry.name for entry in devices.glob("video*") if CAMERA.fullmatch(f"/dev/{entry.name}"))
    if f"video{number}" in here:
        return (
            f"camera {number} (/dev/video{number}) is there but does not open. Is another program using it "
            f"(fuser /dev/video{number}), and is your user in the group video?"
        )
    if here:
        return f"there is no camera {number}; this machine has: {', '.join(f'/dev/{name}' for name in here)}."
    return f"there is no camera {number}, nor any /dev/video*. Is it plugged in, and passed into this container?"
