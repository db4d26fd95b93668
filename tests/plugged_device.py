"""A camera on a plug, in virtual time: it can be pulled out and put back, hang, and counts who holds it open."""

from __future__ import annotations

import math

from scripted_stream import grey_frame
from virtual_time import VirtualTime

from edgeseg.errors import DataError, SourceError
from edgeseg.video.sources.base import FrameRecord, Source


class Device:
    """What a test does to the camera. `connect` is what a driver does."""

    def __init__(self, time: VirtualTime, fps: float = 30.0, opening_s: float = 0.05) -> None:
        self.time = time
        self.fps = fps
        self.opening_s = opening_s
        """How long opening takes; `math.inf` is for ever."""
        self.plugged = True
        self.silent = False
        """Reads wait, and go on when it is taken back; those of an unplugged camera fail."""
        self.torn = False
        """Frames come that cannot be used."""
        self.held = 0
        """Handles that are open."""
        self.openings = 0
        self.plugs = 0
        self.changed = time.condition()

    def unplug(self) -> None:
        """Pull it out."""
        self.plugged = False
        self.changed.notify_all()

    def plug(self) -> None:
        """Put it back. Handles from before stay dead."""
        self.plugged = True
        self.plugs += 1

    def speak(self) -> None:
        """No longer silent."""
        self.silent = False
        self.changed.notify_all()

    def connect(self) -> Source:
        """Open it; raises `SourceError` when it is not there."""
        self.openings += 1
        self.time.sleep(self.opening_s)
        if not self.plugged:
            raise SourceError("the device is not there")
        self.held += 1
        return _Handle(self)


class _Handle(Source):
    live = True

    def __init__(self, device: Device) -> None:
        super().__init__("device", device.time.clock, device.fps if math.isfinite(device.fps) else None)
        self._device = device
        self._plug = device.plugs
        self._open = True

    def _take(self) -> FrameRecord | None:
        device = self._device
        device.time.sleep(1 / device.fps)
        device.changed.wait_for(lambda: not device.silent or not device.plugged)
        if not device.plugged or device.plugs != self._plug:
            raise SourceError("the device is gone")
        if device.torn:
            raise DataError("a torn frame")
        stamp_s = self.captured / device.fps
        return FrameRecord(self.captured, grey_frame(1), self.clock(), f"{self.captured:06d}", stamp_s)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._device.held -= 1
