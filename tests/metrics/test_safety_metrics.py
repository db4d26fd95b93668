"""Objects by size and false free space: by hand, with void, with classes that do not fit."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgeseg.data import Sample
from edgeseg.errors import ConfigError
from edgeseg.labels import CAMVID, KITTI_ROAD, VOC, LabelMap, distinct_palette
from edgeseg.metrics.base import MetricConfig
from edgeseg.metrics.free_space import FreeSpace
from edgeseg.metrics.objects import ObjectRecall
from edgeseg.metrics.registry import METRICS, open_metrics
from edgeseg.metrics.taxonomy import obstacle_ids, pedestrian_class, road_ids
from edgeseg.types import Labels

STREET = LabelMap(("sky", "road", "pavement", "car", "Person"), distinct_palette(5), void=255)
SKY, ROAD, PAVEMENT, CAR, PERSON, VOID = 0, 1, 2, 3, 4, 255


def sample(truth: Labels) -> Sample:
    return Sample("x", np.zeros((*truth.shape, 3), np.uint8), truth)


def test_objects_by_hand() -> None:
    """Heights 14, 15 and 30 with 3 columns each, and a speck. Of the first half is found, of the second less."""
    truth = np.full((40, 20), ROAD, np.uint8)
    truth[0:14, 0:3], truth[0:15, 5:8], truth[0:30, 10:13], truth[35:38, 0:3] = (PERSON,) * 4
    said = truth.copy()
    said[0:7, 0:3] = CAR  # 21 of 42 left: found
    said[0:8, 5:8] = ROAD  # 21 of 45 left: not found
    said[truth == ROAD] = PERSON  # false alarms are not this metric's matter
    metric = ObjectRecall(STREET)
    metric.update(sample(truth), said)
    result = metric.result()
    assert result.object_class == "Person"
    counts = [(size.objects, size.found, size.pixels, size.found_pixels) for size in result.sizes]
    assert counts == [(1, 1, 42, 21), (1, 0, 45, 21), (1, 1, 90, 90), (0, 0, 0, 0)]
    assert [result.overall.object_recall, result.overall.pixel_recall] == pytest.approx([2 / 3, 132 / 177])
    assert (result.sizes[3].object_recall, result.sizes[3].pixel_recall) == (None, None)
    names = [row[0] for row in result.table().rows]
    assert names == ["below 15 px", "15 to 29 px", "30 to 79 px", "80 px or more", "all"]
    assert json.loads(json.dumps(result.to_dict()))["sizes"][1]["found"] == 0


def test_void_cuts_objects_and_corners_join_them() -> None:
    truth = np.full((8, 12), ROAD, np.uint8)
    truth[0:4, 0:3], truth[4:8, 3:6] = PERSON, PERSON  # touch by a corner
    truth[0:4, 7:12] = PERSON
    truth[:, 9] = VOID  # leaves 4×2 = 8 pixels on either side: two specks
    metric = ObjectRecall(STREET)
    metric.update(sample(truth), np.full_like(truth, PERSON))
    assert (metric.result().overall.objects, metric.result().overall.pixels) == (1, 24)


def test_another_class_by_name_and_none_at_all() -> None:
    assert ObjectRecall(STREET, MetricConfig(object_class="car")).result().object_class == "car"
    assert ObjectRecall(CAMVID).result().object_class == "pedestrian"
    assert ObjectRecall(VOC).result().object_class == "person"
    with pytest.raises(ConfigError, match="unknown class tram"):
        ObjectRecall(STREET, MetricConfig(object_class="tram"))
    with pytest.raises(ConfigError, match=r"no class is called pedestrian or person; choose one .*background, road"):
        ObjectRecall(KITTI_ROAD)


def test_false_free_space_by_hand() -> None:
    """A car of 20 pixels with 12 called road, a person of 10 with 2 called road and 3 called car, road called car."""
    truth = np.full((10, 20), ROAD, np.uint8)
    truth[0], truth[1] = SKY, PAVEMENT
    truth[2:6, 0:5], truth[2:7, 10:12], truth[9] = CAR, PERSON, VOID
    said = truth.copy()
    said[0:2] = ROAD  # sky and pavement called road are neither
    said[2:5, 0:4] = ROAD
    said[2, 10:12], said[3, 10:12], said[4, 10] = ROAD, CAR, CAR
    said[8, 0:7] = CAR
    said[9] = ROAD
    metric = FreeSpace(STREET)
    metric.update(sample(truth), said)
    result = metric.result()
    car, person = result.by_class["car"], result.by_class["Person"]
    assert (car.pixels, car.called_road, car.objects, car.swallowed) == (20, 12, 1, 1)
    assert car.rate == pytest.approx(0.6)
    assert (person.pixels, person.called_road, person.objects, person.swallowed) == (10, 2, 1, 0)
    assert result.overall.rate == pytest.approx(14 / 30)
    assert set(result.by_class) == {"car", "Person"}
    assert result.road_pixels == 7 * 20 - 30
    assert result.false_obstacle_rate == pytest.approx(7 / 110)
    value = json.loads(json.dumps(result.to_dict()))
    assert (value["false_free_space_rate"], value["classes"]["car"]["swallowed"]) == (result.overall.rate, 1)
    assert result.table().rows[-1] == ("all obstacles", "46.667", "14/30", "1/2")


def test_camvid_has_eight_obstacles() -> None:
    assert set(FreeSpace(CAMVID).result().by_class) == set(CAMVID.names) - {"sky", "road", "pavement"}


def test_names_of_vistas_are_read_by_their_hierarchy() -> None:
    flat = ("construction--flat--road", "construction--flat--bike-lane", "construction--flat--odd", "marking--general")
    names = (*flat, "nature--terrain", "nature--sky", "void--ego-vehicle", "object--vehicle--car", "human--person")
    label_map = LabelMap(names, distinct_palette(len(names)))
    assert [label_map.names[index] for index in road_ids(label_map)] == [flat[0], flat[3]]
    assert [label_map.names[index] for index in obstacle_ids(label_map)] == list(names[-2:])
    assert pedestrian_class(label_map) == "human--person"


@pytest.mark.parametrize(
    ("label_map", "problem"),
    [
        (VOC, "no class is called road"),
        (KITTI_ROAD, "class 'background' may hold both ground and obstacles"),
        (LabelMap(("road", "terrain"), distinct_palette(2)), "no class is an obstacle"),
    ],
)
def test_free_space_refuses_classes_that_do_not_tell(label_map: LabelMap, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        FreeSpace(label_map)


def test_every_metric_adds_up_and_has_a_result_for_nothing_and_for_void() -> None:
    rng = np.random.default_rng(2)
    frames = [rng.integers(0, 5, (3, 16, 20), dtype=np.uint8) for _ in range(4)]
    opened = [open_metrics("all", STREET).metrics for _ in range(3)]
    assert list(opened[0]) == list(METRICS)
    for name in METRICS:
        whole, first, second = (metrics[name] for metrics in opened)
        nothing = json.dumps(whole.result().to_dict(), allow_nan=False)
        whole.update(sample(np.full((16, 20), VOID, np.uint8)), frames[0][0])
        void_alone = json.loads(json.dumps(whole.result().to_dict(), allow_nan=False))
        assert void_alone == {**json.loads(nothing), "frames": 1, **({"compared": None} if name == "flicker" else {})}
        assert whole.result().table().rows
        if name == "flicker":  # the pair between two parts is lost: see test_flicker
            continue
        for index, (truth, said, _) in enumerate(frames):
            (first if index < 2 else second).update(sample(truth), said)
            whole.update(sample(truth), said)
        total = (first + second).result().to_dict()
        assert {**total, "frames": 5} == whole.result().to_dict(), name
        assert first.frames == 2, "an operand was changed"
    with pytest.raises(ConfigError, match="adds up only with one of the same classes"):
        opened[0]["boundary"] + open_metrics("boundary", CAMVID).metrics["boundary"]


def test_names_of_metrics() -> None:
    assert list(open_metrics("free-space, boundary,free-space", STREET).metrics) == ["free-space", "boundary"]
    for names in ("", ",", "boundry"):
        with pytest.raises(ConfigError, match="choose from boundary, trimap"):
            open_metrics(names, STREET)
    left_out = open_metrics("all", KITTI_ROAD).left_out
    assert set(left_out) == {"objects", "free-space"}
    with pytest.raises(ConfigError, match="no class is called pedestrian"):
        open_metrics("all,objects", KITTI_ROAD)
