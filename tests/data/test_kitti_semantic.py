"""KITTI's semantic benchmark: Cityscapes ids, a split that looks at one name at a time, neighbours passed over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_datasets
import tiny_driving as tiny
from tiny_datasets import random_frame, random_ids

from edgeseg.data import detect_format, open_dataset
from edgeseg.data.cityscapes import CITYSCAPES
from edgeseg.errors import DataError


def names(root: Path, split: str) -> list[str]:
    dataset = open_dataset("kitti-semantic", root, split)
    return [dataset[index].name for index in range(len(dataset))]


def test_samples(tmp_path: Path) -> None:
    assert detect_format(tiny.kitti_semantic(tmp_path)) == "kitti-semantic"
    dataset = open_dataset("kitti-semantic", tmp_path, "all")
    assert (dataset.name, len(dataset), dataset.label_map) == ("kitti-semantic all", 6, CITYSCAPES)
    assert np.array_equal(dataset[4].image_bgr, random_frame(4))
    assert np.array_equal(dataset[4].labels, random_ids(4, tiny.NINETEEN))


def test_every_fifth_frame_is_val_whatever_else_is_there(tmp_path: Path) -> None:
    tiny.kitti_semantic(tmp_path / "a")
    assert names(tmp_path / "a", "val") == ["000000_10", "000005_10"]
    assert sorted(names(tmp_path / "a", "val") + names(tmp_path / "a", "train")) == names(tmp_path / "a", "all")
    assert names(tiny.kitti_semantic(tmp_path / "b", [4, 5]), "val") == ["000005_10"]


def test_it_is_not_taken_for_the_road_benchmark(tmp_path: Path) -> None:
    tiny.kitti_semantic(tmp_path)
    tiny_datasets.kitti_road(tmp_path / "road")
    assert detect_format(tmp_path / "road") == "kitti-road"
    tiny_datasets.kitti_road(tmp_path, [1])  # both unpacked into one folder
    with pytest.raises(DataError, match="looks like kitti-road and kitti-semantic at once"):
        detect_format(tmp_path)
    assert len(open_dataset("kitti-semantic", tmp_path, "all")) == 6


def test_faults(tmp_path: Path) -> None:
    tiny.kitti_semantic(tmp_path)
    with pytest.raises(DataError, match=r"no split 'test' here \(its test images have no public ground truth\)"):
        open_dataset("kitti-semantic", tmp_path, "test")
    (tmp_path / "training/semantic/000002_10.png").unlink()
    with pytest.raises(DataError, match=r"semantic/000002_10\.png: this mask of kitti-semantic train is missing"):
        open_dataset("kitti-semantic", tmp_path, "train")
    with pytest.raises(DataError, match=r"training/image_2: no such folder"):
        open_dataset("kitti-semantic", tmp_path / "training", "train")
