"""Cameras, files, models and screens that take their time, on a clock of the test's choice."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scripted_stream import grey_frame

from edgeseg.errors import InputError
from edgeseg.labels import CAMVID, LabelMap
from edgeseg.types import Frame, Segmentation
from edgeseg.video.results import FrameResult
from edgeseg.video.sinks import Sink
from edgeseg.video.sources.base import FrameRecord, Source
from edgeseg.video.timing import Timing

FAILING_LEVEL = 13
"""Frames of this grey level cannot be segmented."""

PICTURE = grey_frame(200, (8, 8))


class TimedCamera(Source):
    """A frame every 1/fps seconds, by the clock, whether or not somebody reads. Wrap it in `NewestFrame`.

    After `hangs_after` frames it never answers again.
    """

    def __init__(self, timing: Timing, fps: float, frames: int, *, hangs_after: float = math.inf) -> None:
        super().__init__("camera", timing.clock, fps)
        self._timing = timing
        self._frames = frames
        self._hangs_after = hangs_after
        self._next_s = timing.clock()

    def _take(self) -> FrameRecord | None:
        if self.captured >= self._hangs_after:
            self._timing.sleep(math.inf)
        if self.captured == self._frames:
            return None
        assert self.fps is not None
        self._next_s += 1 / self.fps
        self._timing.sleep(self._next_s - self.clock())
        return FrameRecord(self.captured, PICTURE, self.clock(), f"{self.captured:06d}")


class TimedFile(Source):
    """Frames that take `decode_s` each. After `hangs_after` of them it never answers again."""

    def __init__(
        self, timing: Timing, frames: Sequence[Frame | Exception], decode_s: float, *, hangs_after: float = math.inf
    ) -> None:
        super().__init__("file", timing.clock)
        self._timing = timing
        self._script = list(frames)
        self._decode_s = decode_s
        self._hangs_after = hangs_after
        self.closed = 0

    def _take(self) -> FrameRecord | None:
        if self.captured >= self._hangs_after:
            self._timing.sleep(math.inf)
        if not self._script:
            return None
        began_s = self.clock()
        self._timing.sleep(self._decode_s)
        frame = self._script.pop(0)
        if isinstance(frame, Exception):
            raise frame
        return FrameRecord(self.captured, frame, began_s, f"{self.captured:06d}")

    def close(self) -> None:
        self.closed += 1


class TimedSegmenter:
    """Takes `seconds` for each frame, or what a function says of the frame's number."""

    label_map: LabelMap = CAMVID

    def __init__(self, timing: Timing, seconds: float | Callable[[int], float]) -> None:
        self._timing = timing
        self._seconds = seconds
        self.calls = 0

    def __call__(self, frame_bgr: Frame) -> Segmentation:
        if frame_bgr[0, 0, 0] == FAILING_LEVEL:
            raise InputError("thirteen")
        seconds = self._seconds(self.calls) if callable(self._seconds) else self._seconds
        self.calls += 1
        self._timing.sleep(seconds)
        return Segmentation(np.zeros(frame_bgr.shape[:2], np.uint8), 1e3 * seconds)


class Collector(Sink):
    """Keeps all results, and the moments at which pictures said that there was no new one; `work` takes its time."""

    def __init__(
        self,
        *,
        wants_picture: bool = False,
        work: Callable[[FrameResult], None] = lambda _: None,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        super().__init__()
        self.wants_picture = wants_picture
        self.results: list[FrameResult] = []
        self.times_s: list[float] = []
        self.dead_s: list[float] = []
        self._work = work
        self._clock = clock

    def write(self, result: FrameResult) -> None:
        self._work(result)
        self.results.append(result)
        self.times_s.append(self._clock())

    def waiting(self, picture_bgr: Frame) -> None:  # noqa: ARG002
        self.dead_s.append(self._clock())

    @property
    def indices(self) -> list[int]:
        return [result.record.index for result in self.results]


class Texts:
    """An overlay that paints nothing, and remembers what it was to say."""

    mode = "blend"

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.pictures: list[Frame | None] = []
        self.classes: list[Sequence[str] | None] = []

    def set_classes(self, names: Sequence[str] | None, /) -> None:
        self.classes.append(names)

    def paint(self, frame_bgr: Frame, *_: object, **__: object) -> Frame:
        return frame_bgr

    def waiting(self, picture_bgr: Frame | None, text: str) -> Frame:
        self.texts.append(text)
        self.pictures.append(picture_bgr)
        return PICTURE


def grey_frames(count: int) -> list[Frame | Exception]:
    """Frames of level 200, which every segmenter here takes."""
    return [PICTURE] * count
