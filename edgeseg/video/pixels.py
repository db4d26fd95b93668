"""What a capture device hands over → BGR uint8."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.data.images import MAX_PIXELS
from edgeseg.errors import DataError
from edgeseg.types import Frame


def to_bgr8(pixels: NDArray[Any] | None, where: str) -> Frame:
    """Grey, BGR or BGRA, uint8 or uint16 → BGR uint8 (H, W, 3); alpha is dropped, 16 bits keep their upper 8.

    Raises `DataError`, which begins with `where`, for anything else.
    """
    if pixels is None or pixels.size == 0:
        raise DataError(f"{where}: the frame is empty.")
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.ndim not in (2, 3) or channels not in (1, 3, 4) or pixels.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{where}: a frame of {pixels.dtype} {pixels.shape}; expected uint8 or uint16 with 1, 3 or 4 channels. "
            "Set the camera to BGR, MJPG or YUYV."
        )
    height, width = pixels.shape[:2]
    if height * width > MAX_PIXELS:
        raise DataError(
            f"{where}: {height}×{width} pixels; at most {MAX_PIXELS} are taken. Set the camera to a smaller picture."
        )
    narrow: NDArray[np.uint8] = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    if channels == 3:
        return np.ascontiguousarray(narrow)
    code = cv2.COLOR_GRAY2BGR if channels == 1 else cv2.COLOR_BGRA2BGR
    return np.asarray(cv2.cvtColor(narrow, code), np.uint8)
