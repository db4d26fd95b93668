"""What the pictures show, looked up pixel by pixel where it can be."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.data import Sample
from edgeseg.data.images import read_image
from edgeseg.labels import CAMVID
from edgeseg.metrics.confusion import ConfusionMatrix, FrameScore
from edgeseg.metrics.pictures import Gallery, Tile, error_panel, save_confusion_picture, save_contact_sheet

WHITE = np.full((2, 4, 3), 255, np.uint8)


def tile_of(truth_id: int, predicted_id: int, *, name: str = "x", bgr: tuple[int, int, int] = (0, 0, 0)) -> Tile:
    """A frame of one colour, one true class and one predicted class."""
    truth, prediction = np.full((60, 80), truth_id, np.uint8), np.full((60, 80), predicted_id, np.uint8)
    return Tile(Sample(name, np.full((60, 80, 3), bgr, np.uint8), truth), prediction, f"caption of {name}")


def test_the_error_panel_tells_right_wrong_and_void_apart() -> None:
    truth = np.array([[0, 1, 11, 11], [3, 3, 3, 3]], np.uint8)
    prediction = np.array([[0, 2, 0, 5], [3, 3, 3, 4]], np.uint8)
    panel = error_panel(WHITE, truth, prediction, void=11)
    right, wrong, void = panel[0, 0], panel[0, 1], panel[0, 2]
    assert panel.shape == (2, 4, 3)
    assert wrong[2] > 200
    assert wrong[:2].max() < 100, "wrong pixels are red"
    assert np.ptp(right) == 0
    assert right.max() < 128, "right pixels are dim, even where the image is white"
    assert void.min() > 180
    assert np.array_equal(panel, np.array([[right, wrong, void, void], [right, right, right, wrong]]))


def test_dark_and_bright_stay_apart_where_the_prediction_is_right() -> None:
    labels = np.zeros((1, 2), np.uint8)
    image = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    dark, bright = error_panel(image, labels, labels, void=255)[0]
    assert bright[0] - dark[0] > 60


def test_the_contact_sheet_shows_all_panels_in_order(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "sheet.png"
    save_contact_sheet(path, [tile_of(3, 8, bgr=(200, 100, 50))] * 2, CAMVID, "title")
    sheet = read_image(path)
    lines = [sheet[:, x] for x in (210, 620, 1030, 1440)]  # the middle of each column
    colours = ((200, 100, 50), CAMVID.palette[3][::-1], CAMVID.palette[8][::-1], (30, 60, 235))
    for line, colour in zip(lines, colours, strict=True):
        assert (line == colour).all(axis=1).sum() >= 2 * 300, f"{colour} is not where it should be"


def test_void_truth_is_not_shown_as_a_class(tmp_path: Path) -> None:
    save_contact_sheet(tmp_path / "a.png", [tile_of(CAMVID.void, 0)], CAMVID, "")
    sheet = read_image(tmp_path / "a.png")
    assert np.array_equal(sheet[200, 620], sheet[200, 1440]), "the same light grey in truth and error"
    assert sheet[200, 620].min() > 180


def test_the_legend_has_every_class_in_its_colour(tmp_path: Path) -> None:
    save_contact_sheet(tmp_path / "a.png", [tile_of(0, 0)], CAMVID, "")
    legend = read_image(tmp_path / "a.png")[-44:]
    for red, green, blue in CAMVID.palette:
        assert (legend == (blue, green, red)).all(axis=2).sum() >= 16 * 16


def test_names_beyond_ascii_do_no_harm(tmp_path: Path) -> None:
    save_contact_sheet(tmp_path / "a.png", [tile_of(0, 0, name="Straße → Weg")], CAMVID, "Prüfung")
    assert read_image(tmp_path / "a.png").shape[1] == 1650


def sample(index: int) -> Sample:
    return Sample(f"f{index}", WHITE, np.zeros((2, 4), np.uint8))


def test_the_gallery_keeps_spread_frames_and_the_worst_of_the_others() -> None:
    scores: list[float | None] = [0.9, 0.1, 0.8, 0.5, 0.2, None, 0.7, 0.3, 0.6]
    gallery = Gallery(len(scores), spread=3, worst=2)
    for index, miou in enumerate(scores):
        gallery.add(FrameScore(index, f"f{index}", miou), sample(index), np.full((2, 4), index, np.uint8))
    tiles = gallery.tiles()
    assert [tile.sample.name for tile in tiles] == ["f1", "f4", "f7", "f3", "f8"]
    assert [int(tile.prediction[0, 0]) for tile in tiles] == [1, 4, 7, 3, 8]
    assert tiles[0].caption == "f1   mIoU 10.0 %"
    assert tiles[3].caption == "f3   mIoU 50.0 %   among the worst"


@pytest.mark.parametrize("frames", [1, 2, 3, 4])
def test_a_short_dataset_shows_each_frame_once(frames: int) -> None:
    gallery = Gallery(frames)
    for index in range(frames):
        gallery.add(
            FrameScore(index, f"f{index}", None if index == 0 else 0.5), sample(index), np.zeros((2, 4), np.uint8)
        )
    shown = [tile.sample.name for tile in gallery.tiles()]
    assert len(set(shown)) == len(shown)
    assert len(shown) >= min(frames, 3) - 1


def test_the_confusion_picture_is_dark_on_the_diagonal(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    matrix = ConfusionMatrix(CAMVID)
    every = np.arange(11, dtype=np.uint8).reshape(1, 11)
    matrix.update(every, every)
    save_confusion_picture(tmp_path / "right.png", matrix.result(), CAMVID, "all right")
    matrix.update(np.repeat(every, 20, axis=0), np.zeros((20, 11), np.uint8))
    save_confusion_picture(tmp_path / "sky.png", matrix.result(), CAMVID, "all sky")
    right, sky = (read_image(tmp_path / name) for name in ("right.png", "sky.png"))
    assert right.shape == sky.shape
    assert min(right.shape[:2]) > 600
    # Blue cells: along the diagonal in one picture, in the first column in the other.
    right_columns, sky_columns = (
        np.flatnonzero(cv2.inRange(picture, (60, 20, 0), (140, 90, 40)).any(axis=0)) for picture in (right, sky)
    )
    assert np.ptp(right_columns) > 3 * np.ptp(sky_columns)
