"""Cityscapes: either kind of mask gives the 19 evaluated classes and void."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_driving as tiny
from tiny_datasets import random_frame, random_ids, save_grey, save_rgb

from edgeseg.data import detect_format, open_dataset
from edgeseg.data.cityscapes import CITYSCAPES, FORMAT, LABEL_IDS
from edgeseg.errors import DataError


@pytest.mark.parametrize("train_ids", [False, True])
def test_ids_and_train_ids_give_the_same_labels(tmp_path: Path, train_ids: bool) -> None:
    tiny.cityscapes(tmp_path, train_ids=train_ids)
    assert detect_format(tmp_path) == "cityscapes"
    for split in ("train", "val", "train_extra"):
        dataset = open_dataset("cityscapes", tmp_path, split)
        assert (dataset.name, len(dataset), dataset.label_map) == (f"cityscapes {split}", 4, CITYSCAPES)
        for number in range(4):
            sample = dataset[number]
            assert sample.name == f"{('aachen', 'zurich')[number // 2]}_00000{number}_000019_leftImg8bit"
            assert np.array_equal(sample.image_bgr, random_frame(number))
            assert np.array_equal(sample.labels, random_ids(number, tiny.NINETEEN))


def test_the_table_of_ids(tmp_path: Path) -> None:
    """Spot checks by name against cityscapesScripts' labels.py: the builder and the reader could share a mistake."""
    named = {7: "road", 8: "sidewalk", 11: "building", 17: "pole", 19: "traffic light", 20: "traffic sign", 23: "sky"}
    named |= {24: "person", 25: "rider", 26: "car", 28: "bus", 31: "train", 33: "bicycle"}
    save_grey(tmp_path / "ids.png", np.arange(34, dtype=np.uint8).reshape(2, 17))
    labels = LABEL_IDS.read(tmp_path / "ids.png").ravel()
    assert {value: CITYSCAPES.names[labels[value]] for value in named} == named
    assert [value for value in range(34) if labels[value] == 255] == tiny.CITYSCAPES_VOID_IDS


def test_the_licence_plate_is_void(tmp_path: Path) -> None:
    """Its id is -1, which a tool that writes bytes makes 255."""
    save_grey(tmp_path / "ids.png", np.array([[255, 7], [26, 0]], np.uint8))
    assert LABEL_IDS.read(tmp_path / "ids.png").tolist() == [[255, 0], [13, 255]]


def test_label_ids_win_where_both_are_there(tmp_path: Path) -> None:
    tiny.cityscapes(tmp_path)
    folder = tmp_path / "gtFine/val/aachen"
    save_grey(folder / "aachen_000000_000019_gtFine_labelTrainIds.png", np.zeros((12, 16), np.uint8))
    assert np.array_equal(open_dataset("cityscapes", tmp_path, "val")[0].labels, random_ids(0, tiny.NINETEEN))


def test_splits_are_those_with_labels(tmp_path: Path) -> None:
    tiny.cityscapes(tmp_path)
    assert FORMAT.splits(tmp_path) == ["train", "val", "train_extra"]
    (tmp_path / "gtCoarse").rename(tmp_path / "elsewhere")
    assert FORMAT.splits(tmp_path) == ["train", "val"]


def test_the_test_split_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no split 'test' here \(its masks are dummies.*choose train, val, train_extra"
    ):
        open_dataset("cityscapes", tiny.cityscapes(tmp_path), "test")
    with pytest.raises(DataError, match=r"no split 'dev' here; choose"):
        open_dataset("cityscapes", tmp_path, "dev")


def test_a_missing_mask_and_a_missing_folder(tmp_path: Path) -> None:
    mask = tiny.cityscapes(tmp_path) / "gtFine/val/zurich/zurich_000003_000019_gtFine_labelIds.png"
    mask.unlink()
    with pytest.raises(DataError, match=rf"{mask.name}: this mask of cityscapes val is missing"):
        open_dataset("cityscapes", tmp_path, "val")
    (tmp_path / "leftImg8bit").rename(tmp_path / "images")
    with pytest.raises(DataError, match=r"leftImg8bit/train: no such folder"):
        open_dataset("cityscapes", tmp_path, "train")


@pytest.mark.parametrize(("coding", "value"), [("labelIds", 34), ("labelIds", 200), ("labelTrainIds", 19)])
def test_an_id_that_is_none(tmp_path: Path, coding: str, value: int) -> None:
    tiny.cityscapes(tmp_path, train_ids=coding == "labelTrainIds")
    mask = np.full((12, 16), 7, np.uint8)
    mask[3, 5] = value
    save_grey(tmp_path / f"gtFine/val/aachen/aachen_000001_000019_gtFine_{coding}.png", mask)
    with pytest.raises(DataError, match=rf"aachen_000001.*{coding}\.png: id {value} at x=5, y=3 \(1 pixels like it\)"):
        open_dataset("cityscapes", tmp_path, "val")[1]


def test_masks_of_another_kind(tmp_path: Path) -> None:
    mask = tiny.cityscapes(tmp_path) / "gtFine/val/aachen/aachen_000000_000019_gtFine_labelIds.png"
    save_rgb(mask, random_frame(0))
    with pytest.raises(DataError, match=r"labelIds\.png: a colour picture where ids are expected"):
        open_dataset("cityscapes", tmp_path, "val")[0]
    save_grey(mask, np.full((12, 16), 26001, np.uint16))
    with pytest.raises(DataError, match=r"labelIds\.png: id 26001 at x=0, y=0 \(192 pixels like it\)"):
        open_dataset("cityscapes", tmp_path, "val")[0]
