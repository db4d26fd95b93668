"""From raw mask values to class ids: void, ids, colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_datasets import FOLDER, colours_of, random_ids, save_grey, save_palette, save_rgb

from edgeseg.data.masks import MaskCoding
from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import CAMVID, LabelMap

VOID_COLOUR = (224, 224, 192)
COLOURS = MaskCoding(FOLDER, "colours", VOID_COLOUR)


@pytest.mark.parametrize("label_map", [CAMVID, FOLDER])
def test_ids_and_void_come_through(tmp_path: Path, label_map: LabelMap) -> None:
    ids = random_ids(1, label_map)
    save_grey(tmp_path / "m.png", ids)
    labels = MaskCoding(label_map).read(tmp_path / "m.png")
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, ids)
    assert label_map.void in labels


def test_palette_files_give_indices_whatever_their_colours(tmp_path: Path) -> None:
    ids = random_ids(2, FOLDER)
    save_palette(tmp_path / "m.png", ids, [(9, 9, 9)] * 256)
    assert np.array_equal(MaskCoding(FOLDER).read(tmp_path / "m.png"), ids)


@pytest.mark.parametrize("kind", ["ids", "colours"])
def test_rgb_files_are_read_by_colour(tmp_path: Path, kind: str) -> None:
    ids = random_ids(3, FOLDER)
    save_rgb(tmp_path / "m.png", colours_of(ids, FOLDER.palette, VOID_COLOUR))
    coding = MaskCoding(FOLDER, "ids" if kind == "ids" else "colours", VOID_COLOUR)
    assert np.array_equal(coding.read(tmp_path / "m.png"), ids)


def test_a_colour_map_that_an_optimiser_made_a_palette_file_of(tmp_path: Path) -> None:
    """Index order is arbitrary there; only the colours mean something."""
    palette = [FOLDER.palette[2], VOID_COLOUR, FOLDER.palette[0], FOLDER.palette[1]]
    indices = np.array([[0, 1], [2, 3]], np.uint8)
    save_palette(tmp_path / "m.png", indices, palette)
    assert COLOURS.read(tmp_path / "m.png").tolist() == [[2, FOLDER.void], [0, 1]]


def test_an_id_out_of_range_is_shown_with_its_place(tmp_path: Path) -> None:
    ids = np.zeros((4, 6), np.uint8)
    ids[2, 5] = 3
    ids[3, 0] = 7
    save_grey(tmp_path / "m.png", ids)
    with pytest.raises(DataError, match=r"m\.png: id 3 at x=5, y=2 \(2 pixels.*class 0\.\.2 nor void 255"):
        MaskCoding(FOLDER).read(tmp_path / "m.png")


def test_sixteen_bit_ids_do_not_wrap_around(tmp_path: Path) -> None:
    save_grey(tmp_path / "m.png", np.full((2, 2), 256, np.uint16))
    with pytest.raises(DataError, match="id 256 at x=0, y=0"):
        MaskCoding(FOLDER).read(tmp_path / "m.png")
    save_grey(tmp_path / "m.png", np.full((2, 2), 2, np.uint16))
    labels = MaskCoding(FOLDER).read(tmp_path / "m.png")
    assert labels.dtype == np.uint8
    assert labels.tolist() == [[2, 2], [2, 2]]


def test_an_unknown_colour_is_shown_with_its_place(tmp_path: Path) -> None:
    rgb = np.zeros((3, 4, 3), np.uint8)
    rgb[1, 2] = (1, 2, 3)
    save_rgb(tmp_path / "m.png", rgb)
    with pytest.raises(DataError, match=r"m\.png: colour RGB \(1, 2, 3\) at x=2, y=1 \(1 pixels unknown\)"):
        COLOURS.read(tmp_path / "m.png")


def test_void_has_no_colour_unless_one_is_given(tmp_path: Path) -> None:
    save_rgb(tmp_path / "m.png", np.full((2, 2, 3), VOID_COLOUR, np.uint8))
    assert np.all(COLOURS.read(tmp_path / "m.png") == FOLDER.void)
    with pytest.raises(DataError, match=r"colour RGB \(224, 224, 192\)"):
        MaskCoding(FOLDER, "colours").read(tmp_path / "m.png")


def test_one_colour_cannot_mean_two_things() -> None:
    with pytest.raises(ConfigError, match=r"\(0, 0, 0\) stands for two classes"):
        MaskCoding(FOLDER, "colours", void_colour=(0, 0, 0))
    with pytest.raises(ConfigError, match=r"\(5, 5, 5\) stands for two classes"):
        MaskCoding(LabelMap(("a", "b"), ((5, 5, 5), (5, 5, 5))))
