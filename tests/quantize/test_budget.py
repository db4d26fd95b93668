"""What INT8 may cost, and the search for the graph that keeps within it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.errors import ConfigError
from edgeseg.labels import LabelMap
from edgeseg.metrics.confusion import ConfusionMatrix
from edgeseg.quantize.budget import Budget, Cost, Mix, Search, search
from edgeseg.quantize.front import save_front
from edgeseg.quantize.scoring import Score

LABELS = LabelMap(("road", "car", "pedestrian"), ((1, 1, 1), (2, 2, 2), (3, 3, 3)))
PIXELS = 200_000
LAYERS = tuple(f"layer{index:02d}" for index in range(20))


FRAMES = 4


def result(wrong: tuple[int, int, int], pixels: tuple[int, int, int] = (120_000, 70_000, 10_000)) -> Score:
    """So many pixels of each class are taken for the next class, in all of the frames alike."""
    matrix = ConfusionMatrix(LABELS)
    truth = np.repeat(np.arange(3, dtype=np.uint8), pixels)
    found = truth.copy()
    for index, (start, count) in enumerate(zip(np.cumsum((0, *pixels)), wrong, strict=False)):
        found[start : start + count] = (index + 1) % 3
    matrix.update(truth[None], found[None])
    return Score(matrix.result(), None, np.array([matrix.counts] * FRAMES))


FP32 = result((0, 0, 0))


def test_a_drop_is_in_percentage_points_of_iou() -> None:
    cost = Cost.of(result((0, 0, 100)), FP32, labelled=True)
    # 100 of 10,000 pedestrian pixels are taken for road, which has 120,000.
    assert cost.class_drop["pedestrian"] == pytest.approx(1.0)
    assert cost.class_drop["road"] == pytest.approx(100 * (1 - 120_000 / 120_100))
    assert cost.class_drop["car"] == 0
    assert cost.miou_drop == pytest.approx(sum(cost.class_drop.values()) / 3)
    assert cost.disagreement is None


def test_one_class_may_not_collapse_behind_a_good_mean() -> None:
    """An INT8 graph that loses pedestrians while mIoU looks fine: what the budget of classes is for."""
    cost = Cost.of(result((0, 0, 80)), FP32, labelled=True)
    assert cost.miou_drop < 0.3
    assert cost.excess(Budget()) == pytest.approx(0.8 - 0.5)
    assert cost.excess(Budget(max_class_drop=1.0)) < 0
    assert "worst class pedestrian 0.80 (at most 0.80); budget 0.5" in cost.describe(Budget())


def test_a_class_of_a_few_pixels_is_not_judged_by_itself() -> None:
    pixels = (130_000, 69_900, 100)
    cost = Cost.of(result((0, 0, 50), pixels), result((0, 0, 0), pixels), labelled=True)
    assert "pedestrian" not in cost.class_drop
    assert cost.miou_drop > 10, "the mean counts it all the same"


def test_a_class_that_nobody_finds_any_more_loses_all_of_its_iou() -> None:
    assert Cost.of(result((0, 0, 10_000)), FP32, labelled=True).class_drop["pedestrian"] == 100


def test_without_labels_pixels_are_counted_that_changed_their_class() -> None:
    cost = Cost.of(result((600, 400, 0)), FP32, labelled=False)
    assert cost.disagreement == pytest.approx(0.5)
    assert cost.excess(Budget(max_disagreement=0.4)) == pytest.approx(0.1)
    assert "unlike FP32" in cost.describe(Budget())


@pytest.mark.parametrize("setting", ["max_miou_drop", "max_class_drop", "max_disagreement"])
@pytest.mark.parametrize("value", [-0.1, float("nan")])
def test_a_budget_is_not_negative(setting: str, value: float) -> None:
    with pytest.raises(ConfigError, match=setting):
        Budget(**{setting: value})


def of_drop(method: str, kept: tuple[str, ...], drop: float, speedup: float | None = 2.0) -> Mix:
    cost = Cost(drop, drop, {"road": 0.0}, {"road": 0.0})
    latency = None if speedup is None else 100 / speedup
    return Mix(method, kept, result((0, round(1e4 * drop), 0)), cost, latency, None if speedup is None else 100.0)


def searched(drop: Callable[[str, int], float], speed: Callable[[int], float | None] = lambda _: 2.0) -> Search:
    """Search where `drop(method, layers in float)` is the loss and `speed(layers)` how fast it is."""

    def measure(method: str, kept: tuple[str, ...]) -> Mix:
        assert kept == LAYERS[: len(kept)] != LAYERS, "the most sensitive layers first"
        return of_drop(method, kept, drop(method, len(kept)), speed(len(kept)))

    return search(measure, lambda _: LAYERS, ("a", "b", "c"), Budget())


def test_the_first_graph_within_the_budget_ends_the_search() -> None:
    found = searched(lambda *_: 0.1)
    assert found.chosen is found.mixes[0]
    assert len(found.mixes) == 1
    assert found.refusal is None


def test_other_ranges_are_tried_before_any_layer_is_left_in_float() -> None:
    found = searched(lambda method, _: {"a": 0.9, "b": 0.2, "c": 0.1}[method])
    assert [mix.method for mix in found.mixes] == ["a", "b"]
    assert found.chosen is found.mixes[1]


@pytest.mark.parametrize("needed", range(1, 20))
def test_as_few_layers_stay_in_float_as_will_do(needed: int) -> None:
    found = searched(lambda method, kept: (0.2 if kept >= needed else 0.9) + (method != "b"))
    assert found.chosen is not None
    assert found.chosen.method == "b"
    assert len(found.chosen.kept) == needed
    assert len(found.mixes) <= 3 + 10, "a trial is a whole evaluation"
    assert len({(mix.method, mix.kept) for mix in found.mixes}) == len(found.mixes), "none is tried twice"


def test_no_mix_within_the_budget_is_a_refusal_with_its_figures() -> None:
    found = searched(lambda *_: 0.9)
    assert found.chosen is None
    assert found.refusal is not None
    assert (
        "with 19 of 19 layers in float it is still over budget: mIoU drop 0.90 (at most 0.90 with 95 % confidence); "
        "budget 0.3" in found.refusal
    )


def test_int8_that_is_slower_than_float_is_refused_however_accurate() -> None:
    found = searched(lambda *_: 0.0, lambda _: 0.8)
    assert found.chosen is None
    assert found.refusal == "INT8 takes 125.0 ms on this machine, the float graph 100.0 ms"


def test_the_search_stops_where_float_layers_have_eaten_the_speed() -> None:
    found = searched(lambda *_: 0.9, lambda kept: 2.0 - 0.3 * kept)
    assert found.chosen is None
    assert len(found.mixes[-1].kept) == 4, "1, 2, 4: from there on it is slower than float"
    assert "over budget" in str(found.refusal)
    assert "INT8 takes" in str(found.refusal)


def test_loud_layers_are_in_float_from_the_start_and_counted_once() -> None:
    loud = LAYERS[:3]

    def measure(method: str, kept: tuple[str, ...]) -> Mix:
        assert kept[:3] == loud
        assert len(set(kept)) == len(kept)
        return of_drop(method, kept, 0.2 if len(kept) >= 5 else 0.9)

    found = search(measure, lambda _: LAYERS, ("a",), Budget(), loud)
    assert found.mixes[0].kept == loud
    assert found.chosen is not None
    assert found.chosen.kept == LAYERS[:5], "as few others as will do"


def test_where_nothing_is_timed_accuracy_alone_decides() -> None:
    assert searched(lambda *_: 0.2, lambda _: None).chosen is not None


@pytest.mark.parametrize("timed", [True, False])
def test_the_front_is_a_picture_with_a_mark_for_every_graph(tmp_path: Path, timed: bool) -> None:
    found = searched(lambda _, kept: 0.2 if kept >= 3 else 0.9, lambda _: 2.0 if timed else None)
    path = tmp_path / "front.png"
    save_front(path, found, FP32, Budget(), "road int8-cpu")
    picture = cv2.imread(str(path))
    assert picture is not None
    height, width, _ = picture.shape
    assert (height, width) == (504, 840)
    # Green for what is within the budget, red for what is not: both are there.
    for blue_green_red in ((44, 160, 44), (40, 39, 214)):
        assert (np.abs(picture.astype(int) - blue_green_red).max(axis=2) < 12).sum() > 20


def test_the_report_says_what_was_tried_in_order() -> None:
    found = searched(lambda _, kept: 0.2 if kept >= 3 else 0.9)
    entries = [mix.to_dict() for mix in found.mixes]
    assert [len(entry["kept"]) for entry in entries] == [0, 0, 0, 1, 2, 4, 3]
    assert all(first["method"] == second["method"] for first, second in pairwise(entries[3:]))
    assert entries[-1]["speedup"] == 2.0
