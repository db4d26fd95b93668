"""A model over a labelled dataset, frame by frame: one confusion matrix, and the frames that came out worst."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice

from edgeseg.data import Sample, SegmentationDataset
from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import LabelMap
from edgeseg.metrics.base import Metric, Scored
from edgeseg.metrics.confusion import ConfusionMatrix, EvaluationResult, FrameScore
from edgeseg.metrics.flicker import Flicker, FlickerResult
from edgeseg.types import Frame, Labels

WORST_KEPT = 5
"""Frames in `EvaluationResult.worst`: enough to see a pattern, few enough to look at."""


def evaluate(
    dataset: SegmentationDataset,
    segment: Callable[[Frame], Labels | Scored],
    label_map: LabelMap,
    *,
    limit: int | None = None,
    metrics: Iterable[Metric] = (),
    progress: Callable[[int, int], None] | None = None,
    on_sample: Callable[[FrameScore, Sample, Labels], None] | None = None,
) -> EvaluationResult:
    """Segment every frame of `dataset`, or the first `limit`, and compare with the truth.

    `segment` takes a BGR uint8 frame (H, W, 3) and gives class ids uint8 (H, W), or these with their scores;
    `label_map` is the model's. Each of `metrics`, made with the dataset's label map, counts every frame too; the caller
    asks it for its result. After each frame `progress(done, total)` and `on_sample(score, sample, prediction)` are
    called. The figures come from all pixels together, as the CamVid, VOC and Cityscapes benchmarks count them; they are
    not means over frames.

    Raises `ConfigError` where the model's classes are not the dataset's, `DataError` for a frame or labels that cannot
    be used.
    """
    require_same_classes(label_map, dataset)
    _require_limit(limit)
    counted = tuple(metrics)
    total = len(dataset) if limit is None else min(limit, len(dataset))
    everything, scores = ConfusionMatrix(dataset.label_map), []
    for index in range(total):
        sample = dataset[index]
        answer = segment(sample.image_bgr)
        prediction, confidence = answer if isinstance(answer, Scored) else (answer, None)
        frame = ConfusionMatrix(dataset.label_map)
        try:
            frame.update(sample.labels, prediction)
            for metric in counted:
                metric.update(sample, prediction, confidence)
        except DataError as error:
            raise DataError(f"{dataset.name}, frame {sample.name}: {error}") from error
        everything += frame
        score = FrameScore(index, sample.name, frame.result().miou if frame.pixels else None)
        scores.append(score)
        if on_sample is not None:
            on_sample(score, sample, prediction)
        if progress is not None:
            progress(index + 1, total)
    return replace(everything.result(), worst=worst_of(scores, WORST_KEPT))


def measure_flicker(
    frames: Iterable[Frame], segment: Callable[[Frame], Labels], label_map: LabelMap, *, limit: int | None = None
) -> FlickerResult:
    """Segment the frames of a clip, BGR uint8 (H, W, 3), in order, or the first `limit`; no truth is needed.

    Raises `DataError` for fewer than two frames, of which nothing can be said.
    """
    _require_limit(limit)
    flicker = Flicker(label_map)
    for frame_bgr in islice(frames, limit):
        flicker.update_frame(frame_bgr, segment(frame_bgr))
    if flicker.frames < 2:
        raise DataError(f"{flicker.frames} frame(s): flicker is a change from one frame to the next. Give two or more.")
    return flicker.result()


def _require_limit(limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise ConfigError(f"limit={limit}: evaluate at least 1 frame.")


def worst_of(scores: list[FrameScore], count: int) -> tuple[FrameScore, ...]:
    """The `count` scores with the lowest mIoU, worst first; frames that are all void have none and are left out."""
    ranked = sorted((score.miou, score.index, score) for score in scores if score.miou is not None)
    return tuple(score for _, _, score in ranked[:count])


def require_same_classes(label_map: LabelMap, dataset: SegmentationDataset) -> None:
    """Raise `ConfigError` where a class id means one thing to the model and another in the dataset.

    The void id may differ: it is the dataset's alone, since no model predicts it.
    """
    model, data = label_map.names, dataset.label_map.names
    if model != data:
        raise ConfigError(
            f"the model's {len(model)} classes ({', '.join(model)}) are not the {len(data)} of {dataset.name} "
            f"({', '.join(data)}). Take a dataset with the model's classes, or a model trained for these."
        )
