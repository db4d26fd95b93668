"""What the overlay draws beside the classes: each thing in its place, only when given, and never over everything."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scripted_stream import grey_frame

from edgeseg.errors import ConfigError
from edgeseg.labels import CAMVID
from edgeseg.types import INVALID, UNKNOWN, Frame, Labels
from edgeseg.video.health.base import FAULTS, HEALTHY, Health
from edgeseg.video.overlay import MODES, Overlay
from edgeseg.video.overlay import bands as bands_module
from edgeseg.video.overlay.banners import AMBER, FAULT_WORDS, RED, banners_for
from edgeseg.video.overlay.curve import round_up
from edgeseg.video.overlay.letters import Letters
from edgeseg.video.results import Pulse
from edgeseg.video.scene.base import FreeSpace, Person, Scene

HW = (360, 480)
ROAD, PEDESTRIAN = CAMVID.ids(["road", "pedestrian"])
CALM = Scene(shares={})
NO_COLUMNS: NDArray[np.int32] = np.empty(0, np.int32)
WALKER = Person((200, 150, 40, 100), 3000, on_road=False)
JAYWALKER = replace(WALKER, on_road=True)
DRIVING = Pulse(age_ms=20.0, recent_age_ms=(20.0,) * 119 + (80.0,), deadline_ms=33.0, deadline_misses=1)


def free_space(*corners: tuple[int, int]) -> FreeSpace:
    return FreeSpace(np.array(corners, np.int32).reshape(-1, 2), NO_COLUMNS, NO_COLUMNS)


def paint(
    scene: Scene | None = CALM,
    *,
    mode: str = "blend",
    size_hw: tuple[int, int] = HW,
    health: Health = HEALTHY,
    pulse: Pulse | None = None,
    inset_bgr: Frame | None = None,
    valid: bool = True,
) -> Frame:
    """A grey frame, all of it road."""
    return Overlay(CAMVID, mode=mode).paint(
        grey_frame(90, size_hw),
        np.full(size_hw, ROAD, np.uint8),
        valid=valid,
        scene=scene,
        health=health,
        pulse=pulse,
        inset_bgr=inset_bgr,
    )


def full_dress(overlay: Overlay, size_hw: tuple[int, int]) -> Frame:
    """All at once, in a picture of any size."""
    height, width = size_hw
    labels = np.full(size_hw, ROAD, np.uint8)
    labels[: height // 3, width // 2 :] = UNKNOWN
    people = tuple(
        Person((left, height // 2, max(1, width // 9), max(1, height // 4)), 9, on_road, 7.0)
        for left, on_road in ((-2, False), (width // 2, True), (width - 1, False))
    )
    road = free_space((0, height - 1), (width // 2, height // 2), (width - 1, height - 1))
    return overlay.paint(
        grey_frame(90, size_hw),
        labels,
        "30.0 fps",
        scene=Scene({"road": 0.8}, road, people, person_ahead=True),
        health=Health(("frozen", "blurred")),
        pulse=replace(DRIVING, degraded="on the CPU."),
        inset_bgr=grey_frame(200, (300, 160)),
    )


def changed(one: Frame, other: Frame) -> NDArray[np.bool_]:
    return np.asarray((one != other).any(axis=2), np.bool_)


def differing(labels: Labels) -> NDArray[np.bool_]:
    """Where the pixel to the left, right, above or below has another class."""
    padded = np.pad(labels, 1, mode="edge")
    up, down, left, right = padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]
    return np.asarray((labels != up) | (labels != down) | (labels != left) | (labels != right), np.bool_)


def bounds(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom; the last two are the first column and row beyond."""
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return left, top, left + width, top + height


class TestRoad:
    def test_a_line_along_the_boundary_and_nowhere_else(self) -> None:
        corners = ((100, 300), (240, 200), (400, 300))
        touched = changed(paint(replace(CALM, free_space=free_space(*corners))), paint())
        line = np.zeros(HW, np.uint8)
        cv2.polylines(line, [np.array(corners, np.int32)], True, 255, 1)
        assert touched[line > 0].all()
        assert not touched[cv2.dilate(line, np.ones((9, 9), np.uint8)) == 0].any()

    def test_where_the_road_leaves_the_picture_there_is_no_boundary(self) -> None:
        height, width = HW
        corners = ((0, 250), (width - 1, 250), (width - 1, height - 1), (0, height - 1))
        touched = changed(paint(replace(CALM, free_space=free_space(*corners))), paint())
        assert touched[250].all()
        assert not touched[260:].any()

    @pytest.mark.parametrize("none", [None, free_space(), free_space((3, 4), (5, 6))])
    def test_no_road_no_line(self, none: FreeSpace | None) -> None:
        np.testing.assert_array_equal(paint(replace(CALM, free_space=none)), paint())


class TestPeople:
    def test_beside_the_road_white_corners(self) -> None:
        picture = paint(replace(CALM, people=(WALKER,)))
        touched = changed(picture, paint())
        assert bounds(touched) == (200, 150, 240, 250)
        assert (picture[150, 200:205] == 255).all()
        assert not touched[:, 218:222].any()
        assert not touched[190:210].any()

    def test_on_the_road_a_red_box_all_around(self) -> None:
        picture = paint(replace(CALM, people=(JAYWALKER,)))
        touched = changed(picture, paint())
        for side in (picture[150, 200:240], picture[249, 200:240], picture[150:250, 200], picture[150:250, 239]):
            assert (side[:, 2] > 200).all()
            assert (side[:, :2] < 100).all()
        assert not touched[165:235, 210:230].any()
        assert touched.mean() > 2 * changed(paint(replace(CALM, people=(WALKER,))), paint()).mean()

    @pytest.mark.parametrize("person", [WALKER, JAYWALKER])
    def test_a_distance_stands_above_where_it_is_known(self, person: Person) -> None:
        unknown, known = (paint(replace(CALM, people=(replace(person, distance_m=metres),))) for metres in (None, 12.4))
        left, top, right, bottom = bounds(changed(known, unknown))
        assert left >= 199
        assert right < 240
        assert top > 130
        assert bottom <= 152

    def test_everybody_on_the_road_is_marked_however_many_are_beside_it(self) -> None:
        crowd = tuple(Person((160 + 8 * index, 150, 6, 20), 100, on_road=False) for index in range(30))
        assert changed(paint(replace(CALM, people=(*crowd, JAYWALKER))), paint(replace(CALM, people=crowd))).any()

    def test_a_picture_without_classes_has_neither(self) -> None:
        scene = replace(CALM, people=(JAYWALKER,), free_space=free_space((100, 300), (240, 200), (400, 300)))
        np.testing.assert_array_equal(paint(scene, mode="off"), paint(mode="off"))


class TestWarning:
    @pytest.mark.parametrize("mode", MODES)
    def test_a_red_frame_and_a_badge_between_the_panels(self, mode: str) -> None:
        scene = replace(CALM, person_ahead=True)
        calm, warned = (paint(one, mode=mode, pulse=DRIVING) for one in (CALM, scene))
        touched = changed(warned, calm)
        assert touched[0].all()
        assert touched[-1].all()
        assert touched[:, 0].all()
        assert touched[:, -1].all()
        inside = touched[5:-5, 5:-5]
        left, _, right, bottom = bounds(inside)
        assert bottom < 45
        assert 60 < left < right < 350
        assert inside[:bottom, left:right].mean() > 0.2

    def test_it_tells_the_distance_of_the_nearest_on_the_road(self) -> None:
        def badge(*people: Person) -> Frame:
            warned = replace(CALM, people=people, person_ahead=True)
            return paint(warned)[:60]

        far, near = replace(JAYWALKER, distance_m=12.0), replace(JAYWALKER, distance_m=5.0)
        aside = replace(WALKER, distance_m=2.0)
        np.testing.assert_array_equal(badge(far, near, aside), badge(near))
        assert (badge(far) != badge(near)).any()
        assert (badge(JAYWALKER) != badge(near)).any()


class TestCurve:
    def bars(self, pulse: Pulse) -> Frame:
        return paint(pulse=pulse)[:100, 330:]

    def test_a_panel_in_the_upper_right_only_with_ages(self) -> None:
        np.testing.assert_array_equal(paint(pulse=Pulse(fps=30.0, age_ms=12.0)), paint())
        left, _, right, bottom = bounds(changed(paint(pulse=DRIVING), paint()))
        assert left > 300
        assert right <= 480
        assert bottom < 120

    def test_late_frames_are_amber_and_the_newest_is_at_the_right(self) -> None:
        bars = self.bars(DRIVING)
        amber = np.flatnonzero((bars[33:66] == AMBER).all(axis=2).sum(axis=0) > 20)
        assert len(amber) == 1
        earlier = self.bars(replace(DRIVING, recent_age_ms=(80.0,) + (20.0,) * 119))
        assert np.flatnonzero((earlier[33:66] == AMBER).all(axis=2).sum(axis=0) > 20).tolist() == [amber[0] - 119]

    def test_without_a_deadline_nothing_is_late(self) -> None:
        bars = self.bars(replace(DRIVING, deadline_ms=None, deadline_misses=0))
        assert not (bars == AMBER).all(axis=2).any()
        assert len(bars) - np.flatnonzero(changed(bars, paint()[:100, 330:]).any(axis=1)).max() > 15  # one line less

    def test_the_deadline_is_a_dashed_line_at_its_height(self) -> None:
        bars = self.bars(replace(DRIVING, recent_age_ms=(10.0,), deadline_ms=50.0))
        white = (bars[21:66] == 255).all(axis=2).sum(axis=1)  # below the line of text
        row = int(np.argmax(white))
        assert white[row] == 80  # two thirds of 120
        assert np.flatnonzero(white).tolist() == [row]

    def test_few_frames_leave_the_rest_of_the_panel_empty(self) -> None:
        few = self.bars(replace(DRIVING, recent_age_ms=(20.0, 20.0)))
        many = self.bars(replace(DRIVING, recent_age_ms=(20.0,) * 120))
        assert changed(few, many).any(axis=0).sum() >= 118

    def test_narrow_pictures_have_no_room(self) -> None:
        size = (360, 240)
        np.testing.assert_array_equal(paint(pulse=DRIVING, size_hw=size), paint(size_hw=size))

    @pytest.mark.parametrize(
        ("value", "expected"), [(0.0, 1), (1.0, 1), (1.1, 2), (29.9, 30), (33.0, 50), (701.0, 1e3)]
    )
    def test_scales_are_round(self, value: float, expected: float) -> None:
        assert round_up(value) == pytest.approx(expected)


class TestBanners:
    def test_the_gravest_is_first(self) -> None:
        banners = banners_for(valid=False, health=Health(("frozen", "blurred")), degraded=["DEGRADED: slow", None])
        assert [banner.text[:8] for banner in banners] == ["CAMERA F", "INVALID:", "DEGRADED"]
        assert [banner.severe for banner in banners] == [True, True, False]
        assert banners[0].text == "CAMERA FAULT: picture frozen, out of focus"

    def test_nothing_is_said_where_nothing_is_the_matter(self) -> None:
        assert banners_for(valid=True, health=HEALTHY, degraded=[None, None]) == []
        assert len(banners_for(valid=True, health=HEALTHY, degraded=["DEGRADED: slow", "DEGRADED: slow"])) == 1

    def test_every_fault_has_words(self) -> None:
        assert set(FAULT_WORDS) == set(FAULTS)

    def test_several_stand_above_each_other_the_gravest_lowest(self) -> None:
        picture = paint(health=Health(("occluded",)), pulse=Pulse(degraded="on the CPU."), valid=False)
        edge = picture[:, -2]
        reds, ambers = ((edge == colour).all(axis=1).nonzero()[0] for colour in (RED, AMBER))
        assert reds.max() == HW[0] - 1
        assert ambers.max() < reds.min()
        assert len(reds) > 1.8 * len(ambers)
        assert len(reds) + len(ambers) < HW[0] / 4

    def test_in_a_low_picture_the_gravest_remains(self) -> None:
        picture = paint(health=Health(("occluded",)), pulse=Pulse(degraded="x"), valid=False, size_hw=(40, 400))
        edge = picture[:, -2].tolist()
        assert edge[-1] == list(RED)
        assert list(AMBER) not in edge
        assert edge.count(list(RED)) <= 20


class TestUnknown:
    def labels(self) -> Labels:
        labels = np.full(HW, ROAD, np.uint8)
        labels[:180, 240:] = UNKNOWN
        return labels

    @pytest.mark.parametrize("mode", ["blend", "outline", "labels"])
    @pytest.mark.parametrize("classes", [None, ["pedestrian"]])
    def test_it_is_hatched_in_grey(self, mode: str, classes: list[str] | None) -> None:
        frame = grey_frame(90, HW)
        picture = Overlay(CAMVID, mode=mode, classes=classes).paint(frame, self.labels())
        place = picture[5:170, 250:470]
        assert (np.ptp(place, axis=2) <= 1).all()  # no colour
        assert 0.05 < (place == 215).all(axis=2).mean() < 0.4
        assert not (picture[190:, 240:] == 215).all(axis=2).any()

    def test_it_is_listed_with_its_share_and_only_then(self) -> None:
        overlay = Overlay(CAMVID, classes=["road"], mode="outline")
        black = np.zeros((*HW, 3), np.uint8)
        known = overlay.paint(black, np.full(HW, ROAD, np.uint8), scene=Scene({"road": 0.75}))
        partly = overlay.paint(black, self.labels(), scene=Scene({"road": 0.75}))
        line = Letters.for_height(HW[0]).line
        heights = [int(np.flatnonzero(picture[:, :150].any(axis=(1, 2))).max()) for picture in (known, partly)]
        assert heights[1] - heights[0] == pytest.approx(line, abs=4)


class TestInset:
    def test_it_stands_in_the_lower_right_above_the_banners(self) -> None:
        inset = grey_frame(200, (100, 60))
        faulty = Health(("blurred",))
        touched = changed(paint(health=faulty, inset_bgr=inset), paint(health=faulty))
        left, top, right, bottom = bounds(touched)
        assert (right - left, bottom - top) == (62, 102)  # with its frame
        assert 470 < right < 480
        banner = (paint(health=faulty)[:, -2] == RED).all(axis=1).sum()
        assert HW[0] - banner - 10 < bottom <= HW[0] - banner

    def test_a_large_one_is_made_smaller_in_its_own_shape(self) -> None:
        left, top, right, bottom = bounds(changed(paint(inset_bgr=grey_frame(200, (1000, 500))), paint()))
        assert (bottom - top) / (right - left) == pytest.approx(2, rel=0.05)
        assert bottom - top < HW[0] / 2


class TestWaiting:
    def last(self) -> Frame:
        return np.random.default_rng(3).integers(0, 256, (*HW, 3), np.uint8)

    def test_the_last_picture_is_grey_and_dark_behind_a_banner(self) -> None:
        last = self.last()
        before = last.copy()
        dead = Overlay(CAMVID).waiting(last, "STALE: the picture is 1.4 s old")
        np.testing.assert_array_equal(last, before)
        assert dead.shape == last.shape
        outside = np.concatenate([dead[:90], dead[-90:]])
        assert (np.ptp(outside, axis=2) == 0).all()
        assert outside.mean() < 0.5 * last.mean()
        assert outside.std() > 10  # still seen
        assert (dead[100:-100] == AMBER).all(axis=2).mean() > 0.02
        assert (dead[100:-100] > 240).all(axis=2).mean() > 0.01  # letters

    def test_the_banner_says_what_it_is_told(self) -> None:
        overlay, last = Overlay(CAMVID), self.last()
        texts = ("PAUSED", "STALE: the picture is 1.4 s old", "STALE: the picture is 1.6 s old", "RECONNECTING")
        pictures = [overlay.waiting(last, text) for text in texts]
        for index, one in enumerate(pictures):
            np.testing.assert_array_equal(one, overlay.waiting(last, texts[index]))
            assert all((one != other).any() for other in pictures[:index])

    def test_a_long_text_fits(self) -> None:
        dead = Overlay(CAMVID).waiting(None, "RECONNECTING (attempt 3) to a camera with quite a long name")
        letters = np.asarray((dead > 240).all(axis=2))
        assert letters.any()
        assert not letters[:, :4].any()
        assert not letters[:, -4:].any()

    def test_without_a_picture_a_card(self) -> None:
        card = Overlay(CAMVID).waiting(None, "NO PICTURE YET", size_hw=(240, 320))
        assert card.shape == (240, 320, 3)
        assert len(np.unique(card[:60].reshape(-1, 3), axis=0)) == 1
        with pytest.raises(ConfigError, match="at least one row"):
            Overlay(CAMVID).waiting(None, "PAUSED", size_hw=(0, 3))

    @pytest.mark.parametrize("size_hw", [(1, 1), (5, 3), (3, 700), (700, 3)])
    def test_any_size_will_do(self, size_hw: tuple[int, int]) -> None:
        for picture in (None, grey_frame(90, size_hw)):
            shape = Overlay(CAMVID).waiting(picture, "STALE: 1.4 s", size_hw=size_hw).shape
            assert shape == (*size_hw, 3)


class TestTogether:
    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("size_hw", [(1, 1), (2, 3), (8, 8), (14, 300), (300, 14), (90, 130), (721, 160)])
    def test_any_size_will_do(self, size_hw: tuple[int, int], mode: str) -> None:
        assert full_dress(Overlay(CAMVID, mode=mode), size_hw).shape == (*size_hw, 3)

    @pytest.mark.parametrize("size_hw", [HW, (720, 1280), (1080, 1920)])
    def test_most_of_the_picture_stays_free(self, size_hw: tuple[int, int]) -> None:
        overlay = Overlay(CAMVID, mode="off")
        touched = changed(full_dress(overlay, size_hw), grey_frame(90, size_hw))
        assert touched.mean() < 0.4
        overlay.mode = "outline"
        height, width = size_hw
        touched = changed(full_dress(overlay, size_hw), grey_frame(90, size_hw))
        assert touched[height // 3 : 3 * height // 4, width // 3 : 2 * width // 3].mean() < 0.3

    @pytest.mark.parametrize("mode", MODES)
    def test_a_picture_depends_on_its_own_frame_alone(self, mode: str) -> None:
        overlay = Overlay(CAMVID, mode=mode)
        first = full_dress(overlay, HW)
        kept = first.copy()
        overlay.paint(grey_frame(10, HW), np.full(HW, PEDESTRIAN, np.uint8), "1 fps", scene=CALM)
        full_dress(overlay, (96, 400))
        np.testing.assert_array_equal(first, kept)  # nobody writes into a picture that was given out
        np.testing.assert_array_equal(full_dress(overlay, HW), kept)
        np.testing.assert_array_equal(full_dress(Overlay(CAMVID, mode=mode), HW), kept)

    def test_shares_come_from_the_scene_where_there_is_one(self) -> None:
        truth = paint(Scene({"road": 1.0}))
        np.testing.assert_array_equal(truth, paint(None))
        touched = changed(paint(Scene({"road": 0.4})), truth)
        assert bounds(touched)[2] < 160
        assert touched.any()

    def test_a_frame_without_numbers_lists_no_classes(self) -> None:
        labels = np.full(HW, INVALID, np.uint8)
        picture = Overlay(CAMVID).paint(grey_frame(90, HW), labels, valid=False, scene=CALM)
        assert (picture[:300] == 90).all()

    def test_classes_may_be_changed_between_pictures(self) -> None:
        overlay = Overlay(CAMVID)
        frame, labels = grey_frame(90, HW), np.full(HW, ROAD, np.uint8)
        everything = overlay.paint(frame, labels)
        overlay.set_classes(["pedestrian"])
        np.testing.assert_array_equal(
            overlay.paint(frame, labels), Overlay(CAMVID, classes=["pedestrian"]).paint(frame, labels)
        )
        with pytest.raises(ConfigError, match="unknown class tram"):
            overlay.set_classes(["tram"])
        assert (overlay.paint(frame, labels)[200:] == 90).all()
        overlay.set_classes(None)
        np.testing.assert_array_equal(overlay.paint(frame, labels), everything)


class TestBands:
    @pytest.mark.parametrize("mode", ["blend", "outline", "labels"])
    @pytest.mark.parametrize("height", [97, 721])
    @pytest.mark.parametrize("classes", [None, ["sky", "pole", "pavement", "sign", "car"]])
    def test_no_seam_can_be_seen(
        self, monkeypatch: pytest.MonkeyPatch, mode: str, height: int, classes: list[str] | None
    ) -> None:
        rng = np.random.default_rng(5)
        frame = rng.integers(0, 256, (height, 64, 3), np.uint8)
        labels = rng.choice(np.array([*range(len(CAMVID)), UNKNOWN, INVALID], np.uint8), (height, 64))
        labels[:20] = ROAD
        pictures = []
        for size in (1, 3 * 64 * 7, 1 << 20):
            monkeypatch.setattr(bands_module, "_BAND_BYTES", size)
            pictures.append(Overlay(CAMVID, mode=mode, classes=classes).paint(frame, labels))
        np.testing.assert_array_equal(pictures[0], pictures[2])
        np.testing.assert_array_equal(pictures[1], pictures[2])

    def test_outlines_are_where_a_neighbour_differs(self) -> None:
        labels = np.kron(np.random.default_rng(6).integers(0, 11, (12, 30), np.uint8), np.ones((8, 8), np.uint8))
        picture = Overlay(CAMVID, mode="outline").paint(grey_frame(90, labels.shape), labels)
        free = np.s_[:, 150:]
        np.testing.assert_array_equal(changed(picture, grey_frame(90, labels.shape))[free], differing(labels)[free])

    def test_from_720_rows_on_two_rows_share_their_colours(self) -> None:
        labels = np.full((720, 700), ROAD, np.uint8)
        labels[301:] = PEDESTRIAN
        picture = Overlay(CAMVID, mode="labels").paint(grey_frame(90, labels.shape), labels)[:, 600]
        np.testing.assert_array_equal(picture[301], picture[300])
        assert (picture[302] != picture[301]).any()


class TestLetters:
    def test_they_grow_with_the_picture_but_more_slowly(self) -> None:
        lines = [Letters.for_height(height).line for height in (96, 360, 720, 1080)]
        assert lines == sorted(set(lines))
        assert lines[1] / 360 > lines[3] / 1080

    def test_what_does_not_fit_ends_in_dots(self) -> None:
        letters = Letters(20)
        assert letters.fit("road", 500) == "road"
        short = letters.fit("a long line of text", 90)
        assert short.endswith("...")
        assert 50 < letters.width(short) <= 90
        assert letters.fit("anything", 3) == ""

    def test_other_alphabets_become_question_marks(self) -> None:
        assert Letters(20).fit("Straße…", 500) == "Stra?e..."
        assert Letters(20).rendered("Straße").any()
