"""Where each pixel of a frame was in the frame before: dense optical flow, and whether it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.types import Frame, Labels

_RELATIVE, _ABSOLUTE_PX2 = 0.01, 0.5
"""Flow forth and back may differ by |difference|² < 0.01 (|forth|² + |back|²) + 0.5 (Sundaram, Brox, Keutzer, "Dense
Point Trajectories by GPU-Accelerated Large Displacement Optical Flow", ECCV 2010)."""

_LARGEST_SIDE_PX = 512
"""Larger frames are halved until they fit: the flow is smooth, and its cost grows with the pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """For each pixel of the newer frame: its place in the older one, and whether flow forth and back agree on it."""

    from_x: NDArray[np.float32]
    from_y: NDArray[np.float32]
    trusted: NDArray[np.bool_]
    """False for what was hidden in the older frame, came from outside it, or moves unclearly."""

    def warp(self, older: Labels) -> Labels:
        """Labels uint8 (H, W) of the older frame, moved to where they are in the newer; nearest neighbour."""
        return np.asarray(cv2.remap(older, self.from_x, self.from_y, cv2.INTER_NEAREST), np.uint8)


def motion_between(older_bgr: Frame, newer_bgr: Frame) -> Motion:
    """Motion between two BGR uint8 frames (H, W, 3) of one size.

    Flow is that of Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016, by OpenCV, both ways.
    """
    height, width = newer_bgr.shape[:2]
    back = _flow(newer_bgr, older_bgr)
    forth = _flow(older_bgr, newer_bgr)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    from_x, from_y = x + back[..., 0], y + back[..., 1]
    forth_there = np.asarray(cv2.remap(forth, from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    gap = ((forth_there + back) ** 2).sum(axis=2)
    allowed = _RELATIVE * ((forth_there**2).sum(axis=2) + (back**2).sum(axis=2)) + _ABSOLUTE_PX2
    inside = (from_x >= 0) & (from_x <= width - 1) & (from_y >= 0) & (from_y <= height - 1)
    return Motion(from_x, from_y, inside & (gap < allowed))


def _flow(start_bgr: Frame, end_bgr: Frame) -> NDArray[np.float32]:
    """float32 (H, W, 2): how far each pixel of `start` moves, right and down, in pixels of the frame."""
    height, width = start_bgr.shape[:2]
    factor = 1
    while max(height, width) > factor * _LARGEST_SIDE_PX:
        factor *= 2
    small_wh = (max(1, width // factor), max(1, height // factor))
    start, end = (_grey(frame, small_wh) for frame in (start_bgr, end_bgr))
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = np.asarray(search.calc(start, end, np.zeros((*start.shape, 2), np.float32)), np.float32)
    if factor == 1:
        return flow
    scale = np.array([width / small_wh[0], height / small_wh[1]], np.float32)
    return np.asarray(cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR), np.float32) * scale


def _grey(frame_bgr: Frame, size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    grey = cv2.cvtColor(frame_bgr, cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.resize(grey, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
