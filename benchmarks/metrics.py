"""What the metrics cost on one core: `python benchmarks/metrics.py`. The confusion matrix may take 2 ms at 480×360.

Median processor time of counting one frame and asking for the result. The frames are those of the synthetic drive; the
prediction is the truth with its borders moved and a part of it wrong.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np

from edgeseg.cli.output import format_table
from edgeseg.data import Sample
from edgeseg.data.synthetic import SyntheticDrive
from edgeseg.doctor import machine_summary
from edgeseg.labels import CAMVID
from edgeseg.metrics.base import Scores
from edgeseg.metrics.confusion import ConfusionMatrix
from edgeseg.metrics.registry import METRICS, open_metrics
from edgeseg.types import Labels

SIZES_HW = ((360, 480), (720, 1280))
ROUNDS = 40


def median_ms(work: Callable[[], object]) -> float:
    """Median processor milliseconds of one call, after a warm-up."""
    times = []
    for turn in range(3 + ROUNDS):
        started = time.process_time()
        work()
        if turn >= 3:
            times.append(1e3 * (time.process_time() - started))
    return statistics.median(times)


def frames(size_hw: tuple[int, int]) -> list[tuple[Sample, Labels, Scores]]:
    """Two consecutive frames with labels and scores of a mediocre model."""
    drive, rng, found = SyntheticDrive(size_hw=size_hw), np.random.default_rng(0), []
    for index in (100, 101):
        frame_bgr, truth = drive.frame(index)
        said = np.roll(truth, 2, axis=1)
        said[said == CAMVID.void] = 0
        said[rng.random(said.shape) < 0.02] = 3
        scores = np.full((len(CAMVID), *said.shape), 0.02, np.float32)
        np.put_along_axis(scores, said[np.newaxis].astype(np.int64), 0.8, axis=0)
        found.append((Sample(str(index), frame_bgr, truth), said, scores))
    return found


def confusion_ms(size_hw: tuple[int, int]) -> float:
    """One frame into an empty confusion matrix, and its result."""
    sample, said, _ = frames(size_hw)[0]

    def work() -> None:
        matrix = ConfusionMatrix(CAMVID)
        matrix.update(sample.labels, said)
        matrix.result()

    return median_ms(work)


def metric_ms(name: str, size_hw: tuple[int, int]) -> float:
    """One more frame, the two taking turns, and the result."""
    metric = open_metrics(name, CAMVID).metrics[name]
    turns = itertools.cycle(frames(size_hw))

    def work() -> None:
        sample, said, scores = next(turns)
        metric.update(sample, said, scores if metric.uses_scores else None)
        metric.result()

    return median_ms(work)


def main() -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    rows = [["confusion matrix", *[f"{confusion_ms(size_hw):.2f}" for size_hw in SIZES_HW]]]
    rows += [[name, *[f"{metric_ms(name, size_hw):.2f}" for size_hw in SIZES_HW]] for name in METRICS]
    machine = machine_summary()
    print(f"{machine['name']}, {machine['system']}, Python {machine['python']}, one thread")
    print(format_table(["ms per frame", *[f"{width}×{height}" for height, width in SIZES_HW]], rows))


if __name__ == "__main__":
    main()
