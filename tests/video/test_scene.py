from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from edgeseg.data.synthetic import SyntheticDrive
from edgeseg.errors import ConfigError
from edgeseg.labels import CAMVID, LabelMap, distinct_palette
from edgeseg.types import INVALID, UNKNOWN, Labels, Segmentation
from edgeseg.video.scene.ahead import AheadConfig, AheadEvent, in_corridor
from edgeseg.video.scene.analyser import SceneAnalyser
from edgeseg.video.scene.base import FreeSpace, Person, Scene
from edgeseg.video.scene.free_space import FreeSpaceFinder
from edgeseg.video.scene.people import PeopleFinder
from edgeseg.video.scene.shares import class_shares
from edgeseg.video.scene.unknown import with_unknown
from edgeseg.video.sources.base import FrameRecord

SKY, BUILDING, ROAD, PAVEMENT, CAR, PERSON, BICYCLIST = (
    CAMVID.names.index(name) for name in ("sky", "building", "road", "pavement", "car", "pedestrian", "bicyclist")
)
SIZE_HW = (360, 480)


def street() -> Labels:
    """Sky above, road below row 200."""
    labels = np.full(SIZE_HW, SKY, np.uint8)
    labels[200:] = ROAD
    return labels


def record(labels: Labels, index: int = 0, time_s: float | None = None) -> FrameRecord:
    frame = np.zeros((*labels.shape, 3), np.uint8)
    return FrameRecord(index, frame, index / 30 if time_s is None else time_s, f"{index:06d}")


def scene(labels: Labels) -> Scene:
    return SceneAnalyser(CAMVID)(record(labels), Segmentation(labels, 1.0))


def free_space(labels: Labels) -> FreeSpace:
    return FreeSpaceFinder(CAMVID)(labels, 0.0)


def filled(polygon_xy: np.ndarray[tuple[int, ...], np.dtype[np.int32]], size_hw: tuple[int, ...]) -> Labels:
    return np.asarray(cv2.fillPoly(np.zeros(size_hw, np.uint8), [polygon_xy], 1), np.uint8)


def test_shares_are_those_of_the_pixels() -> None:
    shares = class_shares(street(), CAMVID)
    assert list(shares) == list(CAMVID.names)
    assert shares["sky"] == pytest.approx(200 / 360, abs=0.01)
    assert shares["road"] == pytest.approx(160 / 360, abs=0.01)
    labels = street()
    labels[200:] = UNKNOWN
    assert sum(class_shares(labels, CAMVID).values()) == pytest.approx(200 / 360, abs=0.01)


def test_free_road_goes_up_to_what_stands_on_it() -> None:
    labels = street()
    labels[240:280, 120:180] = CAR
    found = free_space(labels)
    behind = (found.columns_x >= 120) & (found.columns_x < 180)
    assert (np.abs(found.rows_y[behind] - 280) <= 2).all()
    assert (np.abs(found.rows_y[~behind] - 200) <= 2).all()
    assert found.distances_m is None


def test_the_polygon_is_the_free_road() -> None:
    labels = street()
    labels[240:280, 120:180] = CAR
    inside = filled(free_space(labels).polygon_xy, labels.shape)
    truth = (labels == ROAD).astype(np.uint8)
    truth[:280, 120:180] = 0
    assert (inside & truth).sum() / (inside | truth).sum() > 0.97


@pytest.mark.parametrize("seed", range(3))
def test_the_polygon_stays_inside_the_road(seed: int) -> None:
    drive = SyntheticDrive(seed=seed, size_hw=(240, 320))
    for index in (0, 411):
        labels = drive.frame(index)[1]
        found = free_space(labels)
        inside = filled(found.polygon_xy, labels.shape)
        assert inside.sum() > 0.05 * labels.size
        near = cv2.dilate((labels == ROAD).astype(np.uint8), np.ones((7, 7), np.uint8))
        assert (near[inside > 0] > 0).mean() > 0.995


def test_single_pixels_do_not_cut_the_road() -> None:
    rng = np.random.default_rng(7)
    labels = street()
    specks = rng.random(SIZE_HW) < 0.005
    labels[specks] = CAR
    found = free_space(labels)
    assert np.median(found.rows_y) <= 210
    assert (found.rows_y <= 230).mean() > 0.9


def test_no_road_at_the_lower_edge_is_no_free_space() -> None:
    labels = street()
    labels[250:] = PAVEMENT
    found = free_space(labels)
    assert found.polygon_xy.shape == (0, 2)
    assert (found.rows_y == SIZE_HW[0]).all()
    labels[250:] = PERSON
    assert not len(free_space(labels).polygon_xy)


def test_the_bonnet_is_not_in_the_way_but_a_box_is() -> None:
    labels = street()
    labels[320:] = CAR
    finder = FreeSpaceFinder(CAMVID)
    assert (finder(labels, 0.0).rows_y <= 202).all()
    boxed = labels.copy()
    boxed[300:320, 200:260] = BUILDING
    hit = (finder(boxed, 0.1).columns_x > 205) & (finder(boxed, 0.1).columns_x < 255)
    assert (finder(boxed, 0.2).rows_y[hit] == SIZE_HW[0]).all()
    assert (finder(boxed, 0.2).rows_y[~hit] <= 202).mean() > 0.9
    # After so long it has become part of the car.
    for step in range(120):
        last = finder(boxed, 0.3 + step / 10)
    assert (last.rows_y[hit] <= 202).all()


def test_what_goes_away_is_forgotten_at_once() -> None:
    covered = street()
    covered[320:] = CAR
    finder = FreeSpaceFinder(CAMVID)
    finder(covered, 0.0)
    finder(street(), 0.1)
    assert not len(finder(covered, 0.2).polygon_xy)


def test_tiny_and_odd_pictures() -> None:
    for size_hw in ((1, 1), (2, 500), (97, 3), (181, 79)):
        labels = np.full(size_hw, ROAD, np.uint8)
        found = scene(labels)
        assert found.free_space is not None
        assert (found.free_space.rows_y == 0).all()
        assert found.shares["road"] == 1


def test_people_are_components_with_their_boxes() -> None:
    labels = street()
    labels[180:260, 100:130] = PERSON
    labels[190:230, 300:312] = BICYCLIST
    labels[210:212, 400:402] = PERSON  # a speck
    people = PeopleFinder(CAMVID)(labels)
    assert [person.box_xywh for person in people] == [(100, 180, 30, 80), (300, 190, 12, 40)]
    assert [person.area_px for person in people] == [2400, 480]
    assert all(person.on_road and person.distance_m is None for person in people)


def test_boxes_of_large_pictures_are_in_their_pixels() -> None:
    labels = np.asarray(cv2.resize(street(), (1280, 720), interpolation=cv2.INTER_NEAREST), np.uint8)
    labels[300:500, 600:680] = PERSON
    (person,) = PeopleFinder(CAMVID)(labels)
    assert person.box_xywh == (600, 300, 80, 200)
    assert person.area_px == 200 * 80


def test_somebody_on_the_pavement_is_not_on_the_road() -> None:
    labels = street()
    labels[200:, :200] = PAVEMENT
    labels[180:260, 100:130] = PERSON
    labels[180:260, 300:330] = PERSON
    assert [(p.box_xywh[0], p.on_road) for p in PeopleFinder(CAMVID)(labels)] == [(100, False), (300, True)]


def test_noise_is_not_a_crowd_without_end() -> None:
    labels = np.where(np.indices((720, 1280)).sum(axis=0) // 12 % 2, PERSON, ROAD).astype(np.uint8)
    labels[::12] = ROAD
    assert len(PeopleFinder(CAMVID)(labels)) <= 32


def person(left: int, bottom: int, width: int = 20) -> Person:
    return Person((left, bottom - 60, width, 60), 900, True)


def test_the_corridor_widens_towards_the_car() -> None:
    config = AheadConfig()
    assert in_corridor(person(230, 300), SIZE_HW, config)
    assert in_corridor(person(80, 355), SIZE_HW, config)
    assert not in_corridor(person(80, 220), SIZE_HW, config)
    assert not in_corridor(person(230, 180), SIZE_HW, config)


@pytest.mark.parametrize("fps", [5, 12, 30, 60])
def test_the_event_takes_its_time_at_any_rate(fps: int) -> None:
    event = AheadEvent()
    times = np.arange(0, 4, 1 / fps)
    told = [(t, event.step(bool(1 <= t < 2), float(t))) for t in times]
    (begin, first), (end, last) = [(t, name) for t, name in told if name]
    assert (first, last) == ("person_ahead", "path_clear")
    config = event.config
    assert 1 + config.confirm_s - 1e-9 <= begin <= 1 + config.confirm_s + 1.01 / fps
    assert 2 + config.clear_s - 1.01 / fps <= end <= 2 + config.clear_s + 1.01 / fps


@pytest.mark.parametrize("seed", range(20))
def test_the_event_never_toggles_within_its_time(seed: int) -> None:
    rng = np.random.default_rng(seed)
    event = AheadEvent()
    times = np.cumsum(rng.choice([1 / 60, 1 / 30, 0.2, 1.5], 400))
    changes = [(t, name) for t in times if (name := event.step(bool(rng.random() < rng.choice([0.3, 0.9])), float(t)))]
    names = [name for _, name in changes]
    assert names == ["person_ahead", "path_clear"] * (len(names) // 2) + ["person_ahead"] * (len(names) % 2)
    for (before, _), (after, name) in pairwise(changes):
        needs = event.config.confirm_s if name == "person_ahead" else event.config.clear_s
        assert after - before >= needs - 1e-9


def test_one_frame_alone_says_nothing_at_any_rate() -> None:
    for step_s in (1 / 60, 0.2, 2.0):
        event = AheadEvent()
        assert [event.step(index == 3, index * step_s) for index in range(20)] == [None] * 20


def test_somebody_lost_now_and_then_stays_ahead() -> None:
    event = AheadEvent()
    told = [event.step(index % 4 != 3, index / 30) for index in range(90)]
    assert [name for name in told if name] == ["person_ahead"]


def test_a_recording_is_judged_by_its_own_rate() -> None:
    labels = street()
    labels[220:320, 220:260] = PERSON
    analyser = SceneAnalyser(CAMVID, fps=10)
    # Decoded within microseconds, but 0.1 s apart in the recording.
    events = [analyser(record(labels, index, index * 1e-6), Segmentation(labels, 1.0)).event for index in range(4)]
    assert events == [None, None, "person_ahead", None]


def test_an_invalid_frame_has_nothing_and_changes_nothing() -> None:
    labels = street()
    labels[220:320, 220:260] = PERSON
    analyser = SceneAnalyser(CAMVID, fps=10)
    for index in range(4):
        analyser(record(labels, index), Segmentation(labels, 1.0))
    nothing = np.full(SIZE_HW, INVALID, np.uint8)
    found = analyser(record(nothing, 4), Segmentation(nothing, 1.0, valid=False))
    assert found == Scene(shares={}, person_ahead=True)


def test_label_maps_without_road_or_people() -> None:
    animals = LabelMap(("cat", "dog"), distinct_palette(2))
    labels = np.ones((40, 40), np.uint8)
    found = SceneAnalyser(animals)(record(labels), Segmentation(labels, 1.0))
    assert found == Scene({"cat": 0.0, "dog": 1.0})


def test_crossing_people_of_the_synthetic_drive_are_told() -> None:
    drive = SyntheticDrive(seed=0, size_hw=(180, 320), fps=10)
    analyser = SceneAnalyser(CAMVID, fps=10)
    events = []
    for index in range(100, 135):
        frame, labels = drive.frame(index)
        found = analyser(FrameRecord(index, frame, 0.0, ""), Segmentation(labels, 1.0))
        events += [found.event] if found.event else []
    assert events == ["person_ahead", "path_clear"]


def test_unknown_is_where_the_model_is_not_sure() -> None:
    labels = street()
    confidence = np.full(SIZE_HW, 200, np.uint8)
    confidence[:10] = 127
    confidence[10:20] = 128
    found = with_unknown(Segmentation(labels, 1.0, confidence=confidence), 0.5)
    assert (found.labels[:10] == UNKNOWN).all()
    assert np.array_equal(found.labels[10:], labels[10:])
    assert (labels[:10] == SKY).all()  # the model's own are left alone
    with pytest.raises(ConfigError, match="--confidence"):
        with_unknown(Segmentation(labels, 1.0), 0.5)
    invalid = Segmentation(np.full(SIZE_HW, INVALID, np.uint8), 1.0, valid=False)
    assert with_unknown(invalid, 0.5) is invalid


def test_no_class_can_be_unknown() -> None:
    with pytest.raises(ConfigError, match="2 to 254"):
        LabelMap(tuple(map(str, range(255))), distinct_palette(255))


def test_unknown_road_is_not_free() -> None:
    labels = street()
    labels[260:300, 100:200] = UNKNOWN
    found = free_space(labels)
    behind = (found.columns_x > 106) & (found.columns_x < 194)
    assert (found.rows_y[behind] >= 299).all()


def test_settings_are_checked() -> None:
    for wrong in ({"top_row": 1.0}, {"top_width": 0.0}, {"bottom_width": 1.5}, {"confirm_s": 0.0}, {"clear_s": 60.0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            AheadConfig(**wrong)
