"""EISeg's label folder: each of its forms gives the labels of its grey mask, and what can be wrong with one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_annotations as tiny
from PIL import Image
from tiny_annotations import HW
from tiny_datasets import random_frame, save_frame, save_grey, save_rgb

from edgeseg.data import dataset_format, detect_format, open_dataset
from edgeseg.errors import DataError
from edgeseg.labels import LabelMap

CLASSES = LabelMap(
    ("background", "road", "sky", "person"), ((0, 0, 0), (128, 64, 128), (70, 130, 180), (220, 20, 60)), 255
)
CLASS_OF = {0: 0, 1: 1, 3: 2, 7: 3}
"""Label id → class: ids have gaps wherever a label was deleted from EISeg's list."""

EXPECTED = np.vectorize(CLASS_OF.__getitem__)(tiny.eiseg_grey()).astype(np.uint8)


def test_the_expected_labels_show_the_order_of_painting() -> None:
    """Drawn person, road, sky; listed road, person, sky. So road lies under person, and person under sky."""
    assert set(np.unique(EXPECTED)) == {0, 1, 2, 3}
    assert EXPECTED[25, 20] == 3, "person over road, which was drawn later"
    assert EXPECTED[12, 40] == 2, "sky over person"


@pytest.mark.parametrize("kind", ["grey", "json", "coco", "pseudo"])
def test_every_form_gives_the_same_labels(tmp_path: Path, kind: str) -> None:
    assert detect_format(tiny.eiseg(tmp_path, [kind])) == "eiseg"
    dataset = open_dataset("eiseg", tmp_path, "all")
    assert (dataset.name, len(dataset), dataset.label_map) == ("eiseg all", 1, CLASSES)
    sample = dataset[0]
    assert sample.name == "street"
    assert sample.image_bgr.shape == (*HW, 3)
    assert np.array_equal(sample.labels, EXPECTED)


def test_the_grey_mask_comes_first(tmp_path: Path) -> None:
    tiny.eiseg(tmp_path)
    edited = tiny.eiseg_grey()
    edited[0, 0] = 7
    save_grey(tmp_path / "label/street.png", edited)
    assert open_dataset("eiseg", tmp_path, "all")[0].labels[0, 0] == 3


@pytest.mark.parametrize("kind", ["json", "coco"])
def test_polygons_name_their_classes_themselves(tmp_path: Path, kind: str) -> None:
    """In EISeg's own JSON the order of the list is lost: ids take its place."""
    tiny.eiseg(tmp_path, [kind], labels=False)
    assert detect_format(tmp_path) == "eiseg"
    dataset = open_dataset("eiseg", tmp_path, "all")
    assert dataset.label_map == CLASSES
    order = (1, 3, 7) if kind == "json" else (1, 7, 3)
    grey = tiny.eiseg_grey(order=order)
    assert np.array_equal(dataset[0].labels, np.vectorize(CLASS_OF.__getitem__)(grey))


def test_labels_that_keep_the_suffix_of_the_image(tmp_path: Path) -> None:
    """EISeg does so where two images have one name; grey masks of JPEG images are then JPEGs themselves."""
    tiny.eiseg(tmp_path, ["json"])
    (tmp_path / "label/street.json").rename(tmp_path / "label/street.jpg.json")
    assert np.array_equal(open_dataset("eiseg", tmp_path, "all")[0].labels, EXPECTED)
    (tmp_path / "label/street.jpg.json").unlink()
    Image.fromarray(tiny.eiseg_grey()).save(tmp_path / "label/street.jpg")
    with pytest.raises(DataError, match=r"label/street\.jpg: not a PNG file\. A mask must be one: lossy formats"):
        open_dataset("eiseg", tmp_path, "all")[0]


def test_an_image_without_anything_on_it(tmp_path: Path) -> None:
    tiny.eiseg(tmp_path, ["json"])
    (tmp_path / "label/later.json").write_text("[]")
    dataset = open_dataset("eiseg", tmp_path, "all")
    assert [dataset[index].name for index in range(2)] == ["later", "street"]
    assert not dataset[0].labels.any()


def test_exif_orientation_is_applied_as_eiseg_does(tmp_path: Path) -> None:
    tiny.eiseg(tmp_path, ["grey"])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((HW[1], HW[0], 3), np.uint8)).save(tmp_path / "street.jpg", exif=exif)
    assert open_dataset("eiseg", tmp_path, "all")[0].image_bgr.shape == (*HW, 3)


def test_lists_of_names(tmp_path: Path) -> None:
    (tiny.eiseg(tmp_path) / "val.txt").write_text("street\n")
    assert dataset_format("eiseg").splits(tmp_path) == ["val", "all"]
    assert len(open_dataset("eiseg", tmp_path, "val")) == 1
    (tmp_path / "val.txt").write_text("later\n")
    with pytest.raises(DataError, match=r"val\.txt: no labelled image called later"):
        open_dataset("eiseg", tmp_path, "val")
    with pytest.raises(DataError, match=r"no split 'dev': no dev\.txt\. Try val, all\."):
        open_dataset("eiseg", tmp_path, "dev")


def test_a_list_with_background_and_without_colours(tmp_path: Path) -> None:
    tiny.eiseg(tmp_path, ["grey"])
    (tmp_path / "label/autosave_label.txt").rename(tmp_path / "label/labels.txt")
    (tmp_path / "label/labels.txt").write_text("0 ground\n1 road\n3 sky\n7 person\n")
    dataset = open_dataset("eiseg", tmp_path, "all")
    assert dataset.label_map.names == ("ground", "road", "sky", "person")
    assert np.array_equal(dataset[0].labels, EXPECTED)
    (tmp_path / "label/labels.txt").write_text("1 background\n3 sky\n7 person\n")
    assert open_dataset("eiseg", tmp_path, "all").label_map.names == ("unlabelled", "background", "sky", "person")


class TestFaults:
    def test_nothing_labelled(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="eiseg all: no labelled image in this split"):
            open_dataset("eiseg", tiny.eiseg(tmp_path, []), "all")

    def test_no_folder_of_labels(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"label: no such folder"):
            open_dataset("eiseg", tmp_path, "all")

    def test_no_list_of_labels(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"label/autosave_label\.txt: no list of labels\. Export it from EISeg"):
            open_dataset("eiseg", tiny.eiseg(tmp_path, ["grey"], labels=False), "all")

    def test_two_images_of_one_name(self, tmp_path: Path) -> None:
        save_frame(tiny.eiseg(tmp_path) / "street.png", random_frame(0, HW))
        with pytest.raises(DataError, match=r"street\.png: eiseg all has this name already \(.*street\.jpg\)"):
            open_dataset("eiseg", tmp_path, "all")

    def test_a_mask_of_another_size(self, tmp_path: Path) -> None:
        save_grey(tiny.eiseg(tmp_path) / "label/street.png", np.zeros((6, 8), np.uint8))
        with pytest.raises(DataError, match=r"label/street\.png: mask of 8×6 pixels for an image of 60×40"):
            open_dataset("eiseg", tmp_path, "all")[0]

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("1 road 128 64", "'1 road 128 64' is no label; expected: id name red green blue"),
            ("road 1", "'road 1' is no label"),
            ("1", "'1' is no label"),
            ("1 road\n1 sky", "expected each id once"),
            ("300 road 1 2 3", "0 to 254"),
            ("1 road\n2 road", "found twice: road"),
            ("1 road 300 0 0", "three numbers from 0 to 255"),
        ],
    )
    def test_lists_that_make_no_labels(self, tmp_path: Path, text: str, problem: str) -> None:
        (tiny.eiseg(tmp_path) / "label/autosave_label.txt").write_text(text)
        with pytest.raises(DataError, match=rf"autosave_label\.txt: .*{problem}"):
            open_dataset("eiseg", tmp_path, "all")

    def test_ids_and_colours_that_are_in_no_list(self, tmp_path: Path) -> None:
        tiny.eiseg(tmp_path)
        (tmp_path / "label/autosave_label.txt").write_text("1 road 128 64 128\n3 sky 70 130 180\n")
        with pytest.raises(DataError, match=r"label/street\.png: id 7 at x=10, y=5"):
            open_dataset("eiseg", tmp_path, "all")[0]
        (tmp_path / "label/street.png").unlink()
        with pytest.raises(DataError, match=r"label/street\.json: label id 7 is not in .*autosave_label\.txt"):
            open_dataset("eiseg", tmp_path, "all")[0]
        (tmp_path / "label/street.json").unlink()
        (tmp_path / "label/annotations.json").unlink()
        with pytest.raises(DataError, match=r"label/street_pseudo\.png: colour RGB \(220, 20, 60\)"):
            open_dataset("eiseg", tmp_path, "all")[0]

    def test_two_labels_of_one_colour(self, tmp_path: Path) -> None:
        tiny.eiseg(tmp_path, ["pseudo"])
        (tmp_path / "label/autosave_label.txt").write_text("1 road 9 9 9\n3 sky 9 9 9\n")
        with pytest.raises(DataError, match=r"autosave_label\.txt: colour \(9, 9, 9\) stands for two.*save the grey"):
            open_dataset("eiseg", tmp_path, "all")[0]

    def test_a_smoothed_pseudo_colour_mask(self, tmp_path: Path) -> None:
        save_rgb(tiny.eiseg(tmp_path, ["pseudo"]) / "label/street_pseudo.png", random_frame(0, HW))
        with pytest.raises(DataError, match=r"street_pseudo\.png: colour RGB .* belongs to no class"):
            open_dataset("eiseg", tmp_path, "all")[0]

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("[{", "broken JSON at line 1, column 3"),
            ("{}x", "broken JSON at line 1, column 3"),
            ("3", "not JSON as EISeg writes it"),
            ('[{"name": "road"}]', "not JSON as EISeg writes it"),
            ('[{"labelIdx": 1, "name": "a", "color": [1], "points": [[1, 2]]}]', "not JSON as EISeg writes it"),
            (
                '[{"labelIdx": 1e999, "name": "a", "color": [1, 2, 3], "points": [[1, 2]]}]',
                "not JSON as EISeg writes it",
            ),
            ('[{"labelIdx": 1, "name": "a", "color": [1, 2, 3], "points": [1, 2]}]', "points that are no places"),
            ('[{"labelIdx": 1, "name": "a", "color": [1, 2, 3], "points": [[1, NaN]]}]', "points that are no places"),
        ],
    )
    def test_json_that_cannot_be_used(self, tmp_path: Path, text: str, problem: str) -> None:
        (tiny.eiseg(tmp_path, ["json"]) / "label/street.json").write_text(text)
        with pytest.raises(DataError, match=rf"label/street\.json: .*{problem}"):
            open_dataset("eiseg", tmp_path, "all")[0]

    @pytest.mark.parametrize(
        ("key", "value"), [("images", []), ("annotations", [{}]), ("categories", 3), ("categories", [{"id": 1}])]
    )
    def test_coco_json_that_cannot_be_used(self, tmp_path: Path, key: str, value: object) -> None:
        path = tiny.eiseg(tmp_path, ["coco"]) / "label/annotations.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
        with pytest.raises(DataError, match=r"annotations\.json: not COCO JSON as EISeg writes it"):
            open_dataset("eiseg", tmp_path, "all")
