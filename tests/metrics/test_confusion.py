"""The confusion matrix against figures worked out by hand and against a loop over pixels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import CAMVID, LabelMap, distinct_palette
from edgeseg.metrics.confusion import ConfusionMatrix
from edgeseg.types import Labels

ABC = LabelMap(("a", "b", "c"), distinct_palette(3), void=9)


def labels(*rows: tuple[int, ...]) -> Labels:
    return np.array(rows, np.uint8)


def counted(label_map: LabelMap, truth: Labels, prediction: Labels) -> ConfusionMatrix:
    matrix = ConfusionMatrix(label_map)
    matrix.update(truth, prediction)
    return matrix


def test_by_hand() -> None:
    """Of a: 2 right, 1 taken for b. Of b: 1 right. Of c: 1 right, 1 taken for a. Two pixels are void."""
    result = counted(ABC, labels((0, 0, 0, 1), (2, 2, 9, 9)), labels((0, 0, 1, 1), (2, 0, 0, 2))).result()
    assert result.matrix.tolist() == [[2, 1, 0], [0, 1, 0], [1, 0, 1]]
    assert result.pixel_accuracy == pytest.approx(4 / 6)
    assert result.iou == pytest.approx({"a": 2 / 4, "b": 1 / 2, "c": 1 / 2})
    assert result.recall == pytest.approx({"a": 2 / 3, "b": 1 / 1, "c": 1 / 2})
    assert result.precision == pytest.approx({"a": 2 / 3, "b": 1 / 2, "c": 1 / 1})
    assert result.miou == pytest.approx(0.5)
    assert result.mean_accuracy == pytest.approx((2 / 3 + 1 + 1 / 2) / 3)
    assert result.f1 == pytest.approx({"a": 4 / 6, "b": 2 / 3, "c": 2 / 3})
    assert result.mean_precision == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert result.mean_f1 == pytest.approx(2 / 3)
    assert result.frequency_weighted_iou == pytest.approx((3 * 1 / 2 + 1 * 1 / 2 + 2 * 1 / 2) / 6)
    assert result.frames == 1


def test_a_class_that_is_nowhere_has_no_figures_and_does_not_lower_the_means() -> None:
    result = counted(ABC, labels((0, 1)), labels((0, 1))).result()
    assert (result.iou["c"], result.recall["c"], result.precision["c"], result.f1["c"]) == (None, None, None, None)
    assert (result.miou, result.mean_accuracy, result.mean_f1, result.frequency_weighted_iou) == (1.0, 1.0, 1.0, 1.0)


def test_a_class_that_is_predicted_but_not_there_counts_as_zero() -> None:
    result = counted(ABC, labels((0, 1)), labels((0, 2))).result()
    assert (result.iou["c"], result.recall["c"], result.precision["c"]) == (0.0, None, 0.0)
    assert (result.iou["b"], result.recall["b"], result.precision["b"]) == (0.0, 0.0, None)
    assert result.f1 == pytest.approx({"a": 1.0, "b": 0.0, "c": 0.0})
    assert result.miou == pytest.approx(1 / 3)
    assert result.mean_accuracy == pytest.approx(1 / 2)
    assert result.mean_precision == pytest.approx(1 / 2)
    assert result.frequency_weighted_iou == pytest.approx(1 / 2)


@pytest.mark.parametrize("label_map", [ABC, CAMVID, LabelMap(tuple(map(str, range(254))), distinct_palette(254), 255)])
def test_against_a_loop_over_pixels(label_map: LabelMap) -> None:
    rng = np.random.default_rng(len(label_map))
    known = np.array([*range(len(label_map)), label_map.void], np.uint8)
    expected = np.zeros((len(label_map), len(label_map)), np.int64)
    matrix = ConfusionMatrix(label_map)
    for _ in range(3):
        truth = rng.choice(known, (20, 30))
        prediction = rng.integers(0, len(label_map), (20, 30), dtype=np.uint8)
        matrix.update(truth, prediction)
        for true, predicted in zip(truth.flat, prediction.flat, strict=True):
            if true != label_map.void:
                expected[true, predicted] += 1
    assert np.array_equal(matrix.result().matrix, expected)
    assert (matrix.frames, matrix.pixels) == (3, expected.sum())


def test_frames_counted_apart_add_up() -> None:
    rng = np.random.default_rng(5)
    frames = [rng.integers(0, 3, (2, 8, 8), dtype=np.uint8) for _ in range(4)]
    together, first, second = ConfusionMatrix(ABC), ConfusionMatrix(ABC), ConfusionMatrix(ABC)
    for index, (truth, prediction) in enumerate(frames):
        together.update(truth, prediction)
        (first if index < 2 else second).update(truth, prediction)
    before = first.result().matrix
    assert (first + second).result().to_dict() == together.result().to_dict()
    assert np.array_equal(first.result().matrix, before), "an operand was changed"
    with pytest.raises(ConfigError, match="other classes do not add up: a, b, c and sky"):
        first + ConfusionMatrix(CAMVID)


def test_strided_views_are_counted_as_they_look() -> None:
    truth, prediction = np.random.default_rng(2).integers(0, 3, (2, 9, 7), dtype=np.uint8)
    view = counted(ABC, truth[::2, ::-1], prediction[::2, ::-1]).result().matrix
    assert np.array_equal(view, counted(ABC, truth[::2].copy(), prediction[::2].copy()).result().matrix)


@pytest.mark.parametrize(
    ("truth", "prediction", "problem"),
    [
        (labels((0, 1)), labels((0, 3)), "prediction has id 3 in 1 pixels; classes are 0..2, void in the truth is 9"),
        (labels((9, 1)), labels((9, 1)), "prediction has id 9 in 1 pixels"),
        (labels((5, 5)), labels((0, 0)), "truth has id 5 in 2 pixels"),
        (labels((0, 1)), labels((0,), (1,)), r"shape \(2, 1\) for a truth of \(1, 2\)"),
        (labels((0, 1)), labels((0, 1)).astype(np.int64), "labels are int64, truth is uint8"),
    ],
)
def test_bad_labels_are_refused_and_not_counted(truth: Labels, prediction: Labels, problem: str) -> None:
    matrix = counted(ABC, labels((0, 1)), labels((0, 1)))
    with pytest.raises(DataError, match=problem):
        matrix.update(truth, prediction)
    assert (matrix.frames, matrix.pixels) == (1, 2)


def test_nothing_but_void_has_no_result() -> None:
    with pytest.raises(DataError, match="no labelled pixel in 1 frames: all is void"):
        counted(ABC, labels((9, 9)), labels((0, 1))).result()


def test_the_report_is_json_with_the_agreed_keys() -> None:
    report = counted(ABC, labels((0, 1)), labels((0, 1))).result().to_dict()
    first = {"miou", "pixel_accuracy", "mean_accuracy", "iou", "precision", "recall", "frames", "matrix"}
    added = {"f1", "mean_precision", "mean_f1", "frequency_weighted_iou"}
    assert set(report) == first | added
    assert json.loads(json.dumps(report, allow_nan=False)) == report
