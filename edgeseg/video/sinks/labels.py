"""A folder of label PNGs."""

from __future__ import annotations

from pathlib import Path

import cv2

from edgeseg.errors import OutputError
from edgeseg.files import write_group
from edgeseg.types import Labels
from edgeseg.video.results import FrameResult
from edgeseg.video.sinks.background import Background
from edgeseg.video.sinks.base import Sink

_DEPTH = 16
"""Frames that may wait for the disk: half a second, and 15 MB at 1280×720."""


class LabelSink(Sink):
    """Writes the labels of each frame as `FOLDER/NAME.png`: grey uint8, one class id per pixel, whole or absent.

    Encoding and the wait for the disk are on a thread, which writes together what has gathered. Where the disk is
    slower than the frames, `write` waits: no frame is left out. Raises `OutputError` where a file is in the way.
    """

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder}: is a file; label PNGs go into a folder. Choose another name.")
        super().__init__()
        self._folder = folder
        self._writer: Background[tuple[str, Labels]] = Background(self._write, "edgeseg-labels", _DEPTH)

    def write(self, result: FrameResult) -> None:
        """Take one frame's labels; raises `OutputError` where the file system refused those of one before."""
        self._writer.put((result.record.name, result.segmentation.labels))

    def close(self) -> None:
        """Wait until all is on the disk; raises `OutputError` where the file system refused one."""
        self._writer.close()

    def _write(self, frames: list[tuple[str, Labels]]) -> None:
        # OpenCV's own settings, level 1 with run lengths: any level that is named costs three times as long.
        write_group(
            {self._folder / f"{name}.png": cv2.imencode(".png", labels)[1].tobytes() for name, labels in frames}
        )
