"""Oxford-IIIT Pet in both codings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_datasets import HW, random_frame, save_frame, save_grey
from tiny_pets import by_species, published, trimap

from edgeseg.data import dataset_format, detect_format, open_dataset
from edgeseg.errors import DataError


def test_trimaps_in_the_order_of_the_list(tmp_path: Path) -> None:
    assert detect_format(published(tmp_path)) == "oxford-pets"
    assert dataset_format("oxford-pets").splits(tmp_path) == ["test", "trainval"]
    dataset = open_dataset("oxford-pets", tmp_path, "trainval")
    assert dataset.label_map.names == ("pet", "background", "border")
    assert [dataset[i].name for i in range(len(dataset))] == ["pug_1", "great_pyrenees_7"]
    assert np.array_equal(dataset[0].labels, trimap(2) - 1)


def test_comments_and_macos_files_are_passed_over(tmp_path: Path) -> None:
    (published(tmp_path) / "annotations/trimaps/._pug_1.png").write_bytes(b"\0\5\x16\7")
    (tmp_path / "images/Egyptian_Mau_139.jpg").write_bytes(b"GIF89a")
    dataset = open_dataset("oxford-pets", tmp_path, "test")
    assert [dataset[i].name for i in range(len(dataset))] == ["Abyssinian_100"]


def test_an_image_that_is_a_png_whatever_its_suffix(tmp_path: Path) -> None:
    image = published(tmp_path) / "images/pug_1.jpg"
    save_frame(image.with_suffix(".png"), random_frame(9))
    image.with_suffix(".png").replace(image)
    assert np.array_equal(open_dataset("oxford-pets", tmp_path, "trainval")[0].image_bgr, random_frame(9))


def test_a_gif_is_named(tmp_path: Path) -> None:
    (published(tmp_path) / "images/pug_1.jpg").write_bytes(b"GIF89a" + bytes(50))
    with pytest.raises(DataError, match=r"pug_1\.jpg: neither a JPEG nor a PNG file"):
        open_dataset("oxford-pets", tmp_path, "trainval")[0]


def test_recoded_by_species(tmp_path: Path) -> None:
    assert detect_format(by_species(tmp_path)) == "oxford-pets"
    assert dataset_format("oxford-pets").splits(tmp_path) == ["list"]
    dataset = open_dataset("oxford-pets", tmp_path, "list")
    assert (dataset.label_map.names, dataset.label_map.void) == (("background", "cat", "dog"), 255)
    assert len(dataset) == 3
    assert dataset[1].labels[::6, ::8].tolist() == [[0, 255], [2, 0]]


@pytest.mark.parametrize("builder", [published, by_species])
def test_values_of_the_other_coding(tmp_path: Path, builder: object) -> None:
    root = published(tmp_path) if builder is published else by_species(tmp_path, value=3)
    if builder is published:
        save_grey(root / "annotations/trimaps/pug_1.png", np.zeros(HW, np.uint8))
    split, index = ("trainval", 0) if builder is published else ("list", 2)
    dataset = open_dataset("oxford-pets", root, split)
    with pytest.raises(DataError, match=r"pug_1\.png: id (0|3) at x=0, y="):
        dataset[index]


def test_labels_and_a_list_of_something_else_are_not_pets(tmp_path: Path) -> None:
    (by_species(tmp_path) / "list.txt").write_text("frame000\n")
    with pytest.raises(DataError, match="not a dataset layout known here"):
        detect_format(tmp_path)
    with pytest.raises(DataError, match=r"list\.txt: 'frame000' is no name of a pet's picture"):
        open_dataset("oxford-pets", tmp_path, "list")


def test_a_pet_without_trimap_and_a_list_that_is_not_there(tmp_path: Path) -> None:
    (published(tmp_path) / "annotations/trimaps/Abyssinian_100.png").unlink()
    with pytest.raises(DataError, match=r"Abyssinian_100\.png: this mask of oxford-pets test is missing"):
        open_dataset("oxford-pets", tmp_path, "test")
    with pytest.raises(DataError, match=r"val\.txt: no such list; lists here: test, trainval"):
        open_dataset("oxford-pets", tmp_path, "val")
