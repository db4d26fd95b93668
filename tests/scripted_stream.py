"""A source, a clock and a segmenter that do what a test says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edgeseg.labels import CAMVID, LabelMap
from edgeseg.runtime.fake import FakeSession, by_brightness
from edgeseg.runtime.segmenter import Segmenter
from edgeseg.types import Frame
from edgeseg.video.opencv import quiet_opencv
from edgeseg.video.sources.base import FrameRecord, Source


class TickClock:
    """Seconds that pass only when told to, or by `step` at every look."""

    def __init__(self, step: float = 0.0) -> None:
        self.now = 0.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


class ScriptedSource(Source):
    """Gives frames, and raises the exceptions, in the order of the script."""

    def __init__(self, script: Sequence[Frame | Exception], clock: TickClock | None = None) -> None:
        super().__init__("scripted", clock or TickClock())
        self._script = list(script)
        self.closed = False

    def _take(self) -> FrameRecord | None:
        if not self._script:
            return None
        item = self._script.pop(0)
        if isinstance(item, Exception):
            raise item
        return FrameRecord(self.captured, item, self.clock(), f"{self.captured:06d}")

    def close(self) -> None:
        self.closed = True


def grey_frame(level: int, size_hw: tuple[int, int] = (24, 32)) -> Frame:
    """BGR uint8 (H, W, 3), all of one level."""
    return np.full((*size_hw, 3), level, np.uint8)


def brightness_segmenter(label_map: LabelMap = CAMVID) -> Segmenter:
    """A segmenter without a model: classes by brightness."""
    return Segmenter.from_session(FakeSession(by_brightness(len(label_map))), label_map)


def write_video(path: Path, frames: Sequence[Frame], fps: float = 25.0, codec: str = "MJPG") -> Path:
    """Write frames to a video file."""
    height, width = frames[0].shape[:2]
    with quiet_opencv():
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path
