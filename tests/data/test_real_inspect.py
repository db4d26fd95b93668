"""Inspection and conversion of the real samples of every format that is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeseg.data import detect_format, open_dataset
from edgeseg.data.convert import convert_dataset
from edgeseg.data.inspect import inspect_dataset

pytestmark = pytest.mark.real_data

SAMPLES = {
    "camvid": "camvid",
    "kitti-road-sample": "kitti-road",
    "voc-sample": "voc",
    "oxford-pets-sample": "oxford-pets",
    "coco-sample": "coco",
    "coco-sample/panoptic": "coco-panoptic",
    "coco-sample/semantic": "coco-stuff",
    "labelme-sample/semantic_segmentation": "labelme",
    "labelme-sample/instance_segmentation": "labelme",
    "labelme-sample/video_annotation": "labelme",
    "labelme-sample/primitives": "labelme",
    "labelme-sample/tutorial": "labelme",
}


@pytest.mark.parametrize("folder", SAMPLES)
def test_recognised_and_without_errors(shared_data: Path, folder: str) -> None:
    root = shared_data / folder
    format = detect_format(root)
    assert format == SAMPLES[folder]
    report = inspect_dataset(root, format, limit=4)
    assert [problem.text for problem in report.problems if problem.is_error] == []
    assert all(split.read or split.joined for split in report.splits)


@pytest.mark.parametrize("folder", [name for name in SAMPLES if name != "camvid"])
def test_converted_labels_come_back(shared_data: Path, tmp_path: Path, folder: str) -> None:
    format = SAMPLES[folder]
    result = convert_dataset(shared_data / folder, format, tmp_path / "out", "voc")
    for split, count in result.splits.items():
        source, back = open_dataset(format, shared_data / folder, split), open_dataset("voc", tmp_path / "out", split)
        for index in range(0, count, 5):
            labels, found = source[index].labels, back[index].labels
            assert np.array_equal(found, np.where(labels == source.label_map.void, 255, labels))


def test_camvids_shares_are_the_published_ones(shared_data: Path) -> None:
    """The table of the sample's description, train split, in percent."""
    report = inspect_dataset(shared_data / "camvid", "camvid", split="train")
    (train,) = report.splits
    shares = 100 * train.pixels[:12] / train.pixels.sum()
    published = [16.85, 23.26, 0.98, 31.66, 4.49, 9.72, 1.17, 1.13, 5.87, 0.64, 0.29, 3.95]
    assert shares.round(2).tolist() == published
    assert train.images[:12].tolist() == [366, 365, 366, 367, 349, 319, 351, 173, 360, 317, 201, 367]
