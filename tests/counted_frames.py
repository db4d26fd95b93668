"""Frames that carry their number in the picture, so that a video tells which of them it has."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from edgeseg.types import Frame, Segmentation
from edgeseg.video.recording.parts import open_part, write_part
from edgeseg.video.results import FrameResult
from edgeseg.video.sources.base import FrameRecord

_BITS = 16
_CELL = 8
_ROW = _CELL * _BITS


def counted_frame(index: int, background: Frame | None = None) -> Frame:
    """BGR uint8 (48, 128, 3), or `background`, at least so wide, with the number over its upper edge."""
    frame = np.full((48, _ROW, 3), 90, np.uint8) if background is None else background.copy()
    bits = (index >> np.arange(_BITS)) & 1
    frame[:_CELL, :_ROW] = np.repeat(235 * bits + 10, _CELL).astype(np.uint8)[None, :, None]
    return frame


def number_of(frame: Frame) -> int:
    """The number in a frame, also after it was encoded."""
    cells = frame[:_CELL, :_ROW].reshape(_CELL, _BITS, _CELL, 3).mean(axis=(0, 2, 3))
    return int(((cells > 128) << np.arange(_BITS)).sum())


def numbers(path: Path) -> list[int]:
    """The numbers of all frames that OpenCV can read of a video."""
    capture = cv2.VideoCapture(str(path))
    found = []
    while (read := capture.read())[0]:
        found.append(number_of(np.asarray(read[1], np.uint8)))
    capture.release()
    return found


def counted_result(index: int, at_s: float | None = None, frame: Frame | None = None) -> FrameResult:
    """What the loop hands to a sink, at 30 frames a second unless `at_s` says when."""
    picture = counted_frame(index) if frame is None else frame
    record = FrameRecord(index, picture, index / 30 if at_s is None else at_s, f"{index:06d}")
    return FrameResult(record, Segmentation(np.zeros(picture.shape[:2], np.uint8), 1.0), "", picture)


def make_part(path: Path, indices: Iterable[int], fps: float = 30.0) -> Path:
    """A part of a recording with these frames."""
    writer = open_part(path, fps, (_ROW, 48))
    for index in indices:
        assert write_part(writer, counted_frame(index))
    writer.release()
    return path
