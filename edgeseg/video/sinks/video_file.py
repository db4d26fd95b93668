"""A video file of the painted pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edgeseg.errors import ConfigError, OutputError
from edgeseg.types import Frame
from edgeseg.video.opencv import quiet_opencv
from edgeseg.video.results import FrameResult
from edgeseg.video.sinks.base import Sink

CODECS = {".mkv": "mp4v", ".avi": "MJPG", ".mp4": "mp4v"}
"""Video suffix → FourCC. MPEG-4 and Motion JPEG are what OpenCV's wheels can encode everywhere; they have no H.264."""

DEFAULT_FPS = 30.0
"""Rate written into a video file when the source does not know its own."""

_LONGEST_HOLD_S = 1.0
"""A live picture is held for at most this long, so that after a stall the loop is not kept busy with copies."""


class VideoFileSink(Sink):
    """Writes the painted pictures into a video file, under its final name from the start.

    A Matroska file (.mkv) whose process is killed plays up to some 5 seconds before; an .mp4 is then lost.
    A file has one frame size, that of the first picture; others are scaled to it. Files get every frame; with `live`,
    pictures are held or skipped so that the recording plays at the speed at which it happened.
    """

    wants_picture = True

    def __init__(self, path: Path, *, fps: float | None = None, live: bool = False) -> None:
        if path.suffix.lower() not in CODECS:
            found = path.suffix or "a video without suffix"
            raise ConfigError(f"{path}: cannot write {found}; name it with one of: {', '.join(CODECS)}.")
        if path.is_dir():
            raise ConfigError(f"{path} is a folder; name a video file in it, such as {path / 'out.mkv'}.")
        super().__init__()
        self._path = path
        self._fps = fps or DEFAULT_FPS
        self._live = live
        self._writer: cv2.VideoWriter | None = None
        self._size_wh = (0, 0)
        self._last = np.empty((0, 0, 3), np.uint8)
        self._began_s = 0.0
        self._slots = 0

    def write(self, result: FrameResult) -> None:
        """Append the picture; raises `OutputError` where the encoder or the disk refuses it."""
        picture = result.picture_bgr
        assert picture is not None, "the loop paints for sinks that want pictures"
        if self._writer is None:
            self._writer = self._open(picture)
            self._began_s = result.record.timestamp_s
            self._last = picture
        if picture.shape[1::-1] != self._size_wh:
            # The encoder drops a frame of another size without a word.
            if not self.notes:
                width, height = self._size_wh
                self.notes.append(f"{self._path.name}: the frame size changed; all is written at {width}×{height}")
            picture = np.asarray(cv2.resize(picture, self._size_wh, interpolation=cv2.INTER_AREA), np.uint8)
        copies = self._copies(result.record.timestamp_s)
        for _ in range(copies - 1):
            self._append(self._last)
        if copies > 0:
            self._append(picture)
        self._last = picture

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()

    def _append(self, picture: Frame) -> None:
        assert self._writer is not None
        # None up to OpenCV 4.12, which does not notice a full disk.
        if self._writer.write(picture) is False:
            raise OutputError(f"{self._path}: the video cannot be continued. Is the disk full?")

    def _open(self, picture: Frame) -> cv2.VideoWriter:
        self._size_wh = (picture.shape[1], picture.shape[0])
        code = cv2.VideoWriter.fourcc(*CODECS[self._path.suffix.lower()])
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.open("wb").close()  # for the operating system's reason, which OpenCV does not pass on
        except OSError as error:
            raise OutputError(f"{self._path}: cannot be written ({error.strerror}). Choose another folder.") from error
        with quiet_opencv():
            writer = cv2.VideoWriter(str(self._path), code, self._fps, self._size_wh)
        if not writer.isOpened():
            raise OutputError(
                f"{self._path}: this OpenCV {cv2.__version__} cannot encode it. Try another of: {', '.join(CODECS)}."
            )
        return writer

    def _copies(self, timestamp_s: float) -> int:
        """How many frames the file lacks up to now: one, or for a live source by the time that has passed."""
        if not self._live:
            return 1
        due = round((timestamp_s - self._began_s) * self._fps) + 1
        copies = max(0, due - self._slots)
        self._slots += copies
        return min(copies, int(self._fps * _LONGEST_HOLD_S))
