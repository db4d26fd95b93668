"""A folder of label PNGs."""

from __future__ import annotations

from pathlib import Path

import cv2

from edgeseg.files import write_bytes
from edgeseg.video.results import FrameResult
from edgeseg.video.sinks.base import Sink


class LabelSink(Sink):
    """Writes the labels of each frame as `FOLDER/NAME.png`: grey uint8, one class id per pixel, each file whole."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def write(self, result: FrameResult) -> None:
        """Write one file; raises `OutputError` where the file system refuses it."""
        _, encoded = cv2.imencode(".png", result.segmentation.labels)
        write_bytes(self._folder / f"{result.record.name}.png", encoded.tobytes())
