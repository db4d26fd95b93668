"""The readers on real files of each format, which are not part of the repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeseg.data import detect_format, open_dataset
from edgeseg.labels import CAMVID, VOC

pytestmark = pytest.mark.real_data


def test_camvid_has_its_published_splits(shared_data: Path) -> None:
    root = shared_data / "camvid"
    assert detect_format(root) == "camvid"
    sizes = {split: len(open_dataset("camvid", root, split)) for split in ("train", "val", "test", "trainval")}
    assert sizes == {"train": 367, "val": 101, "test": 233, "trainval": 468}


def test_camvid_masks_are_what_is_stored(shared_data: Path) -> None:
    dataset = open_dataset("camvid", shared_data / "camvid", "val")
    for index in (0, 50, 100):
        sample = dataset[index]
        stored = np.asarray(Image.open(shared_data / "camvid" / "valannot" / f"{sample.name}.png"))
        assert sample.image_bgr.shape == (360, 480, 3)
        assert np.array_equal(sample.labels, stored)


def test_the_splits_of_camvid_share_no_frame(shared_data: Path) -> None:
    lists = [(shared_data / "camvid" / f"{split}.txt").read_text().split() for split in ("train", "val", "test")]
    stems = [{Path(word).stem for word in words} for words in lists]
    assert len(set.union(*stems)) == sum(map(len, stems)) == 367 + 101 + 233


def test_camvid_classes_have_their_published_shares(shared_data: Path) -> None:
    """Road is about 32 % of the training pixels, sky 17 %, pedestrians less than 1 %: the ids mean what we say."""
    dataset = open_dataset("camvid", shared_data / "camvid", "train")
    counts = np.zeros(12, np.int64)
    for index in range(0, 367, 8):
        counts += np.bincount(dataset[index].labels.ravel(), minlength=12)
    share = dict(zip((*CAMVID.names, "void"), counts / counts.sum(), strict=True))
    assert share["road"] == pytest.approx(0.317, abs=0.04)
    assert share["sky"] == pytest.approx(0.169, abs=0.04)
    assert 0.001 < share["pedestrian"] < 0.02


def test_kitti_road(shared_data: Path) -> None:
    root = shared_data / "kitti-road-sample"
    assert detect_format(root) == "kitti-road"
    sample = open_dataset("kitti-road", root, "val")[0]
    assert (sample.name, sample.image_bgr.shape) == ("um_000000", (375, 1242, 3))
    assert set(np.unique(sample.labels)) == {0, 1, 255}
    bottom_middle = sample.labels[-60:-20, 550:700]
    assert (bottom_middle == 1).mean() > 0.95, "the car drives on the road"


def test_voc(shared_data: Path) -> None:
    root = shared_data / "voc-sample"
    assert detect_format(root) == "voc"
    dataset = open_dataset("voc", root, "trainval")
    assert (dataset.label_map.names[0], dataset.label_map.names[15]) == ("background", "person")
    assert dataset.label_map.palette == VOC.palette
    for index in range(len(dataset)):
        sample = dataset[index]
        stored = np.asarray(Image.open(root / "SegmentationClass" / f"{sample.name}.png"))
        assert np.array_equal(sample.labels, stored)
        assert sample.labels.shape == sample.image_bgr.shape[:2]


def test_pets_as_a_plain_folder(shared_data: Path, tmp_path: Path) -> None:
    pets = shared_data / "oxford-pets-sample"
    (tmp_path / "images").symlink_to(pets / "images")
    (tmp_path / "masks").symlink_to(pets / "labels")
    (tmp_path / "labels.toml").write_text('names = ["background", "cat", "dog"]\n')
    assert detect_format(tmp_path) == "folder"
    dataset = open_dataset("folder", tmp_path, "all")
    assert len(dataset) == 26
    for index in range(0, 26, 5):
        sample = dataset[index]
        assert np.array_equal(sample.labels, np.asarray(Image.open(pets / "labels" / f"{sample.name}.png")))
        animal = 1 if sample.name[0].isupper() else 2  # the Oxford set writes cat breeds with a capital
        assert set(np.unique(sample.labels)) <= {0, animal, 255}
