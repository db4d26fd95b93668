"""COCO instances: what is drawn, held to pycocotools, and what is wrong with a file said in one line."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_coco as tiny
from numpy.typing import NDArray
from pycocotools import mask as pycoco
from tiny_coco import HW, annotation, box, content, runs
from tiny_datasets import random_frame, save_frame

from edgeseg.data import detect_format, open_dataset
from edgeseg.data.coco import CocoInstances, open_coco
from edgeseg.data.coco_json import read_coco_json
from edgeseg.data.coco_masks import run_lengths, union
from edgeseg.data.mapped import map_classes
from edgeseg.data.mapping import ClassMapping
from edgeseg.errors import DataError
from edgeseg.labels import LabelMap

BACKGROUND, PERSON, CAR, CAT, VOID = 0, 1, 2, 3, 255


def labels_of(root: Path, *annotations: dict[str, Any]) -> NDArray[np.uint8]:
    return open_coco(tiny.instances(root, content(annotations)), "val2017")[0].labels


def covered(*boxes: tuple[slice, slice]) -> NDArray[np.bool_]:
    mask = np.zeros(HW, bool)
    for rows, columns in boxes:
        mask[rows, columns] = True
    return mask


class TestDrawing:
    def test_objects_become_classes_in_the_order_of_the_categories(self, tmp_path: Path) -> None:
        boxes = [annotation(1, 10, 17, [box(2, 3, 4, 5)]), annotation(2, 11, 3, [box(0, 0, 30, 20)])]
        dataset = open_dataset("coco", tiny.instances(tmp_path, content(boxes)), "val2017")
        assert dataset.label_map.names == ("background", "person", "car", "cat")
        assert (dataset.name, len(dataset), dataset[1].name) == ("coco val2017", 2, "000001")
        assert np.array_equal(dataset[1].image_bgr, random_frame(1, HW))
        expected = np.where(covered((slice(3, 8), slice(2, 6))), CAT, BACKGROUND)
        assert np.array_equal(dataset[0].labels, expected)
        assert dataset[0].labels.dtype == np.uint8
        assert (dataset[1].labels == CAR).all()

    def test_different_classes_that_overlap_are_void_and_the_same_class_is_not(self, tmp_path: Path) -> None:
        labels = labels_of(
            tmp_path,
            annotation(1, 10, 1, [box(0, 0, 10, 10)]),
            annotation(2, 10, 1, [box(5, 0, 10, 10)]),
            annotation(3, 10, 3, [box(12, 0, 8, 10)]),
        )
        assert (labels[:10, :12] == PERSON).all()
        assert (labels[:10, 12:15] == VOID).all()
        assert (labels[:10, 15:20] == CAR).all()

    def test_a_third_object_does_not_bring_back_what_is_void(self, tmp_path: Path) -> None:
        same = [annotation(n, 10, category, [box(0, 0, 5, 5)]) for n, category in enumerate((1, 3, 1, 17))]
        assert (labels_of(tmp_path, *same)[:5, :5] == VOID).all()

    def test_a_crowd_is_void(self, tmp_path: Path) -> None:
        crowd = covered((slice(4, 9), slice(10, 30)))
        person = annotation(1, 10, 1, [box(0, 0, 12, 20)])
        labels = labels_of(tmp_path, person, annotation(2, 10, 1, runs(crowd), iscrowd=1))
        assert np.array_equal(labels == VOID, crowd)
        assert np.array_equal(labels == PERSON, covered((slice(None), slice(0, 12))) & ~crowd)

    def test_an_image_without_objects_is_background(self, tmp_path: Path) -> None:
        assert not labels_of(tmp_path, annotation(1, 11, 1, [box(0, 0, 5, 5)])).any()

    def test_a_polygon_of_two_points_covers_nothing_and_is_no_box(self, tmp_path: Path) -> None:
        two_points = annotation(1, 10, 1, [[2, 2, 9, 9], box(20, 0, 4, 4)])
        assert np.array_equal(labels_of(tmp_path, two_points) > 0, covered((slice(0, 4), slice(20, 24))))
        assert not labels_of(tmp_path, annotation(1, 10, 1, [[2, 2, 9, 9]])).any()

    def test_what_reaches_beyond_the_image_is_cut_off(self, tmp_path: Path) -> None:
        labels = labels_of(tmp_path, annotation(1, 10, 1, [box(-7, 15, 12, 20)]))
        assert np.array_equal(labels == PERSON, covered((slice(15, 20), slice(0, 5))))

    @pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
    def test_random_outlines_are_pycocotools_own(self) -> None:
        rng = np.random.default_rng(5)
        for _ in range(100):
            height, width = (int(size) for size in rng.integers(1, 60, 2))
            near = [min(0.3 * size, 5.0) for size in (width, height)]
            polygons = [
                rng.uniform([-near[0], -near[1]], [width + near[0], height + near[1]], (rng.integers(3, 9), 2))
                .ravel()
                .tolist()
                for _ in range(rng.integers(1, 4))
            ]
            expected = pycoco.decode(pycoco.merge(pycoco.frPyObjects(polygons, height, width)))
            assert np.array_equal(union(run_lengths(polygons, height, width)), expected)

    @pytest.mark.parametrize("compressed", [True, False])
    def test_random_run_lengths_are_pycocotools_own(self, compressed: bool) -> None:
        rng = np.random.default_rng(6)
        for _ in range(100):
            mask = rng.random(rng.integers(1, 60, 2)) > rng.random()
            encoded = pycoco.encode(np.asfortranarray(mask, np.uint8))
            text = {"size": list(mask.shape), "counts": encoded["counts"].decode()}
            assert np.array_equal(union(run_lengths(text if compressed else runs(mask), *mask.shape)), mask)


class TestMapping:
    TARGET = LabelMap(("background", "human", "thing"), ((0, 0, 0), (1, 0, 0), (2, 0, 0)), 200)

    def mapped(self, root: Path, classes: dict[str, str | None], *annotations: dict[str, Any]) -> NDArray[np.uint8]:
        dataset = open_coco(tiny.instances(root, content(annotations)), "val2017")
        changed = map_classes(dataset, ClassMapping("m", self.TARGET, {"background": "background", **classes}))
        assert (changed.label_map, changed.name) == (self.TARGET, "coco val2017, m")
        assert dataset[0].labels.max() in (PERSON, VOID), "the dataset itself stays as it was"
        return changed[0].labels

    PAIR = (annotation(1, 10, 1, [box(0, 0, 10, 20)]), annotation(2, 10, 3, [box(5, 0, 10, 20)]))

    def test_an_unwanted_class_hides_nothing(self, tmp_path: Path) -> None:
        labels = self.mapped(tmp_path, {"person": "human", "car": "background", "cat": "background"}, *self.PAIR)
        assert (labels[:, :10] == 1).all()
        assert not labels[:, 10:].any()

    def test_two_classes_that_become_one_do_not_conflict(self, tmp_path: Path) -> None:
        labels = self.mapped(tmp_path, {"person": "thing", "car": "thing", "cat": "thing"}, *self.PAIR)
        assert (labels[:, :15] == 2).all()

    def test_a_class_that_becomes_void_is_void_wherever_it_is(self, tmp_path: Path) -> None:
        labels = self.mapped(tmp_path, {"person": "human", "car": None, "cat": None}, *self.PAIR)
        assert (labels[:, :5] == 1).all()
        assert (labels[:, 5:15] == 200).all()

    def test_a_crowd_of_an_unwanted_class_is_not_void(self, tmp_path: Path) -> None:
        crowd = annotation(2, 10, 3, runs(covered((slice(0, 20), slice(5, 15)))), iscrowd=1)
        classes: dict[str, str | None] = {"person": "human", "car": "background", "cat": "background"}
        assert 200 not in self.mapped(tmp_path, classes, self.PAIR[0], crowd)
        assert (self.mapped(tmp_path, {**classes, "car": "thing"}, self.PAIR[0], crowd)[:, 5:15] == 200).all()

    def test_where_background_is_void_an_unwanted_class_still_hides_nothing(self, tmp_path: Path) -> None:
        labels = self.mapped(tmp_path, {"background": None, "person": "human", "car": None, "cat": None}, *self.PAIR)
        assert (labels[:, :10] == 1).all()
        assert (labels[:, 10:] == 200).all()


class TestSamples:
    def big(self, number: int, image: int, category: int, area: float) -> dict[str, Any]:
        return annotation(number, image, category, [box(0, 0, 5, 5)], area=area)

    def test_annotated_keeps_images_with_enough_of_the_wanted_classes(self, tmp_path: Path) -> None:
        objects = [self.big(1, 10, 1, 700), self.big(2, 10, 3, 301), self.big(3, 11, 1, 1000), self.big(4, 12, 3, 5000)]
        tiny.instances(tmp_path, content(objects, images=4))
        assert len(open_coco(tmp_path, "val2017")) == 4
        dataset = open_coco(tmp_path, "val2017-annotated")
        assert [dataset[i].name for i in range(len(dataset))] == ["000000", "000002"]
        target = LabelMap(("background", "car"), ((0, 0, 0), (1, 0, 0)))
        cars = dataset.mapped(ClassMapping("cars", target, {"car": "car"}, "background"))
        assert [cars[i].name for i in range(len(cars))] == ["000002"]

    def test_nothing_left(self, tmp_path: Path) -> None:
        tiny.instances(tmp_path, content([self.big(1, 10, 1, 9)]))
        with pytest.raises(DataError, match="val2017-annotated: no image has more than 1000 pixels"):
            open_coco(tmp_path, "val2017-annotated")

    def test_a_for_loop_ends(self, tmp_path: Path) -> None:
        dataset = open_coco(tiny.instances(tmp_path, content([])), "val2017")
        with pytest.raises(IndexError):
            dataset[2]

    def test_annotations_in_any_order(self, tmp_path: Path) -> None:
        """COCO's own file has them sorted by nothing that helps."""
        objects = [annotation(n, 10 + n % 3, (1, 3, 17)[n % 3], [box(n, 0, 1, 20)]) for n in range(30)]
        dataset = open_coco(tiny.instances(tmp_path, content(objects, images=3)), "val2017")
        for index in range(3):
            columns = np.arange(30) % 3 == index
            assert np.array_equal(dataset[index].labels, np.tile(np.where(columns, index + 1, 0), (20, 1)))

    def test_a_worker_process_gets_the_index_and_not_the_annotations(self, tmp_path: Path) -> None:
        many = [annotation(n, 10, 1, [box(0, 0, 5, 5) * 100]) for n in range(500)]
        tiny.instances(tmp_path, content([*many, annotation(500, 10, 3, [box(9, 9, 3, 3)])]))
        dataset = open_coco(tmp_path, "val2017")
        packed = pickle.dumps(dataset)
        assert len(packed) < 60_000 < (tmp_path / "annotations/instances_val2017.json").stat().st_size / 10
        again: CocoInstances = pickle.loads(packed)
        assert np.array_equal(again[0].labels, dataset[0].labels)

    def test_nothing_is_printed(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        labels_of(tmp_path, annotation(1, 10, 1, [box(0, 0, 5, 5)]))
        assert capfd.readouterr() == ("", "")


class TestLayouts:
    VALUE = content([annotation(1, 10, 1, [box(0, 0, 5, 5)])])

    @pytest.mark.parametrize("folder", ["val2017", "images/val2017", "images", "JPEGImages", "."])
    def test_where_the_images_may_be(self, tmp_path: Path, folder: str) -> None:
        tiny.instances(tmp_path / "made", self.VALUE)
        (tmp_path / "coco" / folder).mkdir(parents=True)
        for file in list((tmp_path / "made/val2017").iterdir()):
            file.rename(tmp_path / "coco" / folder / file.name)
        (tmp_path / "made/annotations").rename(tmp_path / "coco/annotations")
        assert detect_format(tmp_path / "coco") == "coco"
        assert open_coco(tmp_path / "coco", "val2017")[0].labels.any()

    def test_the_json_file_as_root(self, tmp_path: Path) -> None:
        path = tiny.instances(tmp_path, self.VALUE) / "annotations/instances_val2017.json"
        assert detect_format(path) == "coco"
        assert len(open_dataset("coco", path, "all")) == 2

    def test_images_beside_the_json_in_folders_of_their_own(self, tmp_path: Path) -> None:
        value = content([annotation(1, 11, 1, [box(0, 0, 5, 5)])])
        for number, image in enumerate(value["images"]):
            image["file_name"] = f"drive_{number}\\0001.png"
            save_frame(tmp_path / f"drive_{number}/0001.png", random_frame(number, HW))
        (tmp_path / "_annotations.coco.json").write_text(json.dumps(value))
        dataset = open_coco(tmp_path / "_annotations.coco.json", "all")
        assert [dataset[i].name for i in range(2)] == ["drive_0_0001", "drive_1_0001"]

    def test_labelmes_background_is_the_background(self, tmp_path: Path) -> None:
        value = content([annotation(1, 10, 7, [box(0, 0, 5, 5)])], categories={0: "_background_", 7: "dog"})
        dataset = open_coco(tiny.instances(tmp_path, value), "val2017")
        assert dataset.label_map.names == ("background", "dog")
        assert (dataset[0].labels[:5, :5] == 1).all()

    def test_names_in_other_scripts_and_a_byte_order_mark(self, tmp_path: Path) -> None:
        value = content([annotation(1, 10, 1, [box(0, 0, 5, 5)], note="größer")], categories={1: "行人", 2: "vélo"})
        value["images"][0]["file_name"] = "köln_000000.png"
        tiny.instances(tmp_path, value)
        path = tmp_path / "annotations/instances_val2017.json"
        path.write_bytes(b"\xef\xbb\xbf" + json.dumps(value, ensure_ascii=False, indent=1).encode())
        assert detect_format(path) == "coco"
        dataset = open_coco(tmp_path, "val2017")
        assert dataset.label_map.names == ("background", "行人", "vélo")
        assert dataset[0].name == "köln_000000"
        assert (dataset[0].labels[:5, :5] == 1).all()

    def test_unknown_split(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no annotations/instances_dev\.json; splits here: val2017"):
            open_coco(tiny.instances(tmp_path, self.VALUE), "dev")

    def test_any_json_is_not_coco(self, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_text('{"version": "5.0", "shapes": []}')
        with pytest.raises(DataError, match="not a dataset layout known here"):
            detect_format(tmp_path / "a.json")


def change(**more: Any) -> Callable[[dict[str, Any]], None]:
    """Changes the first annotation."""
    return lambda value: value["annotations"][0].update(more)


class TestFaultsAtBirth:
    @pytest.mark.parametrize(
        ("fault", "problem"),
        [
            (lambda v: v.pop("annotations"), "has no annotations; expected a COCO file"),
            (lambda v: v.pop("categories"), "has no categories"),
            (lambda v: v["images"].clear(), "lists no image|entry 1 belongs to image"),
            (lambda v: v["images"][1].pop("width"), "entry 2 of images cannot be used: no 'width'"),
            (lambda v: v["images"][1].update(height="20"), "entry 2 of images .*height '20', where pixels"),
            (lambda v: v["images"][1].update(id=10), "entry 2 of images .*id 10 is there twice"),
            (lambda v: v["images"][1].update(file_name="000000.png"), r"has 000000\.png already"),
            (lambda v: v["images"][1].update(file_name="000000.jpg"), r"has 000000\.jpg already \(000000\.png\)"),
            (
                lambda v: v["images"][1].update(file_name="gone.png"),
                r"gone\.png: this image of coco val2017 is missing",
            ),
            (
                lambda v: v["images"][1].update(file_name="long" * 70 + ".png"),
                r"long\.png: this image of coco val2017 is missing",
            ),
            (lambda v: v["images"][0].update(file_name="long" * 70), r"first image (long)+ is in none of the usual"),
            (lambda v: v["images"][0].update(file_name="gone.png"), r"first image gone\.png is in none of the usual"),
            (lambda v: v["categories"][1].update(id=1), "entry 2 of categories .*id 1 is there twice"),
            (lambda v: v["categories"][1].update(name="person"), "class names must be unique; found twice: person"),
            (lambda v: v["annotations"].append("no"), "entry 2 of annotations cannot be used"),
            (change(category_id=2), "annotation entry 1 belongs to category 2, which the file does not list"),
            (change(image_id=[10]), r"entry 1 of annotations .*image_id \[10\] is neither a number nor a text"),
            (lambda v: v["images"][1].update(file_name="/"), "entry 2 of images .*file_name '/', which names no file"),
            (change(image_id=99), "annotation entry 1 belongs to image 99"),
            (change(segmentation=[]), r"1 of 1 annotations have no outline \(the first has id 1\); a box is no mask"),
            (change(segmentation=None), "1 of 1 annotations have no outline"),
        ],
    )
    def test_content(self, tmp_path: Path, fault: Callable[[dict[str, Any]], None], problem: str) -> None:
        value = content([annotation(1, 10, 1, [box(0, 0, 5, 5)])])
        tiny.instances(tmp_path, value)
        fault(value)
        (tmp_path / "annotations/instances_val2017.json").write_text(json.dumps(value))
        with pytest.raises(DataError, match=problem) as raised:
            open_coco(tmp_path, "val2017")
        assert "\n" not in str(raised.value)

    def test_a_folder_that_was_copied_in_part(self, tmp_path: Path) -> None:
        tiny.instances(tmp_path, content([], images=5))
        for number in (1, 2, 4):
            (tmp_path / f"val2017/{number:06d}.png").unlink()
        with pytest.raises(DataError, match=r"000001\.png: this image of coco val2017 is missing\. So are 2 more\."):
            open_coco(tmp_path, "val2017")

    @pytest.mark.parametrize(
        "text", ["", "[]", "{", '{"images": [', '{"info": [{}', '{"images": [] "a"', '{"a": ' + "[" * 100_000, "\xff"]
    )
    def test_text_that_is_no_json(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "x.json"
        path.write_text(text, encoding="latin-1")
        with pytest.raises(DataError, match=r"x\.json: cannot be read as JSON \(.*Copy or export"):
            read_coco_json(path, lambda _: None)

    def test_torn_anywhere(self, tmp_path: Path) -> None:
        text = json.dumps(content([annotation(1, 10, 1, [box(0, 0, 5, 5)])]))
        path = tmp_path / "x.json"
        for length in range(0, len(text) - 1, 3):
            path.write_text(text[:length])
            with pytest.raises(DataError):
                read_coco_json(path, lambda _: None)


class TestFaultsInASample:
    @pytest.mark.parametrize(
        ("segmentation", "problem"),
        [
            ([[1, 1, 9, 1, 9, math.nan]], "a polygon with a point at y=nan, far outside the image of 30×20"),
            ([[1, 1, math.inf, 1, 9, 9]], "a polygon with a point at x=inf"),
            ([[1, 1, 900, 1, 9, 9]], "a polygon with a point at x=900, far outside"),
            ([[1, 1, 9, -21, 9, 9]], "a polygon with a point at y=-21"),
            ([[1, 1, 9, 1, 9, 9, 4]], "a polygon of 7 numbers, where each point has two"),
            ([["1", 1, 9, 1, 9, 9]], "a polygon that is no list of numbers"),
            ([1, 1, 9, 1, 9, 9], "a polygon that is no list of numbers"),
            ([[0, 0, 29, 19, 0, 19] * 50_000], "a polygon whose outline is"),
            ({"size": [20, 30], "counts": [10, 5000]}, "run lengths that cover 5010 of 600 pixels"),
            ({"size": [20, 30], "counts": [10, 50]}, "run lengths that cover 60 of 600 pixels"),
            ({"size": [20, 30], "counts": [10, -5, 595]}, "run lengths that are neither"),
            ({"size": [20, 30], "counts": [10.5, 589.5]}, "run lengths that are neither"),
            (
                {"size": [30, 20], "counts": [600]},
                r"run lengths of size \[30, 20\] \(height, width\) for an image of 30×20",
            ),
            ({"counts": [600]}, "run lengths of size None"),
            ({"size": [20, 30]}, "run lengths that are neither"),
            ({"size": [20, 30], "counts": "zzzzzzzzzzzzzzzzzzzz"}, "compressed run lengths with a character"),
            ({"size": [20, 30], "counts": " "}, "compressed run lengths with a character"),
            ({"size": [20, 30], "counts": "hZ"}, "compressed run lengths that break off"),
            ({"size": [20, 30], "counts": "5"}, "run lengths that cover 5 of 600 pixels"),
        ],
    )
    def test_outlines_that_make_no_sense(self, tmp_path: Path, segmentation: Any, problem: str) -> None:
        bad = annotation(77, 11, 1, segmentation)
        dataset = open_coco(tiny.instances(tmp_path, content([bad])), "val2017")
        assert dataset[0].name == "000000"
        with pytest.raises(DataError, match=rf"annotation 77 of 000001\.png has {problem}.*Correct it\.$"):
            dataset[1]

    def test_an_image_of_another_size(self, tmp_path: Path) -> None:
        dataset = open_coco(tiny.instances(tmp_path, content([])), "val2017")
        save_frame(tmp_path / "val2017/000001.png", random_frame(1, (10, 15)))
        with pytest.raises(DataError, match=r"000001\.png: 15×10 pixels, where .*instances_val2017\.json says 30×20"):
            dataset[1]

    def test_a_file_that_changed_since(self, tmp_path: Path) -> None:
        dataset = open_coco(tiny.instances(tmp_path, content([annotation(1, 10, 1, [box(0, 0, 5, 5)])])), "val2017")
        (tmp_path / "annotations/instances_val2017.json").write_text("{}")
        with pytest.raises(DataError, match="changed since it was opened"):
            dataset[0]
