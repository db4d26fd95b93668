"""How long the overlay takes on one core: `python benchmarks/overlay.py`. The camera loop allows it 3 ms at 1280×720.

Processor time, not wall time: it is what the overlay takes from the network, and other work on the machine does not
count into it. The frame and its labels are one of the synthetic drive.
"""

from __future__ import annotations

import time

import cv2

from edgeseg.cli.output import format_table
from edgeseg.data.synthetic import SyntheticDrive
from edgeseg.labels import CAMVID
from edgeseg.video.overlay import MODES, Overlay

SIZES_HW = ((360, 480), (720, 1280))
ROUNDS, FRAMES = 60, 5


def cpu_ms_per_frame(overlay: Overlay, size_hw: tuple[int, int]) -> float:
    """Processor milliseconds per frame (H, W), the best of the rounds, as timeit advises."""
    frame_bgr, labels = SyntheticDrive(size_hw=size_hw).frame(100)
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(FRAMES):
            overlay.paint(frame_bgr, labels, "31.2 fps   18.4 ms")
        rounds.append((time.process_time() - started) * 1e3 / FRAMES)
    return min(rounds)


def main() -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    overlays = {mode: Overlay(CAMVID, mode=mode) for mode in MODES}
    overlays["blend, 2 classes"] = Overlay(CAMVID, classes=["road", "pedestrian"])
    rows = [
        [name, *[f"{cpu_ms_per_frame(overlay, size_hw):.2f}" for size_hw in SIZES_HW]]
        for name, overlay in overlays.items()
    ]
    print(format_table(["ms per frame", *[f"{width}×{height}" for height, width in SIZES_HW]], rows))


if __name__ == "__main__":
    main()
