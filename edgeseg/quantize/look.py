"""What a frame looks like, in a few numbers: to spread a choice of frames, to find a picture again, to tell noise."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.types import Frame

_HASH_HW = (16, 17)
"""Grey picture that a hash is taken of; 16 comparisons in each of 16 rows are 256 bits."""
_SMALL_HW = (48, 64)
"""At this size noise is still noise, also where it was enlarged, and the grain of a camera is averaged away."""

NEAR_BITS = 32
"""Hashes that differ in no more bits are of one picture, or of a video's neighbours. Measured on CamVid: the same frame
as JPEG of quality 20, at half and double size, brighter or grey: 0 to 10 bits; its nearest frame of another split: 65;
frames of a foggy drive 1.3 s apart: 46."""

LEAST_CORRELATION = 0.5
"""Of neighbouring pixels, at full size and at 64×48. Measured: 0.62 in the worst of 60 frames of the synthetic drive in
all weathers, 0.73 in COCO, VOC, KITTI, Pets and all of CamVid; 0.02 in noise, 0.42 in noise enlarged 8 times."""

LEAST_CONTRAST = 2.0
"""Standard deviation of the grey values; below, a frame shows nothing. Measured: 11 in the faintest picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A frame in a few numbers."""

    sha256: str
    """Of its pixels and size."""
    bits: NDArray[np.bool_]
    """(256) perceptual hash: whether each place of a tiny grey picture is brighter than the one left of it."""
    brightness: float
    """Mean grey value, 0 to 255."""
    contrast: float
    """Standard deviation of the grey values."""
    correlation: float
    """Pearson's r of neighbouring grey values, the least of rows and columns, full size and 64×48."""

    @property
    def is_constant(self) -> bool:
        """Whether the frame shows nothing."""
        return self.contrast < LEAST_CONTRAST

    @property
    def is_noise(self) -> bool:
        """Whether neighbouring pixels have nothing to do with each other, as in no photograph."""
        return not self.is_constant and self.correlation < LEAST_CORRELATION

    def distance(self, other: Look) -> int:
        """Bits in which the hashes differ, 0 to 256."""
        return int(np.count_nonzero(self.bits != other.bits))


def look_at(frame_bgr: Frame) -> Look:
    """Describe a frame, uint8 (H, W, 3) BGR. The hash is a difference hash (N. Krawetz, "Kind of Like That", 2013)."""
    grey = np.asarray(cv2.cvtColor(frame_bgr, cv2.COLOR_BGR2GRAY), np.uint8)
    tiny = _shrunk(grey, _HASH_HW)
    return Look(
        sha256=pixel_sha256(frame_bgr),
        bits=(tiny[:, 1:] > tiny[:, :-1]).ravel(),
        brightness=float(grey.mean()),
        contrast=float(grey.std()),
        correlation=min(_correlation(grey), _correlation(_shrunk(grey, _SMALL_HW))),
    )


def pixel_sha256(frame_bgr: Frame) -> str:
    """Hexadecimal SHA-256 of a frame's size and pixels, however the file was packed."""
    digest = hashlib.sha256(repr(frame_bgr.shape).encode())
    digest.update(np.ascontiguousarray(frame_bgr).data)
    return digest.hexdigest()


def _shrunk(grey: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(grey, size_hw[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def _correlation(grey: NDArray[np.uint8]) -> float:
    values = grey.astype(np.float32)
    return min(_pearson(values[:, 1:], values[:, :-1]), _pearson(values[1:], values[:-1]))


def _pearson(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """1.0 where one of them does not vary: nothing speaks against a relation."""
    if not first.size:
        return 1.0
    a, b = first - first.mean(), second - second.mean()
    spread = float(np.sqrt(np.sum(a * a, dtype=np.float64) * np.sum(b * b, dtype=np.float64)))
    return float(np.sum(a * b, dtype=np.float64)) / spread if spread > 0 else 1.0
