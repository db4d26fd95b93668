"""Mapillary Vistas: classes come from the config beside the images, in any of its releases' layouts."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tiny_driving as tiny
from PIL import Image
from tiny_datasets import save_frame, save_palette

from edgeseg.data import dataset_format, detect_format, open_dataset
from edgeseg.data.mapillary import read_config
from edgeseg.errors import DataError
from edgeseg.labels import LabelMap, distinct_palette

CLASSES = LabelMap(
    ("animal--bird", "construction--flat--road", "human--person"), ((165, 42, 42), (128, 64, 128), (220, 20, 60)), 255
)
OF_STORED = np.array([0, 255, 1, 2, 255], np.uint8)
"""Stored id → class of the tiny config: ids 1 and 4 are not evaluated."""


def stored_ids(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(Image.open(path))


@pytest.mark.parametrize("version", ["", "v1.2", "v2.0"])
def test_each_layout(tmp_path: Path, version: str) -> None:
    assert detect_format(tiny.mapillary(tmp_path, [version])) == "mapillary"
    assert dataset_format("mapillary").splits(tmp_path) == ["training", "validation"]
    dataset = open_dataset("mapillary", tmp_path, "training")
    assert (dataset.name, len(dataset), dataset.label_map) == ("mapillary training", 2, CLASSES)
    for number in range(2):
        stored = stored_ids(tmp_path / "training" / version / "labels" / f"key{number}.png")
        assert set(np.unique(stored)) == {0, 1, 2, 3, 4}
        assert dataset[number].name == f"key{number}"
        assert np.array_equal(dataset[number].labels, OF_STORED[stored])


def test_two_versions_in_one_folder(tmp_path: Path) -> None:
    tiny.mapillary(tmp_path)
    config = json.loads((tmp_path / "config_v2.0.json").read_text())
    config["labels"][1]["evaluate"] = True
    (tmp_path / "config_v2.0.json").write_text(json.dumps(config))
    splits = ["training", "training-v2.0", "validation", "validation-v2.0"]
    assert dataset_format("mapillary").splits(tmp_path) == splits
    counts = [len(open_dataset("mapillary", tmp_path, split).label_map) for split in splits]
    assert counts == [3, 4, 3, 4]


def test_void_unlabeled_is_void_even_where_the_config_evaluates_it(tmp_path: Path) -> None:
    tiny.mapillary(tmp_path)
    config = json.loads((tmp_path / "config_v1.2.json").read_text())
    config["labels"][4]["evaluate"] = True
    (tmp_path / "config_v1.2.json").write_text(json.dumps(config))
    assert open_dataset("mapillary", tmp_path, "training").label_map == CLASSES


def test_large_images_cost_a_few_bytes_a_pixel(tmp_path: Path) -> None:
    tiny.mapillary(tmp_path, ["v1.2"])
    height, width = 2000, 3000
    save_frame(tmp_path / "validation/images/key2.jpg", np.zeros((height, width, 3), np.uint8))
    mask = tmp_path / "validation/v1.2/labels/key2.png"
    save_palette(mask, np.full((height, width), 2, np.uint8), distinct_palette(256))
    table = read_config(tmp_path / "config_v1.2.json")
    tracemalloc.start()
    labels = table.read(mask)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (labels == 1).all()
    assert peak < 6 * height * width


def test_faults(tmp_path: Path) -> None:
    tiny.mapillary(tmp_path, ["v1.2"])
    with pytest.raises(DataError, match=r"no split 'testing': the labels of its test images are not public"):
        open_dataset("mapillary", tmp_path, "testing")
    with pytest.raises(DataError, match=r"no split 'train': no such folder of labels\. Choose training, validation\."):
        open_dataset("mapillary", tmp_path, "train")
    (tmp_path / "training/images/key1.jpg").unlink()
    with pytest.raises(DataError, match=r"images/key1\.jpg: this image of mapillary training is missing"):
        open_dataset("mapillary", tmp_path, "training")
    save_palette(tmp_path / "validation/v1.2/labels/key2.png", np.full((12, 16), 5, np.uint8), distinct_palette(256))
    with pytest.raises(DataError, match=r"labels/key2\.png: id 5 at x=0, y=0"):
        open_dataset("mapillary", tmp_path, "validation")[0]
    (tmp_path / "config_v1.2.json").unlink()
    with pytest.raises(DataError, match=r"config_v1\.2\.json: the config that names the classes is missing"):
        open_dataset("mapillary", tmp_path, "training")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"labels": [', "not a Vistas config"),
        ("[]", "not a Vistas config"),
        ('{"labels": [{"name": "a"}]}', "not a Vistas config"),
        ('{"labels": [{"name": "a", "color": [1, 2], "evaluate": true}]}', "not a Vistas config"),
        ('{"labels": [{"name": "a", "color": [1, 2, 3], "evaluate": true}]}', "1 classes"),
        (
            '{"labels": [' + ",".join(['{"name": "a", "color": [1, 2, 3], "evaluate": true}'] * 2) + "]}",
            "found twice: a",
        ),
    ],
)
def test_configs_that_make_no_sense(tmp_path: Path, text: str, problem: str) -> None:
    (tiny.mapillary(tmp_path) / "config_v1.2.json").write_text(text)
    with pytest.raises(DataError, match=rf"config_v1\.2\.json: .*{problem}"):
        open_dataset("mapillary", tmp_path, "training")
