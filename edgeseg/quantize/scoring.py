"""A graph, as the file that will be delivered, over a whole evaluation set: accuracy, pedestrians by size, latency."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.data import Sample, SegmentationDataset
from edgeseg.errors import ConfigError
from edgeseg.labels import LabelMap
from edgeseg.metrics.confusion import ConfusionMatrix, EvaluationResult, FrameScore
from edgeseg.metrics.evaluate import evaluate, require_same_classes
from edgeseg.metrics.objects import ObjectRecall, ObjectResult
from edgeseg.runtime.ort import UNOPTIMISED, OrtSession
from edgeseg.runtime.segmenter import Segmenter
from edgeseg.types import Frame, Labels

Clock = Callable[[], float]

LATENCY_ROUNDS = 15
"""Runs of each graph when two are timed: the median of so many moves by 1 to 2 % on a busy machine of two cores."""

WARM_UP = 2
"""Runs before the first that is timed: the first allocates, the second is the first with everything in the caches."""


@dataclass(frozen=True)
class Score:
    """What a graph reaches on the evaluation set."""

    result: EvaluationResult
    pedestrians: ObjectResult | None
    """None where no class is called so."""
    frames: NDArray[np.int64]
    """Confusion matrix of each frame: (frames, classes, classes); `result` is of their sum."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the manifest; fractions from 0 to 1."""
        return {
            "miou": self.result.miou,
            "pixel_accuracy": self.result.pixel_accuracy,
            "iou": dict(self.result.iou),
            "pedestrians": None if self.pedestrians is None else self.pedestrians.to_dict(),
        }


class Agreement:
    """Frames without labels as a `SegmentationDataset`: what FP32 says of them, `truth`, is taken as true."""

    def __init__(self, frames: Sequence[Frame], truth: Sequence[Labels], label_map: LabelMap) -> None:
        self._frames = frames
        self._truth = truth
        self._label_map = label_map

    @property
    def name(self) -> str:
        """What the truth is."""
        return "agreement with FP32, no labels"

    @property
    def label_map(self) -> LabelMap:
        """The model's."""
        return self._label_map

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        return Sample(f"frame_{index:06d}", self._frames[index], self._truth[index])


def segmenter(model: bytes, precision: str, label_map: LabelMap, *, threads: int | None = None) -> Segmenter:
    """A serialised graph behind the function that a camera loop calls."""
    session = OrtSession(model, threads=threads, optimised=precision not in UNOPTIMISED, name=f"the {precision} graph")
    return Segmenter.from_session(session, label_map, precision=precision)


def score(
    model: bytes,
    precision: str,
    dataset: SegmentationDataset,
    label_map: LabelMap,
    *,
    limit: int | None = None,
    threads: int | None = None,
) -> Score:
    """Accuracy of a serialised graph on every frame of `dataset`, or the first `limit`, in ONNX Runtime on the CPU."""
    require_same_classes(label_map, dataset)
    objects: ObjectRecall | None
    try:
        objects = ObjectRecall(dataset.label_map)
    except ConfigError:  # no class is people
        objects = None
    frames: list[NDArray[np.int64]] = []

    def keep_matrix(_: FrameScore, sample: Sample, prediction: Labels) -> None:
        matrix = ConfusionMatrix(dataset.label_map)
        matrix.update(sample.labels, prediction)
        frames.append(matrix.counts)

    with segmenter(model, precision, label_map, threads=threads) as segment:
        result = evaluate(
            dataset,
            lambda frame_bgr: segment(frame_bgr).labels,
            label_map,
            limit=limit,
            metrics=[] if objects is None else [objects],
            on_sample=keep_matrix,
        )
    return Score(result, None if objects is None else objects.result(), np.array(frames))


def latencies_ms(
    models: Mapping[str, bytes],
    frame_bgr: Frame,
    *,
    threads: int | None,
    rounds: int = LATENCY_ROUNDS,
    clock: Clock = time.perf_counter,
) -> dict[str, float]:
    """Precision → median time for a frame, of graphs that take turns, so that what else the machine does meets all."""
    sessions = {
        precision: OrtSession(
            model, threads=threads, optimised=precision not in UNOPTIMISED, name=f"the {precision} graph"
        )
        for precision, model in models.items()
    }
    batch = np.ascontiguousarray(frame_bgr)[np.newaxis]
    times_s: dict[str, list[float]] = {precision: [] for precision in sessions}
    for turn in range(WARM_UP + rounds):
        for precision, session in sessions.items():
            began_s = clock()
            session.run(batch)
            took_s = clock() - began_s
            if turn >= WARM_UP:
                times_s[precision].append(took_s)
    for session in sessions.values():
        session.close()
    return {precision: 1000 * median(times) for precision, times in times_s.items()}
