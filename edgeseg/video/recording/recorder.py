"""Records pictures so that a kill or a power cut costs the last second or two, and nothing before.

OpenCV's own writer keeps up to five seconds in memory, and for an .mp4 the whole index. Here it encodes parts of one
second into files of their own; a thread adds each to the growing recording and waits for the disk, so that the loop
does not. At the end there is only an index to write, however long the recording is.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import replace
from pathlib import Path

import cv2

from edgeseg.errors import OutputError
from edgeseg.files import fsync_folder
from edgeseg.types import Frame
from edgeseg.video.recording.growing import GrowingVideo, rate_of
from edgeseg.video.recording.parts import open_part, read_part, write_part
from edgeseg.video.recording.unfinished import CONTAINERS, open_owned, part_path, unfinished_path

PART_S = 1.0
"""A part ends after this long, on the recording's clock or on the caller's, whichever is first."""


class Recorder:
    """Writes pictures of one size into `target`, which is there when `close` returns; till then see `unfinished`."""

    def __init__(self, target: Path, fps: float, size_wh: tuple[int, int]) -> None:
        self._target = target
        self._unfinished = unfinished_path(target)
        self._fps = fps
        self._size_wh = size_wh
        self._part_frames = max(1, round(fps * PART_S))
        self._writer: cv2.VideoWriter | None = None
        self._part = Path()
        self._in_part = 0
        self._part_began_s = 0.0
        self._handed = 0
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._file = open_owned(self._unfinished, "x+")
        except OSError as error:
            raise OutputError(f"{target}: cannot be written ({error.strerror}). Choose another folder.") from error
        self._video: GrowingVideo | None = None
        self._left_out = False
        """A part could not be added, so the recording must not be finished without it."""
        self._failure: str | None = None
        self._told = False
        self._closed = False
        self._queue: queue.SimpleQueue[tuple[Path, int] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._gather, name=f"recorder of {target.name}", daemon=True)
        self._thread.start()

    def append(self, picture: Frame, at_s: float) -> None:
        """Add BGR uint8 (H, W, 3), taken at `at_s` on the caller's clock. Raises `OutputError` once one failed."""
        if self._writer is None or self._in_part >= self._part_frames or at_s - self._part_began_s >= PART_S:
            self._next_part(at_s)
        assert self._writer is not None
        if not write_part(self._writer, picture):
            self._failure = self._failure or "the encoder takes no more; is the disk full?"
        self._raise_failure()
        self._in_part += 1
        self._handed += 1

    def close(self) -> None:
        """Finish the recording; raises `OutputError` if it failed and nobody knows. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self._end_part()
        self._queue.put(None)
        self._thread.join()
        try:
            self._finish()
        except OSError as error:
            self._failure = self._failure or str(error.strerror or error)
        finally:
            self._file.close()
        if not self._told:
            self._raise_failure()

    def _finish(self) -> None:
        if self._left_out:
            return
        if self._video is None:
            self._unfinished.unlink()
            return
        self._video.finish()
        self._unfinished.replace(self._target)
        fsync_folder(self._target.parent)

    def _next_part(self, at_s: float) -> None:
        self._end_part()
        self._raise_failure()
        self._part = part_path(self._unfinished, self._handed)
        self._in_part = 0
        self._part_began_s = at_s
        self._writer = open_part(self._part, self._fps, self._size_wh)
        if not self._writer.isOpened():
            self._writer = None
            self._failure = f"OpenCV {cv2.__version__} here cannot encode MPEG-4, or the disk is full"
            self._raise_failure()

    def _end_part(self) -> None:
        if self._writer is not None:
            self._writer.release()
            self._writer = None
            self._queue.put((self._part, self._in_part))

    def _gather(self) -> None:
        """The thread: add part after part."""
        while (item := self._queue.get()) is not None:
            if self._left_out:
                continue
            try:
                self._take(*item)
            except BaseException as error:
                self._left_out = True
                self._failure = self._failure or str(getattr(error, "strerror", None) or error)
                if not isinstance(error, OSError):
                    raise  # a defect: its traceback is shown, and the parts are kept

    def _take(self, part: Path, handed: int) -> None:
        track, packets = read_part(part)
        if len(packets) < handed:
            self._failure = self._failure or "a part of it is torn; is the disk full?"
        if track is not None:
            if self._video is None:
                container = CONTAINERS[self._target.suffix.lower()]
                self._video = container(self._file, replace(track, rate=rate_of(self._fps)))
                fsync_folder(self._unfinished.parent)
            self._video.append(packets)
        part.unlink()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            self._told = True
            raise OutputError(
                f"{self._target}: the recording broke off ({self._failure}). What was recorded before is kept; "
                f"if it is not there: edgeseg recover {self._target}"
            )
