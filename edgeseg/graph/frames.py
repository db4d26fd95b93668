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

FRAME_INDICES = (40, 100)
"""Frames of each drive: two seconds apart, so that the second finds most of the town built already."""

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
    """Ten frames, the first five of them in all weathers, at the camera's size; for any camera (None), at two sizes."""
    scenes: dict[int, list[NamedFrame]] = {index: [] for index in FRAME_INDICES}
    for number, scene in enumerate(SCENES):
        size_hw = camera_hw or (network_hw if number % 2 == 0 else _OTHER_HW)
        height, width = np.clip(size_hw, *_DRAWN_HW).tolist()
        drive = SyntheticDrive(seed=SEED, scene=scene, size_hw=(height, width))
        for index, frames in scenes.items():
            frame_bgr, _ = drive.frame(index)
            if (height, width) != size_hw:
                frame_bgr = np.asarray(cv2.resize(frame_bgr, size_hw[::-1]), np.uint8)
            frames.append(NamedFrame(f"{scene}_{index:03d}", frame_bgr))
    return [frame for frames in scenes.values() for frame in frames]
