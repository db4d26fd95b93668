"""An opened `cv2.VideoCapture` of something live: a camera, a GStreamer pipeline, a network stream."""

from __future__ import annotations

from typing import Any

import cv2

from edgeseg.errors import SourceError
from edgeseg.video.opencv import quiet_opencv
from edgeseg.video.pixels import to_bgr8
from edgeseg.video.sources.base import Clock, FrameRecord, Source

_TRIES = 10
"""Failed reads in a row that mean the source is gone; a single one happens when a packet is torn or the bus busy."""
_TRIED_FOR_S = 1.0
"""No further try after this time: a read that came back empty after so long has waited for its own timeout."""


class LiveCapture(Source):
    """Frames straight from the driver; `read` waits for the next one, as long as the driver does."""

    live = True

    def __init__(self, uri: str, what: str, capture: Any, clock: Clock, *, hint: str, fps_known: bool = True) -> None:
        """`what` names it in messages, and `hint` says what to do when it is gone.

        Without `fps_known` the capture's rate and time stamps are a guess, and not passed on.
        """
        fps = capture.get(cv2.CAP_PROP_FPS) if fps_known else 0.0
        super().__init__(uri, clock, fps if 1 <= fps <= 480 else None)
        self._what = what
        self._capture = capture
        self._hint = hint
        self._timed = fps_known

    def _take(self) -> FrameRecord | None:
        began_s = self.clock()
        for _ in range(_TRIES):
            # Two steps, so that the time stamp does not include the conversion from MJPG or YUYV.
            with quiet_opencv():
                grabbed = self._capture.grab()
            if grabbed:
                arrived_s = self.clock()
                decoded, pixels = self._capture.retrieve()
                if decoded:
                    frame_bgr = to_bgr8(pixels, f"{self._what}, frame {self.captured}")
                    stamp_s = media_s(self._capture, self.captured) if self._timed else None
                    return FrameRecord(self.captured, frame_bgr, arrived_s, f"{self.captured:06d}", stamp_s)
            if self.clock() - began_s > _TRIED_FOR_S:
                break
        raise SourceError(f"{self._what} gives no more frames after {self.captured}. {self._hint}")

    def close(self) -> None:
        """Give the device or the connection back."""
        self._capture.release()


def media_s(capture: Any, index: int) -> float | None:
    """The stream's own time stamp of the frame just read, in seconds; `None` where a capture has none (it says 0)."""
    stamp_ms = capture.get(cv2.CAP_PROP_POS_MSEC)
    return stamp_ms / 1e3 if stamp_ms > 0 or (stamp_ms == 0 and index == 0) else None
