"""No folder of one format is taken for another, and every reader goes through a loader with workers unchanged."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_annotations
import tiny_coco
import tiny_datasets
import tiny_driving
import tiny_pets
import tiny_sbd

from edgeseg.data import FORMATS, dataset_format, open_dataset


def coco(root: Path) -> Path:
    person = tiny_coco.annotation(1, 10, 1, [tiny_coco.box(2, 2, 8, 8)])
    return tiny_coco.instances(root, tiny_coco.content([person]))


def coco_panoptic(root: Path) -> Path:
    tiny_coco.panoptic(root, [{5: 1, 70_000: 3}, {9: 17}])
    return root


def coco_stuff(root: Path) -> Path:
    mask = np.array([[0, 12, 148, 255]], np.uint8)
    return tiny_coco.stuff(root, Path("stuffthingmaps/val2017"), {"a": mask, "b": mask}, Path("val2017"))


BUILDERS: dict[str, Callable[[Path], Path]] = {
    "camvid": tiny_datasets.camvid,
    "kitti-road": tiny_datasets.kitti_road,
    "voc": tiny_datasets.voc,
    "folder": tiny_datasets.folder,
    "cityscapes": tiny_driving.cityscapes,
    "kitti-semantic": tiny_driving.kitti_semantic,
    "bdd100k": tiny_driving.bdd100k,
    "bdd100k-drivable": tiny_driving.bdd100k_drivable,
    "mapillary": tiny_driving.mapillary,
    "labelme": tiny_annotations.labelme,
    "eiseg": tiny_annotations.eiseg,
    "coco": coco,
    "coco-panoptic": coco_panoptic,
    "coco-stuff": coco_stuff,
    "oxford-pets": tiny_pets.published,
    "sbd": tiny_sbd.sbd,
}


@pytest.mark.parametrize("format", BUILDERS)
def test_each_layout_is_recognised_by_its_own_format_alone(tmp_path: Path, format: str) -> None:
    root = BUILDERS[format](tmp_path / "data")
    assert [name for name in FORMATS if dataset_format(name).recognises(root)] == [format]


@pytest.mark.parametrize("format", BUILDERS)
def test_every_split_it_names_opens_alike_twice_and_in_another_process(tmp_path: Path, format: str) -> None:
    root = BUILDERS[format](tmp_path / "data")
    splits = dataset_format(format).splits(root)
    assert splits
    for split in splits:
        dataset = open_dataset(format, root, split)
        again, sent = open_dataset(format, root, split), pickle.loads(pickle.dumps(dataset))
        names = set()
        for index in range(len(dataset)):
            sample = dataset[index]
            names.add(sample.name)
            for other in (again[index], sent[index]):
                assert other.name == sample.name
                assert np.array_equal(other.image_bgr, sample.image_bgr)
                assert np.array_equal(other.labels, sample.labels)
        assert len(names) == len(dataset)
        with pytest.raises(IndexError):
            dataset[len(dataset)]


def test_a_file_and_an_empty_folder_are_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    for root in (tmp_path / "empty", tmp_path / "file"):
        assert [name for name in FORMATS if dataset_format(name).recognises(root)] == []
