"""KITTI road figures: by hand, against a loop over thresholds as the devkit runs it, and without confidences."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeseg.data import Sample
from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import CAMVID, KITTI_ROAD, VOC, LabelMap, distinct_palette
from edgeseg.metrics.base import Scores
from edgeseg.metrics.kitti_road import KittiRoad, KittiRoadResult
from edgeseg.types import Labels


def measured(truth: Labels, road: NDArray[np.float32], *, at: float = 0.5) -> KittiRoadResult:
    metric = KittiRoad(KITTI_ROAD)
    metric.update(sample(truth), (road >= at).astype(np.uint8), scores_of(road))
    return metric.result()


def sample(truth: Labels) -> Sample:
    return Sample("x", np.zeros((*truth.shape, 3), np.uint8), truth)


def scores_of(road: NDArray[np.float32]) -> Scores:
    return np.stack([1 - road, road])


def test_by_hand() -> None:
    """Road at 1, .8 and .2; rest at .6 and 0; one void, at .9."""
    truth = np.array([[1, 1, 1, 0, 0, 255]], np.uint8)
    result = measured(truth, np.array([[1.0, 0.8, 0.2, 0.6, 0.0, 0.9]], np.float32))
    # F1: at .2 (3 hits, 1 alarm) 6/7; at .8 (2 hits, none wrong) 4/5.
    assert result.max_f == pytest.approx(6 / 7)
    assert result.threshold == pytest.approx(1 / 255), "of equal ones the lowest, as argmax finds it"
    assert result.best is not None
    assert [result.best.precision, result.best.recall] == pytest.approx([3 / 4, 1])
    assert [result.best.false_positive_rate, result.best.false_negative_rate] == pytest.approx([1 / 2, 0])
    # Best precision is 1 for recalls 0 to .6, of 2/3, and 3/4 for .7 to 1.
    assert result.average_precision == pytest.approx((7 * 1 + 4 * 3 / 4) / 11)
    # The labels, at .5: 2 hits, 1 alarm.
    assert [result.labels.f1, result.labels.precision] == pytest.approx([4 / 6, 2 / 3])
    assert result.road_pixels == 3
    value = json.loads(json.dumps(result.to_dict()))
    assert (value["max_f"], value["space"]) == (result.max_f, "image")
    assert result.table().rows[0][:3] == ("best threshold, 0.004", "85.71", "90.91")


def test_against_thresholds_one_by_one() -> None:
    rng = np.random.default_rng(12)
    truth = rng.choice(np.array([0, 1, 1, 255], np.uint8), (40, 60))
    road = np.clip(0.3 + 0.3 * (truth == 1) + rng.normal(0, 0.3, truth.shape), 0, 1).astype(np.float32)
    known, stored = truth != 255, np.rint(255 * road) / 255
    f1s, curve = [], []
    for threshold in np.arange(256) / 255:
        said = stored >= threshold
        hits, alarms = (said & (truth == 1)).sum(), (said & (truth == 0) & known).sum()
        positives = (truth == 1).sum()
        f1s.append(2 * hits / (hits + alarms + positives))
        if hits + alarms:
            curve.append((hits / positives, hits / (hits + alarms)))
    result = measured(truth, road)
    assert result.max_f == pytest.approx(max(f1s))
    best = [max(precision for recall, precision in curve if recall >= step / 10) for step in range(11)]
    assert result.average_precision == pytest.approx(sum(best) / 11)


def test_frames_count_together_and_parts_add_up() -> None:
    rng = np.random.default_rng(3)
    together, first, second = (KittiRoad(KITTI_ROAD) for _ in range(3))
    for index in range(4):
        truth, road = rng.integers(0, 2, (5, 6), dtype=np.uint8), rng.random((5, 6), np.float32)
        for metric in (together, first if index < 2 else second):
            metric.update(sample(truth), (road > 0.5).astype(np.uint8), scores_of(road))
    assert (first + second).result() == together.result()


def test_labels_alone_are_one_point_and_no_curve() -> None:
    metric = KittiRoad(KITTI_ROAD)
    truth = np.array([[1, 1, 0, 255]], np.uint8)
    metric.update(sample(truth), np.array([[1, 0, 1, 1]], np.uint8))
    result = metric.result()
    assert (result.max_f, result.average_precision, result.threshold) == (None, None, None)
    assert (result.labels.f1, result.labels.false_positive_rate) == (0.5, 1.0)
    assert "checkpoint" in result.table().notes[-1]
    # One frame without them spoils the curve of all.
    metric.update(sample(truth), np.array([[1, 0, 1, 1]], np.uint8), scores_of(np.ones((1, 4), np.float32)))
    assert metric.result().max_f is None


def test_scores_that_are_no_numbers() -> None:
    metric = KittiRoad(KITTI_ROAD)
    for value in (np.nan, np.inf):
        with pytest.raises(DataError, match="scores of road hold NaN or infinity"):
            metric.update(
                sample(np.array([[1]], np.uint8)), np.array([[1]], np.uint8), np.full((2, 1, 1), value, np.float32)
            )
    assert (metric.frames, metric.result().road_pixels) == (0, 0)


@pytest.mark.parametrize("truth", [0, 255])
def test_no_road_in_the_truth(truth: int) -> None:
    result = measured(np.full((2, 3), truth, np.uint8), np.full((2, 3), 0.7, np.float32))
    assert (result.max_f, result.average_precision, result.labels.recall) == (None, None, None)
    assert KittiRoad(KITTI_ROAD).result().labels.f1 is None


def test_road_is_found_by_its_name_and_its_parts_add_up() -> None:
    names = LabelMap(("void--sky", "construction--flat--road", "marking--Lane Marking - General"), distinct_palette(3))
    metric = KittiRoad(names)
    scores = np.array([[[0.2]], [[0.4]], [[0.4]]], np.float32)
    metric.update(sample(np.array([[1]], np.uint8)), np.array([[2]], np.uint8), scores)
    assert metric.result().labels.f1 == 1.0
    assert metric.result().threshold == pytest.approx(0.0)
    assert KittiRoad(CAMVID).result().frames == 0
    with pytest.raises(ConfigError, match="no class is called road; this label map has: background, aeroplane"):
        KittiRoad(VOC)
