"""A video file of the painted pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from edgeseg.errors import ConfigError, OutputError
from edgeseg.types import Frame
from edgeseg.video.opencv import quiet_opencv
from edgeseg.video.recording.recorder import Recorder
from edgeseg.video.recording.recovery import recover, recovered_name
from edgeseg.video.recording.unfinished import CONTAINERS, parts, unfinished_path
from edgeseg.video.results import FrameResult
from edgeseg.video.sinks.base import Sink

CODECS = {".mkv": "mp4v", ".avi": "MJPG", ".mp4": "mp4v"}
"""Video suffix → FourCC. MPEG-4 and Motion JPEG are what OpenCV's wheels can encode everywhere; they have no H.264."""

DEFAULT_FPS = 30.0
"""Rate written into a video file when the source does not know its own."""

_LONGEST_HOLD_S = 1.0
"""A live picture is held for at most this long, so that after a stall the loop is not kept busy with copies."""


class _Film(Protocol):
    """Takes the pictures of one size, one after the other."""

    def append(self, picture: Frame, at_s: float) -> None:
        """Add one; raises `OutputError` where the encoder or the disk refuses it."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


class VideoFileSink(Sink):
    """Writes the painted pictures into a video file.

    An .mkv or .mp4 outlives a kill or a power cut but for its last one or two seconds: see
    `edgeseg.video.recording.recorder`. What an earlier run left of such a recording is finished first, under another
    name, and noted. An .avi, of Motion JPEG, is written by OpenCV alone, under its name from the start.
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
        self._film: _Film | None = None
        self._size_wh = (0, 0)
        self._size_noted = False
        self._last = np.empty((0, 0, 3), np.uint8)
        self._began_s = 0.0
        self._slots = 0
        self._rescue()

    def write(self, result: FrameResult) -> None:
        """Append the picture; raises `OutputError` where the encoder or the disk refuses it."""
        picture = result.picture_bgr
        assert picture is not None, "the loop paints for sinks that want pictures"
        at_s = result.record.timestamp_s
        if self._film is None:
            self._size_wh = (picture.shape[1], picture.shape[0])
            self._film = self._open()
            self._began_s = at_s
            self._last = picture
        if picture.shape[1::-1] != self._size_wh:
            # The encoder drops a frame of another size without a word.
            self._note_size()
            picture = np.asarray(cv2.resize(picture, self._size_wh, interpolation=cv2.INTER_AREA), np.uint8)
        copies = self._copies(at_s)
        for _ in range(copies - 1):
            self._film.append(self._last, at_s)
        if copies > 0:
            self._film.append(picture, at_s)
        self._last = picture

    def close(self) -> None:
        """Finish the file; raises `OutputError` where its end cannot be written."""
        if self._film is not None:
            self._film.close()

    def _open(self) -> _Film:
        if self._path.suffix.lower() in CONTAINERS:
            return Recorder(self._path, self._fps, self._size_wh)
        return _OpenCvFilm(self._path, self._fps, self._size_wh)

    def _rescue(self) -> None:
        unfinished = unfinished_path(self._path)
        if self._path.suffix.lower() in CONTAINERS and (unfinished.exists() or parts(unfinished)):
            rescued = recover(unfinished, recovered_name(self._path))
            if rescued is not None:
                self.notes.append(f"what a killed run had recorded is in {rescued}")

    def _note_size(self) -> None:
        if not self._size_noted:
            self._size_noted = True
            width, height = self._size_wh
            self.notes.append(f"{self._path.name}: the frame size changed; all is written at {width}×{height}")

    def _copies(self, timestamp_s: float) -> int:
        """How many frames the file lacks up to now: one, or for a live source by the time that has passed."""
        if not self._live:
            return 1
        due = round((timestamp_s - self._began_s) * self._fps) + 1
        copies = max(0, due - self._slots)
        self._slots += copies
        return min(copies, int(self._fps * _LONGEST_HOLD_S))


class _OpenCvFilm:
    """A video that OpenCV writes alone."""

    def __init__(self, path: Path, fps: float, size_wh: tuple[int, int]) -> None:
        self._path = path
        code = cv2.VideoWriter.fourcc(*CODECS[path.suffix.lower()])
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("wb").close()  # for the operating system's reason, which OpenCV does not pass on
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror}). Choose another folder.") from error
        with quiet_opencv():
            self._writer = cv2.VideoWriter(str(path), code, fps, size_wh)
        if not self._writer.isOpened():
            others = ", ".join(suffix for suffix in CODECS if suffix != path.suffix.lower())
            raise OutputError(f"{path}: this OpenCV {cv2.__version__} cannot encode it. Try another of: {others}.")

    def append(self, picture: Frame, at_s: float) -> None:  # noqa: ARG002 - one part, whatever the time
        """Add one picture."""
        # None up to OpenCV 4.12, which does not notice a full disk.
        if self._writer.write(picture) is False:
            raise OutputError(f"{self._path}: the video cannot be continued. Is the disk full?")

    def close(self) -> None:
        """Finish the file."""
        self._writer.release()
