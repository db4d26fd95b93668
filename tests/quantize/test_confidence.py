"""How much of a drop may be luck: bounds hold, luck is caught, and the frames of training are known as such."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeseg.labels import LabelMap
from edgeseg.metrics.confusion import ConfusionMatrix
from edgeseg.quantize.budget import SEEN_MARGIN, Budget, Cost
from edgeseg.quantize.confidence import CONFIDENCE, Matrices, disagreement_bound, ious, student_t, upper_bounds
from edgeseg.quantize.scoring import Score
from edgeseg.quantize.seen import seen_in, training_data

LABELS = LabelMap(("road", "car", "pedestrian"), ((1, 1, 1), (2, 2, 2), (3, 3, 3)))
PIXELS = np.array([6000, 3000, 1000])


def matrices(wrong: np.ndarray) -> Matrices:
    """(frames, classes) pixels that are taken for the next class, of `PIXELS` → (frames, classes, classes)."""
    counts = np.zeros((len(wrong), 3, 3), np.int64)
    for index in range(3):
        counts[:, index, index] = PIXELS[index] - wrong[:, index]
        counts[:, index, (index + 1) % 3] = wrong[:, index]
    return counts


def score(counts: Matrices) -> Score:
    total = ConfusionMatrix(LABELS)
    for matrix in counts:
        frame = ConfusionMatrix(LABELS)
        for true, found in np.ndindex(3, 3):
            pixels = (1, int(matrix[true, found]))
            frame.update(np.full(pixels, true, np.uint8), np.full(pixels, found, np.uint8))
        total += frame
    return Score(total.result(), None, counts)


def drawn(frames: int, rng: np.random.Generator, *, loss: float = 0.004) -> tuple[Matrices, Matrices]:
    """FP32 with a tenth of the pixels wrong, INT8 with `loss` more on average, on some frames twice that."""
    before = rng.binomial(PIXELS, 0.1, (frames, 3))
    more = rng.binomial(PIXELS, loss * rng.gamma(4, 1 / 4, (frames, 1)), (frames, 3))
    return matrices(before), matrices(before + more)


def test_the_measured_drop_is_that_of_the_summed_matrices() -> None:
    fp32, int8 = drawn(8, np.random.default_rng(0))
    cost = Cost.of(score(int8), score(fp32), labelled=True)
    before, after = ious(fp32.sum(axis=0)), ious(int8.sum(axis=0))
    assert cost.miou_drop == pytest.approx(100 * (before - after).mean())
    assert list(cost.class_drop.values()) == pytest.approx(list(100 * (before - after)))
    assert cost.miou_drop_at_most > cost.miou_drop
    assert all(cost.class_drop_at_most[name] > cost.class_drop[name] for name in LABELS.names)


@pytest.mark.parametrize("frames", [6, 12, 60])
def test_the_true_drop_is_below_the_bound_as_often_as_it_says(frames: int) -> None:
    """What is true is what very many frames of the same kind show."""
    rng = np.random.default_rng(1)
    fp32, int8 = drawn(10_000, rng)
    true = float(100 * (ious(fp32.sum(axis=0)) - ious(int8.sum(axis=0))).mean())
    held = [true <= upper_bounds(*drawn(frames, rng))[0] for _ in range(200)]
    assert CONFIDENCE - 0.06 < np.mean(held) < 0.995
    missed = [true <= measured_drop(*drawn(frames, rng)) for _ in range(200)]
    assert np.mean(missed) < 0.65, "the measured drop itself is too good half of the time"


def measured_drop(fp32: Matrices, int8: Matrices) -> float:
    return float(100 * (ious(fp32.sum(axis=0)) - ious(int8.sum(axis=0))).mean())


def test_a_lucky_choice_of_frames_is_not_within_the_budget() -> None:
    """Fine on eleven frames, a failure on one: on these INT8 is within the budget, on others it need not be."""
    wrong = np.full((12, 3), 100)
    more = np.zeros((12, 3), int)
    more[7] = 80, 40, 15
    cost = Cost.of(score(matrices(wrong + more)), score(matrices(wrong)), labelled=True)
    assert cost.miou_drop < 0.3
    assert max(cost.class_drop.values()) < 0.5
    assert cost.excess(Budget()) == pytest.approx(cost.miou_drop_at_most - 0.3)
    assert cost.excess(Budget()) > 0
    evenly = np.full((12, 3), 1) * (5, 3, 1)
    cost = Cost.of(score(matrices(wrong + evenly)), score(matrices(wrong)), labelled=True)
    assert cost.miou_drop == pytest.approx(cost.miou_drop_at_most), "all frames say the same"
    assert cost.excess(Budget()) < 0


def test_fewer_frames_are_less_sure() -> None:
    fp32, int8 = drawn(64, np.random.default_rng(3))
    widths = [
        upper_bounds(fp32[:count], int8[:count])[0] - measured_drop(fp32[:count], int8[:count]) for count in (2, 8, 64)
    ]
    assert widths[0] > widths[1] > widths[2]
    assert upper_bounds(fp32, int8)[0] == upper_bounds(fp32, int8)[0], "nothing is drawn"


def test_a_class_of_one_frame_has_no_bound_and_one_that_int8_lost_is_lost() -> None:
    fp32 = matrices(np.full((6, 3), 10))
    int8 = fp32.copy()
    for counts in (fp32, int8):
        counts[1:, 2] = counts[1:, :, 2] = 0  # pedestrians are in the first frame alone
    int8[0, 2] = 0, 1000, 0
    int8[:, 1, 2] = 0
    classes = upper_bounds(fp32, int8)[1]
    assert classes[2] == pytest.approx(100 * ious(fp32.sum(axis=0))[2])
    assert np.isfinite(classes).all()


def test_without_labels_the_share_of_changed_pixels_has_a_bound_too() -> None:
    truth = matrices(np.zeros((4, 3), int))
    int8 = matrices(np.array([[0, 0, 0], [10, 0, 0], [0, 20, 0], [0, 0, 30]]))
    cost = Cost.of(score(int8), score(truth), labelled=False)
    assert cost.disagreement == pytest.approx(0.15)
    # Every frame has 10,000 pixels: leaving one out is a mean of three shares.
    shares = np.array([0.0, 0.1, 0.2, 0.3])
    expected = shares.mean() + 2.353 * shares.std(ddof=1) / 2
    assert disagreement_bound(int8) == cost.disagreement_at_most == pytest.approx(expected)
    assert "pixels unlike FP32 0.15 (at most 0.30 %); budget 0.5 %" in cost.describe(Budget())


@pytest.mark.parametrize(
    ("freedom", "expected"), [(1, 6.314), (5, 2.015), (16, 1.746), (30, 1.697), (100, 1.660), (1000, 1.646)]
)
def test_student_t_as_in_any_table(freedom: int, expected: float) -> None:
    assert student_t(freedom) == pytest.approx(expected, abs=0.0006)


def test_frames_of_training_need_a_larger_reserve() -> None:
    fp32 = score(matrices(np.full((12, 3), 100)))
    int8 = score(matrices(np.full((12, 3), 100) + np.array([4, 2, 1])))
    new, seen = (Cost.of(int8, fp32, labelled=True, seen=seen) for seen in (False, True))
    assert new.excess(Budget()) < 0 < seen.excess(Budget())
    assert seen.excess(Budget()) - new.excess(Budget()) == pytest.approx(SEEN_MARGIN)
    assert "budget 0.3 less 0.16, it was trained on these frames" in seen.describe(Budget())
    assert seen.to_dict()["margin"] == SEEN_MARGIN


@pytest.mark.parametrize(
    ("judged", "entry", "expected"),
    [
        ("camvid val", {"format": "camvid", "root": "x", "split": "trainval"}, "camvid trainval"),
        ("camvid val, camvid-to-driving", {"format": "camvid", "root": "x", "split": "val"}, "camvid val"),
        ("my-road val", {"format": "folder", "root": "data/my-road", "split": "all"}, "my-road all"),
        ("camvid val", {"format": "camvid", "root": "x", "split": "train"}, None),
        ("cityscapes val", {"format": "camvid", "root": "x", "split": "trainval"}, None),
        ("synthetic val: day, dusk", {"format": "synthetic", "root": "seed=1", "split": "train"}, None),
    ],
)
def test_frames_of_training_are_known_by_dataset_and_split(
    judged: str, entry: dict[str, Any], expected: str | None
) -> None:
    assert seen_in(judged, training_data({"recipe": {"data": [entry]}})) == expected


@pytest.mark.parametrize("lineage", [{}, {"recipe": None}, {"recipe": {}}, {"recipe": {"data": ["camvid"]}}])
def test_a_checkpoint_that_does_not_say_what_it_was_trained_on(lineage: dict[str, Any]) -> None:
    assert training_data(lineage) == []
