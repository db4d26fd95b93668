"""How long the overlay takes on one core: `python benchmarks/overlay.py`. The camera loop allows it 3 ms at 1280×720.

Processor time, not wall time: it is what the overlay takes from the network, and other work on the machine does not
count into it. The frame and its labels are one of the synthetic drive. "Driving" is what a healthy drive shows at most:
road boundary, people, the warning, and the curve of frame ages with its deadline; "full dress" all that a picture can
hold at once, with two banners, unknown pixels and an inset. Status, shares and ages change from frame to frame as they
do on the road.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from edgeseg.cli.output import format_table
from edgeseg.data.synthetic import SyntheticDrive
from edgeseg.labels import CAMVID
from edgeseg.types import UNKNOWN, Frame, Segmentation
from edgeseg.video.health.base import HEALTHY, Health
from edgeseg.video.overlay import MODES, Overlay
from edgeseg.video.results import Pulse
from edgeseg.video.scene.analyser import SceneAnalyser
from edgeseg.video.scene.base import Person, Scene
from edgeseg.video.sources.base import FrameRecord

SIZES_HW = ((360, 480), (720, 1280), (1080, 1920))
ROUNDS, FRAMES = 60, 5

Paint = Callable[[int], Frame]
"""Paints the picture of the frame with that index."""


def cpu_ms_per_frame(paint: Paint) -> float:
    """Processor milliseconds per frame, the best of the rounds, as timeit advises."""
    rounds = []
    for number in range(ROUNDS):
        started = time.process_time()
        for index in range(FRAMES):
            paint(number * FRAMES + index)
        rounds.append((time.process_time() - started) * 1e3 / FRAMES)
    return min(rounds)


def plain(overlay: Overlay, size_hw: tuple[int, int]) -> Paint:
    """Classes, legend and status alone, at that height and width."""
    frame_bgr, labels = SyntheticDrive(size_hw=size_hw).frame(100)
    return lambda index: overlay.paint(frame_bgr, labels, status(index))


def driving(overlay: Overlay, size_hw: tuple[int, int], *, ill: bool = False) -> Paint:
    """Road, people, warning and curve; if `ill` also all that a picture can hold of what went wrong."""
    frame_bgr, labels = SyntheticDrive(size_hw=size_hw).frame(100)
    height, width = size_hw
    found = SceneAnalyser(CAMVID)(FrameRecord(0, frame_bgr, 0.0, "0"), Segmentation(labels, 1.0))
    people = tuple(
        Person((place * width // 9, height // 2, width // 30, height // 6), 900, place % 3 == 0, 10.0 + place)
        for place in range(2, 8)
    )
    labels = labels.copy()
    if ill:
        labels[height // 3 : height // 2, width // 4 : width // 2] = UNKNOWN
    inset_bgr = np.full((int(0.4 * height), width // 8, 3), 90, np.uint8) if ill else None
    health = Health(("frozen", "blurred")) if ill else HEALTHY
    degraded = "on the CPU." if ill else None
    rng = np.random.default_rng(7)
    ages = rng.gamma(30.0, 1.0, 1000)

    def paint(index: int) -> Frame:
        recent = tuple(np.roll(ages, -index)[:120])
        shares = {name: share * rng.uniform(0.98, 1.02) for name, share in found.shares.items()}
        pulse = Pulse(
            age_ms=recent[-1], recent_age_ms=recent, deadline_ms=33.0, deadline_misses=index, degraded=degraded
        )
        scene: Scene = replace(found, shares=shares, people=(*people, *found.people), person_ahead=True)
        return overlay.paint(
            frame_bgr,
            labels,
            status(index),
            scene=scene,
            health=health,
            pulse=pulse,
            inset_bgr=inset_bgr,
        )

    return paint


def full_dress(overlay: Overlay, size_hw: tuple[int, int]) -> Paint:
    """All that a picture can hold at once."""
    return driving(overlay, size_hw, ill=True)


def status(index: int) -> str:
    """The line of text of that frame, as the loop writes it."""
    return f"{30 + index % 17 / 10:.1f} fps   {18 + index % 23 / 10:.1f} ms"


def main() -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    overlays = {mode: Overlay(CAMVID, mode=mode) for mode in MODES}
    overlays["blend, 2 classes"] = Overlay(CAMVID, classes=["road", "pedestrian"])
    overlays["blend, 6 classes"] = Overlay(CAMVID, classes=CAMVID.names[::2])
    rows = []
    for dress, make in (("", plain), (", driving", driving), (", full dress", full_dress)):
        for name, overlay in overlays.items():
            rows.append([name + dress, *[f"{cpu_ms_per_frame(make(overlay, size_hw)):.2f}" for size_hw in SIZES_HW]])
    print(format_table(["ms per frame", *[f"{width}×{height}" for height, width in SIZES_HW]], rows))


if __name__ == "__main__":
    main()
