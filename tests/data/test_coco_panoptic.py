"""COCO's panoptic segments and stuff masks."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_coco as tiny
from tiny_coco import CATEGORIES, HW
from tiny_datasets import random_frame, save_frame, save_grey, save_rgb

from edgeseg.data import dataset_format, detect_format, open_dataset
from edgeseg.data.coco_categories import PANOPTIC, STUFF, THINGS
from edgeseg.data.coco_panoptic import open_coco_panoptic
from edgeseg.errors import DataError
from edgeseg.types import Labels

SEGMENTS = [{5: 1, 70_000: 3, 256 * 256 * 250 + 3: 17}, {9: 17, 300: 17}]
CLASS_OF = {1: 0, 3: 1, 17: 2}


class TestPanoptic:
    def test_segments_become_their_categories(self, tmp_path: Path) -> None:
        drawn = tiny.panoptic(tmp_path, SEGMENTS)
        assert detect_format(tmp_path) == "coco-panoptic"
        dataset = open_dataset("coco-panoptic", tmp_path, "val2017")
        assert dataset.label_map.names == tuple(CATEGORIES.values())
        assert (0, 0, 0) not in dataset.label_map.palette
        for index, ids in enumerate(drawn):
            expected = np.full(HW, 255, np.uint8)
            for segment, category in SEGMENTS[index].items():
                expected[ids == segment] = CLASS_OF[category]
            sample = dataset[index]
            assert np.array_equal(sample.labels, expected)
            assert np.array_equal(sample.image_bgr, random_frame(index, HW))
        assert dataset[-1].name == "000001"
        assert np.array_equal(dataset[-1].labels, dataset[1].labels)

    def test_a_crowd_keeps_its_class(self, tmp_path: Path) -> None:
        tiny.panoptic(tmp_path, SEGMENTS)
        before = open_coco_panoptic(tmp_path, "val2017")[0].labels
        path = tmp_path / "annotations/panoptic_val2017.json"
        path.write_text(path.read_text().replace('"iscrowd": 0', '"iscrowd": 1'))
        assert np.array_equal(open_coco_panoptic(tmp_path, "val2017")[0].labels, before)

    def test_the_sample_that_panopticapi_ships_is_laid_out_so(self, tmp_path: Path) -> None:
        tiny.panoptic(tmp_path, SEGMENTS)
        (tmp_path / "annotations").rename(tmp_path / "sample")
        (tmp_path / "val2017").rename(tmp_path / "sample/input_images")
        for name in ("panoptic_val2017.json", "panoptic_val2017"):
            (tmp_path / "sample" / name).rename(tmp_path / "sample" / name.replace("val2017", "examples"))
        assert detect_format(tmp_path / "sample") == "coco-panoptic"
        assert len(open_dataset("coco-panoptic", tmp_path / "sample", "examples")) == 2
        assert len(open_dataset("coco-panoptic", tmp_path / "sample/panoptic_examples.json", "all")) == 2

    def test_instances_beside_it_have_to_be_told_apart(self, tmp_path: Path) -> None:
        tiny.panoptic(tmp_path, SEGMENTS)
        tiny.instances(tmp_path, tiny.content([]))
        with pytest.raises(DataError, match=r"looks like coco and coco-panoptic at once\. Say which"):
            detect_format(tmp_path)

    def test_pickled_for_a_worker(self, tmp_path: Path) -> None:
        tiny.panoptic(tmp_path, SEGMENTS)
        dataset = open_coco_panoptic(tmp_path, "val2017")
        assert np.array_equal(pickle.loads(pickle.dumps(dataset))[1].labels, dataset[1].labels)

    @pytest.mark.parametrize(
        ("fault", "problem"),
        [
            (lambda v: v["annotations"][0].pop("segments_info"), "entry 1 of annotations .*no 'segments_info'"),
            (lambda v: v["annotations"][0].update(segments_info={}), "segments_info is no list"),
            (lambda v: v["annotations"][1].update(image_id=5), "annotates image 5, which it does not list"),
            (lambda v: v["annotations"][0].update(image_id=None), "image_id None is neither a number nor a text"),
            (lambda v: v["annotations"][1].update(image_id=10), r"annotates 000000\.png twice"),
            (lambda v: v["annotations"][1].update(file_name="x.png"), r"x\.png: this PNG of coco-panoptic val2017 is"),
            (lambda v: v["annotations"].clear(), "annotates no image"),
            (lambda v: v["categories"][1].update(name="person"), "found twice: person"),
        ],
    )
    def test_faults_at_birth(self, tmp_path: Path, fault: Callable[[dict[str, Any]], None], problem: str) -> None:
        tiny.panoptic(tmp_path, SEGMENTS)
        path = tmp_path / "annotations/panoptic_val2017.json"
        value = json.loads(path.read_text())
        fault(value)
        path.write_text(json.dumps(value))
        with pytest.raises(DataError, match=problem):
            open_coco_panoptic(tmp_path, "val2017")

    def test_a_segment_that_the_json_does_not_explain(self, tmp_path: Path) -> None:
        tiny.panoptic(tmp_path, SEGMENTS)
        rgb = np.zeros((*HW, 3), np.uint8)
        rgb[3, 7] = (1, 2, 0)
        save_rgb(tmp_path / "annotations/panoptic_val2017/000001.png", rgb)
        dataset = open_coco_panoptic(tmp_path, "val2017")
        with pytest.raises(DataError, match=r"segment 513 at x=7, y=3 \(1 pixels unknown\).*do not belong together"):
            dataset[1]

    @pytest.mark.parametrize(
        ("segment", "problem"),
        [
            ({"id": 5, "category_id": 2}, r"KeyError\(2\)"),
            ({"id": 10**30, "category_id": 1}, "OverflowError"),
            (5, "Type"),
        ],
    )
    def test_a_segment_of_no_known_category_or_number(self, tmp_path: Path, segment: object, problem: str) -> None:
        tiny.panoptic(tmp_path, SEGMENTS)
        path = tmp_path / "annotations/panoptic_val2017.json"
        value = json.loads(path.read_text())
        value["annotations"][0]["segments_info"].append(segment)
        path.write_text(json.dumps(value))
        with pytest.raises(DataError, match=rf"segments of 000000\.png cannot be used \({problem}"):
            open_coco_panoptic(tmp_path, "val2017")[0]

    def test_a_grey_png_and_an_image_of_another_size(self, tmp_path: Path) -> None:
        tiny.panoptic(tmp_path, SEGMENTS)
        save_grey(tmp_path / "annotations/panoptic_val2017/000000.png", np.zeros(HW, np.uint8))
        save_frame(tmp_path / "val2017/000001.png", random_frame(0, (4, 4)))
        dataset = open_coco_panoptic(tmp_path, "val2017")
        with pytest.raises(DataError, match="one channel, where a segment's number is spread over R, G and B"):
            dataset[0]
        with pytest.raises(DataError, match="mask of 30×20 pixels for an image of 4×4"):
            dataset[1]

    def test_no_folder_of_pngs(self, tmp_path: Path) -> None:
        tiny.panoptic(tmp_path, SEGMENTS)
        (tmp_path / "annotations/panoptic_val2017").rename(tmp_path / "elsewhere")
        with pytest.raises(DataError, match=r"no folder .*panoptic_val2017 with its PNG files\. Unpack"):
            open_coco_panoptic(tmp_path, "val2017")


def values(*stored: int) -> Labels:
    """A mask in which each of these values is a column."""
    return np.tile(np.array(stored, np.uint8), (4, 1))


class TestCategories:
    def test_counts_and_ends(self) -> None:
        assert (len(THINGS), len(STUFF), len(PANOPTIC)) == (80, 91, 133)
        assert (THINGS[1], THINGS[13], THINGS[90]) == ("person", "stop sign", "toothbrush")
        assert (STUFF[92], STUFF[149], STUFF[182]) == ("banner", "road", "wood")
        assert (PANOPTIC[149], PANOPTIC[184], PANOPTIC[200]) == ("road", "tree-merged", "rug-merged")


class TestStuff:
    @pytest.mark.parametrize(
        ("masks", "split", "stored", "expected"),
        [
            ("stuffthingmaps/val2017", "val2017", (0, 12, 148, 255), ("person", "stop sign", "road", None)),
            ("annotations/val2017", "val2017", (0, 12, 148, 255), ("person", "stop sign", "road", None)),
            ("annotations/stuff_val2017_pixelmaps", "val2017", (149, 183, 0), ("road", "thing", None)),
            ("stuff_val2017_pixelmaps", "val2017", (149, 183, 0), ("road", "thing", None)),
            ("masks", "all", (1, 13, 149, 187, 0), ("person", "stop sign", "road", "sky-other-merged", None)),
        ],
    )
    def test_codings(
        self, tmp_path: Path, masks: str, split: str, stored: tuple[int, ...], expected: tuple[str | None, ...]
    ) -> None:
        images = Path("images") if split == "all" else Path("images", split)
        tiny.stuff(tmp_path, Path(masks), {"b": values(*stored), "a": values(stored[0])}, images)
        (tmp_path / "classes_config.yaml").write_text("") if split == "all" else None
        assert detect_format(tmp_path) == "coco-stuff"
        assert dataset_format("coco-stuff").splits(tmp_path) == [split]
        dataset = open_dataset("coco-stuff", tmp_path, split)
        assert [dataset[i].name for i in range(len(dataset))] == ["a", "b"]
        names = dataset.label_map.names
        assert (0, 0, 0) not in dataset.label_map.palette
        assert [None if v == 255 else names[v] for v in dataset[1].labels[0]] == list(expected)

    def test_masks_that_tools_put_beside_them(self, tmp_path: Path) -> None:
        tiny.stuff(tmp_path, Path("stuffthingmaps/val2017"), {"a": values(0, 5)}, Path("val2017"))
        for name in ("a_labelTrainIds", "._a"):
            save_grey(tmp_path / f"stuffthingmaps/val2017/{name}.png", values(0, 5))
        assert len(open_dataset("coco-stuff", tmp_path, "val2017")) == 1

    def test_a_value_of_another_coding(self, tmp_path: Path) -> None:
        tiny.stuff(tmp_path, Path("stuffthingmaps/val2017"), {"a": values(0, 199)}, Path("val2017"))
        dataset = open_dataset("coco-stuff", tmp_path, "val2017")
        with pytest.raises(DataError, match=r"a\.png: id 199 at x=1, y=0"):
            dataset[0]

    def test_a_mask_without_image_and_a_split_that_is_not_there(self, tmp_path: Path) -> None:
        tiny.stuff(tmp_path, Path("stuffthingmaps/val2017"), {"a": values(0)}, Path("val2017"))
        with pytest.raises(DataError, match="no masks for split 'dev'; splits here: val2017"):
            open_dataset("coco-stuff", tmp_path, "dev")
        (tmp_path / "val2017/a.jpg").unlink()
        with pytest.raises(DataError, match=r"val2017/a\.jpg: this image of coco-stuff val2017 is missing"):
            open_dataset("coco-stuff", tmp_path, "val2017")
