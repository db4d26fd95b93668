"""Road scenes that an export is compared on and that a bundle carries to the device: the synthetic drive."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgeseg.data.synthetic import SyntheticDrive
from edgeseg.types import Frame

SCENES = ("day", "dusk", "night", "rain", "fog")
FRAMES_FROM = f"synthetic drive: {', '.join(SCENES)}"
SEED = 2024
"""Not a seed that the default model was trained on; parity asks nothing about accuracy, but it costs nothing."""

FRAME_INDICES = (40, 400)
"""Frames of each drive: far enough apart that they share no scenery."""

_OTHER_HW = (270, 640)
"""A graph for any camera is also compared at a size and shape that is not the network's."""


_DRAWN_HW = ((64, 64), (1080, 1920))
"""Smallest and largest picture that is drawn; beyond, it is resized, which is as good for a comparison and faster."""


@dataclass(frozen=True, slots=True)
class NamedFrame:
    """uint8 (H, W, 3) BGR with a name that says what it shows."""

    name: str
    frame_bgr: Frame


def road_scenes(camera_hw: tuple[int, int] | None, network_hw: tuple[int, int]) -> list[NamedFrame]:
    """Ten frames in all weathers at the camera's size; for any camera (None), every second one has another size."""
    scenes = []
    for index in FRAME_INDICES:
        for number, scene in enumerate(SCENES):
            size_hw = camera_hw or (network_hw if number % 2 == 0 else _OTHER_HW)
            scenes.append(NamedFrame(f"{scene}_{index:03d}", _draw(scene, index, size_hw)))
    return scenes


def _draw(scene: str, index: int, size_hw: tuple[int, int]) -> Frame:
    height, width = np.clip(size_hw, *_DRAWN_HW).tolist()
    frame_bgr, _ = SyntheticDrive(seed=SEED, scene=scene, size_hw=(height, width)).frame(index)
    if (height, width) == size_hw:
        return frame_bgr
    return np.asarray(cv2.resize(frame_bgr, size_hw[::-1]), np.uint8)
