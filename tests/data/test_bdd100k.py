"""BDD100K in its two layouts, and its drivable areas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_driving as tiny
from tiny_datasets import random_ids, save_grey

from edgeseg.data import dataset_format, detect_format, open_dataset
from edgeseg.data.bdd100k_drivable import BDD100K_DRIVABLE
from edgeseg.data.cityscapes import CITYSCAPES
from edgeseg.errors import DataError


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("above", ["", "bdd100k"])
def test_both_layouts_and_the_folder_above(tmp_path: Path, old: bool, above: str) -> None:
    tiny.bdd100k(tmp_path / above, old=old)
    assert detect_format(tmp_path) == "bdd100k"
    assert dataset_format("bdd100k").splits(tmp_path) == ["train", "val"]
    dataset = open_dataset("bdd100k", tmp_path, "val")
    assert (dataset.name, len(dataset), dataset.label_map) == ("bdd100k val", 2, CITYSCAPES)
    for number in range(2):
        assert dataset[number].name == f"b{number}-7abc"
        assert np.array_equal(dataset[number].labels, random_ids(number, tiny.NINETEEN))


def test_colour_maps_beside_old_labels_are_no_labels(tmp_path: Path) -> None:
    tiny.bdd100k(tmp_path, old=True)
    save_grey(tmp_path / "seg/labels/val/b2-7abc_train_color.png", np.zeros((12, 16), np.uint8))
    assert len(open_dataset("bdd100k", tmp_path, "val")) == 2


def test_drivable_areas(tmp_path: Path) -> None:
    assert detect_format(tiny.bdd100k_drivable(tmp_path)) == "bdd100k-drivable"
    dataset = open_dataset("bdd100k-drivable", tmp_path, "train")
    assert (len(dataset), dataset.label_map) == (2, BDD100K_DRIVABLE)
    assert np.array_equal(dataset[1].labels, random_ids(1, tiny.DRIVABLE))
    tiny.bdd100k(tmp_path)
    with pytest.raises(DataError, match="looks like bdd100k and bdd100k-drivable at once"):
        detect_format(tmp_path)


def test_faults(tmp_path: Path) -> None:
    tiny.bdd100k(tmp_path)
    with pytest.raises(DataError, match=r"labels of BDD100K's test split are not public; choose train or val"):
        open_dataset("bdd100k", tmp_path, "test")
    with pytest.raises(DataError, match=r"no labels/sem_seg/masks/dev/ or seg/labels/dev/ here"):
        open_dataset("bdd100k", tmp_path, "dev")
    with pytest.raises(DataError, match=r"no labels/drivable/masks/train/ here"):
        open_dataset("bdd100k-drivable", tmp_path, "train")
    (tmp_path / "images/10k/val/b1-7abc.jpg").unlink()
    with pytest.raises(DataError, match=r"b1-7abc\.jpg: this image of bdd100k val is missing"):
        open_dataset("bdd100k", tmp_path, "val")
    save_grey(tmp_path / "labels/sem_seg/masks/train/b0-7abc.png", np.full((12, 16), 30, np.uint8))
    with pytest.raises(DataError, match=r"b0-7abc\.png: id 30 at x=0, y=0 \(192 pixels like it\)"):
        open_dataset("bdd100k", tmp_path, "train")[0]
