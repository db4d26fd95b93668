"""Frames per second of the synthetic drive on one core, scene by scene."""

from __future__ import annotations

import argparse
import time

import cv2
import numpy as np

from edgeseg.data.synthetic import SCENES, SyntheticDrive

SIZE_HW = (360, 640)


def main() -> None:
    """Time consecutive frames of each scene, as a camera would ask for them, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=300, help="frames per scene (default 300)")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"{SIZE_HW[1]}x{SIZE_HW[0]}, one thread, {options.frames} consecutive frames; milliseconds per frame")
    print(f"{'scene':8} {'set-up':>8} {'median':>8} {'p95':>8} {'p99':>8} {'processor':>10} {'frames/s':>9}")
    for scene in SCENES:
        started = time.perf_counter()
        drive = SyntheticDrive(options.seed, scene, SIZE_HW)
        drive.frame(0)
        set_up_ms = 1e3 * (time.perf_counter() - started)
        times_ms, processor = [], time.process_time()
        for index in range(1, options.frames + 1):
            started = time.perf_counter()
            drive.frame(index)
            times_ms.append(1e3 * (time.perf_counter() - started))
        median, p95, p99 = np.percentile(times_ms, (50, 95, 99))
        # Far below the wall time means that other programs had the core.
        processor_ms = 1e3 * (time.process_time() - processor) / options.frames
        rate = 1e3 / float(np.mean(times_ms))
        print(f"{scene:8} {set_up_ms:8.0f} {median:8.2f} {p95:8.2f} {p99:8.2f} {processor_ms:10.2f} {rate:9.1f}")


if __name__ == "__main__":
    main()
