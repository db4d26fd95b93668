"""How long scene and smoothing take on one core: `python benchmarks/scene.py`. The aim is 2 ms for each at 1280×720.

Processor time, not wall time: it is what they take from the network, and other work on the machine does not count into
it. Frames and labels are consecutive ones of the synthetic drive; at every label's border the model is not sure.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np

from edgeseg.cli.output import format_table
from edgeseg.data.synthetic import SyntheticDrive
from edgeseg.labels import CAMVID
from edgeseg.types import Segmentation
from edgeseg.video.scene.analyser import SceneAnalyser
from edgeseg.video.scene.free_space import FreeSpaceFinder
from edgeseg.video.scene.people import PeopleFinder
from edgeseg.video.scene.smoothing import Smoother
from edgeseg.video.scene.unknown import with_unknown
from edgeseg.video.sources.base import FrameRecord

SIZES_HW = ((360, 480), (720, 1280))
ROUNDS, FRAMES = 30, 10
Given = tuple[FrameRecord, Segmentation]


def frames(size_hw: tuple[int, int]) -> list[Given]:
    """Frames of a drive at network size, brought to the camera's as the graph does it."""
    drive, given = SyntheticDrive(seed=0, size_hw=size_hw, fps=30), []
    for index in range(FRAMES):
        frame, labels = drive.frame(330 + index)
        small = cv2.resize(labels, (480, 360), interpolation=cv2.INTER_NEAREST)
        borders = cv2.morphologyEx(small, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)) > 0
        confidence = np.where(borders, 150, 254).astype(np.uint8)
        labels, confidence = (
            np.asarray(cv2.resize(one, size_hw[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
            for one in (small, confidence)
        )
        given.append((FrameRecord(index, frame, index / 30, str(index)), Segmentation(labels, 1.0, True, confidence)))
    return given


def cpu_ms_per_frame(work: Callable[[FrameRecord, Segmentation], object], given: list[Given]) -> float:
    """Processor milliseconds per frame, the best of the rounds, as timeit advises."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for record, segmentation in given:
            work(record, segmentation)
        rounds.append((time.process_time() - started) * 1e3 / len(given))
    return min(rounds)


def main() -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    scene, free_space, people = SceneAnalyser(CAMVID, fps=30), FreeSpaceFinder(CAMVID), PeopleFinder(CAMVID)
    smoother = Smoother(CAMVID)
    works: dict[str, Callable[[FrameRecord, Segmentation], object]] = {
        "scene": scene,
        "of it free space": lambda record, given: free_space(given.labels, record.timestamp_s),
        "of it people": lambda _, given: people(given.labels),
        "smoothing": lambda record, given: smoother(given, record.frame_bgr),
        "unknown": lambda _, given: with_unknown(given, 0.7),
    }
    sizes = [frames(size_hw) for size_hw in SIZES_HW]
    rows = [[name, *(f"{cpu_ms_per_frame(work, given):.2f}" for given in sizes)] for name, work in works.items()]
    print(format_table(["ms per frame", *[f"{width}×{height}" for height, width in SIZES_HW]], rows))


if __name__ == "__main__":
    main()
