from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scripted_stream import grey_frame

from edgeseg.errors import ConfigError
from edgeseg.labels import CAMVID, KITTI_ROAD, VOC, LabelMap
from edgeseg.types import Frame, Labels
from edgeseg.video.colours import _distance, display_palette
from edgeseg.video.overlay import MODES, Overlay
from edgeseg.video.scene.shares import id_shares as class_shares

ROAD, PEDESTRIAN = CAMVID.ids(["road", "pedestrian"])
HW = (96, 400)
FREE = np.s_[:, 250:]
"""Columns to the right of the legend."""


def scene(rng: np.random.Generator, num_classes: int = len(CAMVID)) -> tuple[Frame, Labels]:
    """A frame of noise, and blocks of all classes."""
    frame_bgr = rng.integers(0, 256, (*HW, 3), np.uint8)
    blocks = rng.integers(0, num_classes, (HW[0] // 8, HW[1] // 8), np.uint8)
    return frame_bgr, np.kron(blocks, np.ones((8, 8), np.uint8))


def colours_of(labels: Labels, label_map: LabelMap = CAMVID) -> Frame:
    """The display colour of each pixel, BGR."""
    table: NDArray[np.uint8] = np.array([rgb[::-1] for rgb in display_palette(label_map)], np.uint8)
    return table[labels]


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.45, 1.0])
def test_blend_is_the_weighted_mean(alpha: float) -> None:
    frame_bgr, labels = scene(np.random.default_rng(1))
    picture = Overlay(CAMVID, alpha=alpha).paint(frame_bgr, labels)
    expected = (1 - alpha) * frame_bgr.astype(float) + alpha * colours_of(labels)
    assert picture.dtype == np.uint8
    assert np.abs(picture[FREE] - expected[FREE]).max() <= 1.01  # both terms are rounded


@pytest.mark.parametrize("mode", MODES)
def test_the_frame_is_left_as_it_is(mode: str) -> None:
    frame_bgr, labels = scene(np.random.default_rng(2))
    before = frame_bgr.copy()
    picture = Overlay(CAMVID, mode=mode).paint(frame_bgr, labels, "10 fps")
    np.testing.assert_array_equal(frame_bgr, before)
    assert not np.shares_memory(picture, frame_bgr)


@pytest.mark.parametrize("mode", ["blend", "outline"])
def test_only_the_named_classes_are_touched(mode: str) -> None:
    frame_bgr, labels = scene(np.random.default_rng(3))
    overlay = Overlay(CAMVID, classes=["pedestrian", "road"], mode=mode)
    picture = overlay.paint(frame_bgr, labels)
    changed = (picture != frame_bgr).any(axis=2)[FREE]
    drawn = np.isin(labels, (ROAD, PEDESTRIAN))[FREE]
    assert not changed[~drawn].any()
    assert changed[drawn].mean() > (0.95 if mode == "blend" else 0.2)


@pytest.mark.parametrize("mode", ["blend", "outline", "labels"])
def test_a_picture_without_the_named_classes(mode: str) -> None:
    frame_bgr, labels = scene(np.random.default_rng(4), num_classes=ROAD)
    picture = Overlay(CAMVID, classes=["road"], mode=mode).paint(frame_bgr, labels)
    expected = np.zeros_like(frame_bgr) if mode == "labels" else frame_bgr
    np.testing.assert_array_equal(picture[FREE], expected[FREE])


def test_void_is_not_drawn() -> None:
    frame_bgr, labels = scene(np.random.default_rng(5))
    labels[40:60] = CAMVID.void
    picture = Overlay(CAMVID).paint(frame_bgr, labels)
    np.testing.assert_array_equal(picture[40:60, 250:], frame_bgr[40:60, 250:])
    assert (picture[60:, 250:] != frame_bgr[60:, 250:]).any()


def test_labels_mode_shows_colours_alone() -> None:
    frame_bgr, labels = scene(np.random.default_rng(6))
    picture = Overlay(CAMVID, mode="labels").paint(frame_bgr, labels)
    np.testing.assert_array_equal(picture[FREE], colours_of(labels)[FREE])


def test_off_shows_the_camera_with_its_status() -> None:
    frame_bgr, labels = scene(np.random.default_rng(7))
    overlay = Overlay(CAMVID, mode="off")
    np.testing.assert_array_equal(overlay.paint(frame_bgr, labels), frame_bgr)
    with_status = overlay.paint(frame_bgr, labels, "31 fps")
    assert (with_status != frame_bgr).any()
    np.testing.assert_array_equal(with_status[FREE], frame_bgr[FREE])


@pytest.mark.parametrize(("height", "reach"), [(96, 1), (400, 1), (800, 2)])
def test_outlines_run_along_both_sides_of_a_border(height: int, reach: int) -> None:
    labels = np.full((height, 400), ROAD, np.uint8)
    labels[:, 300:] = PEDESTRIAN
    frame_bgr = grey_frame(90, (height, 400))
    picture = Overlay(CAMVID, mode="outline").paint(frame_bgr, labels)[height // 2]
    changed = np.flatnonzero((picture != 90).any(axis=1))
    assert changed[changed > 250].tolist() == list(range(300 - reach, 300 + reach))
    colours = colours_of(labels)[height // 2]
    np.testing.assert_array_equal(picture[299:301], colours[299:301])


def test_frames_may_change_their_size() -> None:
    overlay = Overlay(CAMVID)
    for size_hw in ((96, 400), (200, 300), (96, 400)):
        labels = np.full(size_hw, ROAD, np.uint8)
        assert overlay.paint(grey_frame(50, size_hw), labels, "x").shape == (*size_hw, 3)


@pytest.mark.parametrize("size_hw", [(1, 1), (8, 8), (20, 30), (2160, 64)])
@pytest.mark.parametrize("mode", MODES)
def test_pictures_smaller_than_the_legend(size_hw: tuple[int, int], mode: str) -> None:
    picture = Overlay(CAMVID, mode=mode).paint(grey_frame(50, size_hw), np.full(size_hw, ROAD, np.uint8), "10 fps")
    assert picture.shape == (*size_hw, 3)


def test_modes_follow_each_other() -> None:
    overlay = Overlay(CAMVID)
    seen = []
    for _ in range(len(MODES) + 1):
        seen.append(overlay.mode)
        overlay.next_mode()
    assert seen == [*MODES, MODES[0]]


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"alpha=1\.5"):
        Overlay(CAMVID, alpha=1.5)
    with pytest.raises(ConfigError, match="blend, outline, labels, off"):
        Overlay(CAMVID, mode="tint")
    with pytest.raises(ConfigError, match="unknown class person; this model has: sky"):
        Overlay(CAMVID, classes=["road", "person"])
    with pytest.raises(ConfigError, match="do not belong together"):
        Overlay(CAMVID).paint(grey_frame(1, (10, 10)), np.zeros((10, 11), np.uint8))


class TestLegend:
    def legend(self, overlay: Overlay, labels: Labels, status: str = "") -> Frame:
        """The legend on a black picture."""
        return overlay.paint(np.zeros((*labels.shape, 3), np.uint8), labels, status)

    def test_swatches_have_the_colours_of_the_picture(self) -> None:
        labels = np.full((360, 480), CAMVID.void, np.uint8)
        picture = self.legend(Overlay(CAMVID), labels)
        found = {tuple(pixel) for pixel in np.unique(picture[:180, :120].reshape(-1, 3), axis=0).tolist()}
        for rgb in display_palette(CAMVID):
            assert rgb[::-1] in found

    def test_a_class_restriction_also_shortens_the_legend(self) -> None:
        labels = np.full((360, 480), CAMVID.void, np.uint8)
        few = self.legend(Overlay(CAMVID, classes=["road", "pedestrian"]), labels)
        assert np.flatnonzero(few.any(axis=(1, 2))).max() < 60

    def test_absent_classes_are_dim(self) -> None:
        labels = np.full((360, 480), CAMVID.void, np.uint8)
        absent = self.legend(Overlay(CAMVID, classes=["road"]), labels)
        labels[:, 400:] = ROAD
        present = self.legend(Overlay(CAMVID, classes=["road"], alpha=0), labels)
        text = np.s_[:30, 24:150]
        assert absent[text].max() < 180 < present[text].max()

    def test_many_classes_list_those_in_the_picture(self) -> None:
        labels = np.full((360, 480), VOC.void, np.uint8)
        labels[300:, 300:] = VOC.ids(["dog"])[0]
        picture = self.legend(Overlay(VOC, alpha=0), labels)
        assert np.flatnonzero(picture[:, :200].any(axis=(1, 2))).max() < 40  # one line

    def test_the_panel_darkens_what_is_behind_it(self) -> None:
        frame_bgr, labels = grey_frame(255, (360, 480)), np.full((360, 480), CAMVID.void, np.uint8)
        picture = Overlay(CAMVID).paint(frame_bgr, labels, "31 fps")
        assert (picture[6:150, 6] < 90).all()
        assert (picture[200:, :] == 255).all()

    def test_shares_are_those_of_the_pixels(self) -> None:
        labels = np.zeros((360, 480), np.uint8)
        labels[:, 120:] = 3
        shares = class_shares(labels)
        assert shares[0] == pytest.approx(0.25)
        assert shares[3] == pytest.approx(0.75)
        assert shares.sum() == pytest.approx(1.0)


class TestColours:
    @pytest.mark.parametrize("label_map", [CAMVID, VOC, KITTI_ROAD])
    def test_no_two_classes_look_the_same(self, label_map: LabelMap) -> None:
        colours = display_palette(label_map)
        assert len(colours) == len(label_map)
        assert min(_distance(one, other) for one, other in combinations(colours, 2)) > 60**2

    def test_camvid_can_be_told_from_a_dark_road(self) -> None:
        for rgb in display_palette(CAMVID):
            assert max(rgb) >= 150

    def test_more_classes_than_colours(self) -> None:
        many = LabelMap(tuple(f"class{index}" for index in range(60)), ((0, 0, 0),) * 60)
        assert len(display_palette(many)) == 60

    def test_background_is_drawn_only_by_name(self) -> None:
        frame_bgr, labels = grey_frame(90, HW), np.zeros(HW, np.uint8)
        np.testing.assert_array_equal(Overlay(KITTI_ROAD).paint(frame_bgr, labels)[FREE], frame_bgr[FREE])
        named = Overlay(KITTI_ROAD, classes=["background"]).paint(frame_bgr, labels)
        assert (named[FREE] != frame_bgr[FREE]).any()


def test_results_do_not_depend_on_opencv_s_threads() -> None:
    frame_bgr, labels = scene(np.random.default_rng(8))
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = Overlay(CAMVID).paint(frame_bgr, labels)
    finally:
        cv2.setNumThreads(before)
    np.testing.assert_array_equal(one, Overlay(CAMVID).paint(frame_bgr, labels))
