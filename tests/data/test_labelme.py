"""labelme folders: every type of shape, classes, images wherever they are, and what can be wrong with a file."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_annotations as tiny
from PIL import Image
from tiny_annotations import HW, POLYGON, shape
from tiny_datasets import random_frame, save_frame

from edgeseg.data import dataset_format, detect_format, open_dataset
from edgeseg.data import shapes as paint
from edgeseg.data.labelme import open_labelme
from edgeseg.errors import DataError
from edgeseg.labels import LabelMap, distinct_palette
from edgeseg.types import Labels


def labels_of(root: Path) -> Labels:
    return open_dataset("labelme", root, "all")[0].labels


def painted(*steps: tuple[int, Any]) -> Labels:
    labels = np.zeros(HW, np.uint8)
    for label, step in steps:
        step(labels, label)
    return labels


def polygon(labels: Labels, label: int) -> None:
    paint.paint_polygon(labels, np.array(POLYGON), label)


class TestShapes:
    def test_later_shapes_cover_earlier_ones(self, tmp_path: Path) -> None:
        dataset = open_dataset("labelme", tiny.labelme(tmp_path), "all")
        assert (dataset.name, len(dataset)) == ("labelme all", 1)
        assert dataset.label_map == LabelMap(("background", "car", "person"), distinct_palette(3), 255)
        sample = dataset[0]
        assert sample.name == "a"
        assert np.array_equal(sample.image_bgr, random_frame(1, HW))
        expected = painted((2, polygon))
        expected[10:21, 20:51] = 1
        assert np.array_equal(sample.labels, expected)
        tiny.labelme(tmp_path, [shape("car", "rectangle", [[50.0, 20.0], [20.0, 10.0]]), shape("person")])
        expected = np.zeros(HW, np.uint8)
        expected[10:21, 20:51] = 1
        polygon(expected, 2)
        assert np.array_equal(labels_of(tmp_path), expected)

    def test_ignore_is_void_and_background_rubs_out(self, tmp_path: Path) -> None:
        shapes = [
            shape("person"),
            shape("__ignore__", "rectangle", [[15, 10], [20, 15]]),
            shape("_background_", "rectangle", [[22, 12], [25, 20]]),
        ]
        expected = painted((1, polygon))
        expected[10:16, 15:21] = 255
        expected[12:21, 22:26] = 0
        assert np.array_equal(labels_of(tiny.labelme(tmp_path, shapes)), expected)

    def test_round_and_thin_shapes(self, tmp_path: Path) -> None:
        shapes = [
            shape("circle", "circle", [[20.0, 20.0], [26.0, 28.0]]),
            shape("dot", "point", [[45.0, 10.0]]),
            shape("line", "line", [[5.0, 35.0], [55.0, 35.0]]),
            shape("strip", "linestrip", [[40.0, 20.0], [55.0, 20.0], [55.0, 28.0]]),
        ]
        labels = labels_of(tiny.labelme(tmp_path, shapes))
        y, x = np.indices(HW)
        assert (labels[(y - 20) ** 2 + (x - 20) ** 2 < 90] == 1).all(), "the second point lies on the circle: radius 10"
        assert np.count_nonzero(labels == 1) == pytest.approx(np.pi * 10.5**2, rel=0.05)
        assert np.count_nonzero(labels == 2) == pytest.approx(np.pi * 5.5**2, rel=0.05)
        assert (labels[31:40, 5:56] == 3).all(), "ten pixels wide, of which one is cut off below"
        assert (labels[:31, 5:10] == 0).all()
        assert labels[20, 45] == labels[27, 55] == 4

    @pytest.mark.parametrize("mode", ["L", "1"])
    def test_masks_lie_at_their_first_point(self, tmp_path: Path, mode: str) -> None:
        patch = np.zeros((10, 20), bool)
        patch[2:8, 5:15] = True
        picture = patch if mode == "1" else patch.astype(np.uint8) * 255
        shapes = [shape("car", "mask", [[30.4, 12.0], [49.4, 21.0]], mask=tiny.png_base64(picture))]
        expected = np.zeros(HW, np.uint8)
        expected[14:20, 35:45] = 1
        assert np.array_equal(labels_of(tiny.labelme(tmp_path, shapes)), expected)

    def test_four_corners_are_a_rectangle_too(self, tmp_path: Path) -> None:
        corners = [[10.0, 5.0], [30.0, 5.0], [30.0, 15.0], [10.0, 15.0]]
        expected = np.zeros(HW, np.uint8)
        expected[5:16, 10:31] = 1
        assert np.array_equal(labels_of(tiny.labelme(tmp_path, [shape("car", "rectangle", corners)])), expected)

    def test_files_of_old_versions(self, tmp_path: Path) -> None:
        """Version 2 and 3: no type, since all were polygons, no sizes, no flags, and colours that nobody reads."""
        tiny.labelme(tmp_path)
        old = {"lineColor": [0, 255, 0, 128], "shapes": [{"label": "a", "line_color": None, "points": POLYGON}]}
        (tmp_path / "a.json").write_text(json.dumps(old | {"imagePath": "a.png", "imageData": None}))
        assert detect_format(tmp_path) == "labelme"
        assert np.array_equal(labels_of(tmp_path), painted((1, polygon)))

    def test_an_instance_in_several_parts_is_one_class(self, tmp_path: Path) -> None:
        other = [[45.0, 30.0], [58.0, 30.0], [58.0, 38.0]]
        shapes = [shape("car", group_id=1), shape("car", points=other, group_id=1), shape("car", group_id=2)]
        labels = labels_of(tiny.labelme(tmp_path, shapes))
        assert set(np.unique(labels)) == {0, 1}
        assert labels[33, 57] == labels[15, 20] == 1


class TestClasses:
    def test_labels_txt_gives_the_order(self, tmp_path: Path) -> None:
        (tiny.labelme(tmp_path) / "labels.txt").write_text("__ignore__\n_background_\nperson\nbus\ncar\n")
        dataset = open_dataset("labelme", tmp_path, "all")
        assert dataset.label_map.names == ("background", "person", "bus", "car")
        assert set(np.unique(dataset[0].labels)) == {0, 1, 3}

    def test_background_is_there_even_where_the_list_has_none(self, tmp_path: Path) -> None:
        (tiny.labelme(tmp_path) / "labels.txt").write_text("person\ncar\n")
        assert open_dataset("labelme", tmp_path, "all").label_map.names == ("background", "person", "car")

    def test_every_split_has_the_classes_of_all_files(self, tmp_path: Path) -> None:
        tiny.labelme_file(tmp_path, "b", [shape("tram")])
        (tiny.labelme(tmp_path) / "train.txt").write_text("b\n")
        assert open_dataset("labelme", tmp_path, "train").label_map.names == ("background", "car", "person", "tram")

    def test_a_label_that_is_not_in_the_list(self, tmp_path: Path) -> None:
        (tiny.labelme(tmp_path) / "labels.txt").write_text("person\nbus\n")
        with pytest.raises(DataError, match=r"a\.json: shape 2 has the label 'car', which is no class here"):
            labels_of(tmp_path)

    def test_lists_that_make_no_classes(self, tmp_path: Path) -> None:
        (tiny.labelme(tmp_path) / "labels.txt").write_text("person\nperson\n")
        with pytest.raises(DataError, match=r"labels\.txt: class names must be unique; found twice: person"):
            labels_of(tmp_path)
        (tmp_path / "labels.txt").unlink()
        tiny.labelme(tmp_path, [shape("__ignore__")])
        with pytest.raises(DataError, match=r"a label map has 1 classes.*Label the images, or list the classes"):
            labels_of(tmp_path)


class TestSplits:
    def test_lists_keep_their_order(self, tmp_path: Path) -> None:
        for name in ("a", "b", "c"):
            tiny.labelme_file(tmp_path, name, [shape("car")])
        (tmp_path / "val.txt").write_text("c\na.json\n")
        (tmp_path / "flags.txt").write_text("__ignore__\n")
        (tmp_path / "labels.txt").write_text("car\n")
        assert dataset_format("labelme").splits(tmp_path) == ["val", "all"]
        dataset = open_dataset("labelme", tmp_path, "val")
        assert [dataset[index].name for index in range(len(dataset))] == ["c", "a"]
        assert [open_dataset("labelme", tmp_path, "all")[index].name for index in range(3)] == ["a", "b", "c"]

    def test_the_folder_that_labelme_uses_in_its_examples(self, tmp_path: Path) -> None:
        tiny.labelme(tmp_path / "data_annotated")
        (tmp_path / "labels.txt").write_text("car\nperson\n")
        assert detect_format(tmp_path) == detect_format(tmp_path / "data_annotated") == "labelme"
        assert len(open_dataset("labelme", tmp_path, "all")) == 1

    def test_faults(self, tmp_path: Path) -> None:
        (tiny.labelme(tmp_path) / "val.txt").write_text("a\nb\n")
        with pytest.raises(DataError, match=r"val\.txt: no annotation b\.json in .*Restore it or take it off"):
            open_dataset("labelme", tmp_path, "val")
        (tmp_path / "val.txt").write_text("a\na\n")
        with pytest.raises(DataError, match=r"labelme val: listed twice: a\."):
            open_dataset("labelme", tmp_path, "val")
        with pytest.raises(DataError, match=r"no split 'dev': no dev\.txt\. Try val, all\."):
            open_dataset("labelme", tmp_path, "dev")
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty/labels.txt").write_text("car\n")
        with pytest.raises(DataError, match="labelme all: no annotation in this split"):
            open_dataset("labelme", tmp_path / "empty", "all")


class TestImages:
    @pytest.mark.parametrize("path", ["..\\photos\\b.png", "../photos/b.png", "D:\\old\\b.png", "/data/old/b.png"])
    def test_separators_of_both_systems_and_folders_that_have_moved(self, tmp_path: Path, path: str) -> None:
        moved = ".." not in path
        save_frame(tmp_path / ("data" if moved else "photos") / "b.png", random_frame(5, HW))
        (tiny.labelme(tmp_path / "data", imagePath=path) / "a.png").unlink()
        assert np.array_equal(open_dataset("labelme", tmp_path / "data", "all")[0].image_bgr, random_frame(5, HW))

    def test_an_embedded_image_comes_first(self, tmp_path: Path) -> None:
        data = tiny.png_base64(np.ascontiguousarray(random_frame(9, HW)[..., ::-1]))
        tiny.labelme(tmp_path, imageData=data, imagePath="a.json")
        assert np.array_equal(open_dataset("labelme", tmp_path, "all")[0].image_bgr, random_frame(9, HW))

    def test_the_files_of_a_sample(self, tmp_path: Path) -> None:
        dataset = open_labelme(tiny.labelme(tmp_path), "all")
        assert dataset.files(0) == (tmp_path / "a.png", tmp_path / "a.json")
        tiny.labelme(tmp_path, imageData=tiny.png_base64(np.zeros((*HW, 3), np.uint8)))
        assert dataset.files(0) == (tmp_path / "a.json",)

    def test_exif_orientation_is_applied_as_labelme_does(self, tmp_path: Path) -> None:
        """Stored lying, 60 wide and 40 high, shown upright: 6 says the first row is on the right."""
        tiny.labelme(tmp_path, imagePath="a.jpg", imageHeight=HW[1], imageWidth=HW[0])
        gradient = np.repeat(np.linspace(0, 255, 60).astype(np.uint8)[None, :, None], 40, axis=0).repeat(3, axis=2)
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(gradient).save(tmp_path / "a.jpg", exif=exif, quality=95)
        sample = open_dataset("labelme", tmp_path, "all")[0]
        assert sample.image_bgr.shape == (60, 40, 3)
        assert sample.labels.shape == (60, 40)
        assert sample.image_bgr[0].mean() < 20, "what was on the left is now at the top"
        assert sample.image_bgr[-1].mean() > 235

    def test_another_size_than_annotated(self, tmp_path: Path) -> None:
        save_frame(tiny.labelme(tmp_path) / "a.png", random_frame(0, (20, 30)))
        with pytest.raises(DataError, match=r"a\.json: drawn on 60×40 pixels, but .*a\.png has 30×20"):
            labels_of(tmp_path)

    def test_no_image(self, tmp_path: Path) -> None:
        (tiny.labelme(tmp_path) / "a.png").unlink()
        with pytest.raises(DataError, match=r"a\.json: its image 'a\.png' is neither embedded nor there"):
            labels_of(tmp_path)
        for path in (None, 3, "x" * 5000, "a\0b"):
            tiny.labelme(tmp_path, imagePath=path)
            with pytest.raises(DataError, match=r"a\.json: its image '.*' is neither embedded nor there"):
                labels_of(tmp_path)

    @pytest.mark.parametrize(
        ("data", "problem"),
        [
            ("%", "imageData"),
            (base64.b64encode(b"GIF89a").decode(), r"a\.json \(imageData\): neither a JPEG nor a PNG"),
        ],
    )
    def test_an_embedded_image_that_is_none(self, tmp_path: Path, data: str, problem: str) -> None:
        with pytest.raises(DataError, match=problem):
            labels_of(tiny.labelme(tmp_path, imageData=data))


class TestBrokenFiles:
    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            (b'{"shapes": [\n  {"label": "a",,', r"broken JSON at line 2, column 17 \(Expecting"),
            (b"", "broken JSON at line 1, column 1"),
            (b'{"shapes": "\xff"}', "not UTF-8 at byte 12"),
            (b"[" * 100_000, "JSON nested too deep"),
            (b"[]", "no list of shapes, so not a labelme annotation"),
            (b'{"shapes": null}', "no list of shapes"),
            (b'{"shapes": [3]}', "shape 1 has no label"),
            (b'{"shapes": [{"label": 7, "points": []}]}', "shape 1 has no label"),
        ],
    )
    def test_not_an_annotation(self, tmp_path: Path, text: bytes, problem: str) -> None:
        (tiny.labelme(tmp_path) / "a.json").write_bytes(text)
        (tmp_path / "labels.txt").write_text("a\n")
        with pytest.raises(DataError, match=rf"a\.json: {problem}"):
            labels_of(tmp_path)

    @pytest.mark.parametrize(
        ("kind", "points", "problem"),
        [
            ("polygon", [[1, 2], [3, 4]], r"points of shape \(2, 2\); expected at least 3"),
            ("rectangle", [[1, 2]], "expected 2 to 4"),
            ("circle", [[1, 2]], "expected 2 of"),
            ("point", [], r"points of shape \(0,\); expected 1"),
            ("line", [[1, 2], [3, 4], [5, 6]], "expected 2 of"),
            ("polygon", [[1, 2], [3], [4, 5]], "no list of x, y points"),
            ("polygon", [["x", "y"]] * 3, "no list of x, y points"),
            ("polygon", None, "points of shape"),
            ("polygon", [[1, 2], [3, 4], [float("nan"), 5]], "a point that is no place"),
            ("polygon", [[1, 2], [3, 4], [1e300, 5]], "a point that is no place"),
            ("polygon", [[1, 2], [3, 4], [10**400, 5]], "no list of x, y points"),
            ("spline", POLYGON, "unknown type; known are: polygon,"),
            ("[]", POLYGON, "unknown type"),
            ("mask", [[1, 2], [3, 4]], "has no mask"),
        ],
    )
    def test_shapes_that_cannot_be_used(self, tmp_path: Path, kind: str, points: Any, problem: str) -> None:
        with pytest.raises(DataError, match=rf"a\.json: shape 2 \('car', '?{re.escape(kind)}'?\).*{problem}"):
            labels_of(tiny.labelme(tmp_path, [shape("person"), shape("car", kind, points)]))

    @pytest.mark.parametrize(
        ("mask", "problem"),
        [
            ("A", "the mask of shape 1 is not base64"),
            (base64.b64encode(b"no picture").decode(), "not a PNG file"),
            (tiny.png_base64(np.zeros((10, 20, 3), np.uint8)), "is a colour picture"),
            (tiny.png_base64(np.zeros((30, 20), np.uint8)), "is 20×30 pixels for a box of 19×9"),
        ],
    )
    def test_masks_that_cannot_be_used(self, tmp_path: Path, mask: str, problem: str) -> None:
        with pytest.raises(DataError, match=rf"a\.json: .*{problem}"):
            labels_of(tiny.labelme(tmp_path, [shape("car", "mask", [[30, 12], [49, 21]], mask=mask)]))

    def test_a_file_that_is_read_by_no_other_kind(self, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_text('{"images": [], "annotations": [], "categories": []}')
        with pytest.raises(DataError, match="not a dataset layout known here"):
            detect_format(tmp_path)
