"""Each dataset format read from its own layout, and what is wrong with a folder said in one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_datasets as tiny
from tiny_datasets import FOLDER, colours_of, random_frame, random_ids, save_frame, save_grey, save_rgb

from edgeseg.data import FORMATS, SegmentationDataset, detect_format, open_dataset
from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import CAMVID, KITTI_ROAD, VOC, LabelMap, distinct_palette


def names(dataset: SegmentationDataset) -> list[str]:
    return [sample.name for sample in (dataset[index] for index in range(len(dataset)))]


class TestCamvid:
    def test_samples_in_the_order_of_the_list(self, tmp_path: Path) -> None:
        dataset = open_dataset("camvid", tiny.camvid(tmp_path), "train")
        assert (dataset.name, len(dataset), dataset.label_map) == ("camvid train", 3, CAMVID)
        assert names(dataset) == ["train_000", "train_001", "train_002"]
        for index in range(3):
            assert np.array_equal(dataset[index].image_bgr, random_frame(index))
            assert np.array_equal(dataset[index].labels, random_ids(index, CAMVID))
        assert 11 in dataset[0].labels

    def test_trainval_is_both_lists(self, tmp_path: Path) -> None:
        dataset = open_dataset("camvid", tiny.camvid(tmp_path), "trainval")
        assert names(dataset) == ["train_000", "train_001", "train_002", "val_000", "val_001"]

    def test_absolute_paths_of_the_upstream_lists(self, tmp_path: Path) -> None:
        tiny.camvid(tmp_path)
        (tmp_path / "val.txt").write_text("/SegNet/CamVid/val/val_001.png /SegNet/CamVid/valannot/val_001.png\n\n")
        assert names(open_dataset("camvid", tmp_path, "val")) == ["val_001"]

    def test_a_for_loop_ends(self, tmp_path: Path) -> None:
        dataset = open_dataset("camvid", tiny.camvid(tmp_path), "test")
        with pytest.raises(IndexError):
            dataset[2]

    def test_unknown_split_names_the_known_ones(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"dev\.txt: no such list; lists here: test, train, val\."):
            open_dataset("camvid", tiny.camvid(tmp_path), "dev")

    @pytest.mark.parametrize(("file", "role"), [("val/val_001.png", "image"), ("valannot/val_001.png", "mask")])
    def test_half_a_pair(self, tmp_path: Path, file: str, role: str) -> None:
        (tiny.camvid(tmp_path) / file).unlink()
        with pytest.raises(DataError, match=rf"{file}: this {role} of camvid val is missing"):
            open_dataset("camvid", tmp_path, "val")

    def test_a_line_that_is_no_pair(self, tmp_path: Path) -> None:
        (tiny.camvid(tmp_path) / "val.txt").write_text("val/val_000.png\n")
        with pytest.raises(DataError, match=r"val\.txt: entry 1 is 'val/val_000\.png'; expected an image and a mask"):
            open_dataset("camvid", tmp_path, "val")

    def test_a_list_that_is_no_text(self, tmp_path: Path) -> None:
        (tiny.camvid(tmp_path) / "val.txt").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(DataError, match=r"val\.txt: not a readable text file"):
            open_dataset("camvid", tmp_path, "val")

    def test_a_list_that_is_one_long_line(self, tmp_path: Path) -> None:
        (tiny.camvid(tmp_path) / "val.txt").write_text("val/val_000.png valannot/val_000.png\n" + 300 * "x" + " y\n")
        with pytest.raises(DataError, match=r"val\.txt: line 2 is too long to be a name, 302 characters"):
            open_dataset("camvid", tmp_path, "val")

    def test_the_mark_that_windows_editors_write(self, tmp_path: Path) -> None:
        (tiny.camvid(tmp_path) / "val.txt").write_text("val/val_000.png valannot/val_000.png\n", encoding="utf-8-sig")
        assert names(open_dataset("camvid", tmp_path, "val")) == ["val_000"]

    def test_an_empty_list(self, tmp_path: Path) -> None:
        (tiny.camvid(tmp_path) / "val.txt").write_text("\n")
        with pytest.raises(DataError, match="camvid val: no image in this split"):
            open_dataset("camvid", tmp_path, "val")

    def test_a_frame_listed_twice_would_count_twice(self, tmp_path: Path) -> None:
        line = "val/val_000.png valannot/val_000.png\n"
        (tiny.camvid(tmp_path) / "val.txt").write_text(2 * line)
        with pytest.raises(DataError, match=r"val_000\.png: camvid val has this name already"):
            open_dataset("camvid", tmp_path, "val")

    def test_sizes_that_differ(self, tmp_path: Path) -> None:
        save_grey(tiny.camvid(tmp_path) / "valannot/val_000.png", np.zeros((6, 8), np.uint8))
        dataset = open_dataset("camvid", tmp_path, "val")
        with pytest.raises(DataError, match=r"valannot/val_000\.png: mask of 8×6 pixels for an image of 16×12"):
            dataset[0]
        assert dataset[1].name == "val_001"

    def test_a_torn_image_is_found_when_it_is_read(self, tmp_path: Path) -> None:
        image = tiny.camvid(tmp_path) / "val/val_001.png"
        image.write_bytes(image.read_bytes()[:-30])
        dataset = open_dataset("camvid", tmp_path, "val")
        with pytest.raises(DataError, match=r"val/val_001\.png: .*truncated"):
            dataset[1]


class TestKittiRoad:
    def test_colours_become_ids(self, tmp_path: Path) -> None:
        dataset = open_dataset("kitti-road", tiny.kitti_road(tmp_path), "all")
        assert (len(dataset), dataset.label_map) == (18, KITTI_ROAD)
        sample = dataset[names(dataset).index("uu_000003")]
        assert np.array_equal(sample.image_bgr, random_frame(3))
        assert np.array_equal(sample.labels, random_ids(3, KITTI_ROAD))

    def test_every_fifth_frame_of_each_category_is_val(self, tmp_path: Path) -> None:
        tiny.kitti_road(tmp_path)
        split = {part: names(open_dataset("kitti-road", tmp_path, part)) for part in ("train", "val", "all")}
        assert split["val"] == [f"{kind}_00000{number}" for kind in ("um", "umm", "uu") for number in (0, 5)]
        assert sorted(split["train"] + split["val"]) == split["all"]

    def test_a_frame_keeps_its_side_when_others_are_removed(self, tmp_path: Path) -> None:
        tiny.kitti_road(tmp_path, numbers=[3, 5])
        assert names(open_dataset("kitti-road", tmp_path, "val")) == ["um_000005", "umm_000005", "uu_000005"]

    def test_the_test_images_have_no_truth(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no split 'test' here \(its test images.*choose train, val or all"):
            open_dataset("kitti-road", tiny.kitti_road(tmp_path), "test")

    def test_a_missing_mask(self, tmp_path: Path) -> None:
        (tiny.kitti_road(tmp_path) / "training/gt_image_2/umm_road_000002.png").unlink()
        with pytest.raises(DataError, match=r"umm_road_000002\.png: this mask of kitti-road train is missing"):
            open_dataset("kitti-road", tmp_path, "train")

    def test_another_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"training/image_2: no such folder"):
            open_dataset("kitti-road", tmp_path, "train")


class TestVoc:
    def test_palette_masks(self, tmp_path: Path) -> None:
        dataset = open_dataset("voc", tiny.voc(tmp_path), "train")
        assert (len(dataset), dataset.label_map) == (2, VOC)
        assert names(dataset) == ["2011_000000", "2011_000001"]
        assert np.array_equal(dataset[1].labels, random_ids(1, VOC))
        assert 255 in dataset[1].labels

    def test_colour_map_masks(self, tmp_path: Path) -> None:
        ids = random_ids(2, VOC)
        rgb = colours_of(ids, VOC.palette, (224, 224, 192))
        save_rgb(tiny.voc(tmp_path) / "SegmentationClass/2011_000002.png", rgb)
        assert np.array_equal(open_dataset("voc", tmp_path, "val")[0].labels, ids)

    def test_classes_of_ones_own(self, tmp_path: Path) -> None:
        tiny.voc(tmp_path)
        ids = random_ids(4, LabelMap(("a", "b"), ((0, 0, 0), (1, 1, 1))))
        tiny.save_palette(tmp_path / "SegmentationClass/2011_000002.png", ids, distinct_palette(256))
        (tmp_path / "class_names.txt").write_text("_background_\nroad\n")
        dataset = open_dataset("voc", tmp_path, "val")
        assert dataset.label_map == LabelMap(("background", "road"), distinct_palette(2), 255)
        assert np.array_equal(dataset[0].labels, ids)
        with pytest.raises(DataError, match="2011_000000"):
            open_dataset("voc", tmp_path, "train")[0]

    def test_class_names_that_make_no_sense(self, tmp_path: Path) -> None:
        (tiny.voc(tmp_path) / "class_names.txt").write_text("road\nroad\n")
        with pytest.raises(DataError, match=r"class_names\.txt: class names must be unique; found twice: road"):
            open_dataset("voc", tmp_path, "val")

    def test_unknown_list(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"Segmentation/test\.txt: no such list; lists here: train, val"):
            open_dataset("voc", tiny.voc(tmp_path), "test")


class TestFolder:
    def test_without_splits(self, tmp_path: Path) -> None:
        dataset = open_dataset("folder", tiny.folder(tmp_path / "pets"), "all")
        assert (dataset.name, dataset.label_map) == ("pets all", FOLDER)
        assert names(dataset) == ["a", "b", "c"]
        assert np.array_equal(dataset[2].labels, random_ids(2, FOLDER))

    def test_sub_folders(self, tmp_path: Path) -> None:
        tiny.folder(tmp_path, ("a", "b"), sub="train")
        tiny.folder(tmp_path, ("c",), sub="val")
        assert names(open_dataset("folder", tmp_path, "train")) == ["a", "b"]
        assert names(open_dataset("folder", tmp_path, "val")) == ["c"]
        with pytest.raises(DataError, match=r"no split 'test', neither test\.txt nor images/test/\. Try train, val\."):
            open_dataset("folder", tmp_path, "test")

    def test_lists_keep_their_order(self, tmp_path: Path) -> None:
        (tiny.folder(tmp_path) / "val.txt").write_text("c\na\n")
        dataset = open_dataset("folder", tmp_path, "val")
        assert names(dataset) == ["c", "a"]
        assert np.array_equal(dataset[0].labels, random_ids(2, FOLDER))

    def test_masks_by_colour(self, tmp_path: Path) -> None:
        tiny.folder(tmp_path, ("a",), toml=tiny.FOLDER_TOML + 'masks = "colours"\nvoid_colour = [9, 9, 9]\nvoid = 77\n')
        ids = random_ids(0, FOLDER)
        save_rgb(tmp_path / "masks/a.png", colours_of(ids, FOLDER.palette, (9, 9, 9)))
        labels = open_dataset("folder", tmp_path, "all")[0].labels
        assert np.array_equal(labels, np.where(ids == FOLDER.void, 77, ids))

    def test_the_palette_may_be_left_out(self, tmp_path: Path) -> None:
        tiny.folder(tmp_path, toml='names = ["ground", "cat", "dog"]')
        assert open_dataset("folder", tmp_path, "all").label_map == LabelMap(FOLDER.names, distinct_palette(3), 255)

    def test_an_image_without_mask(self, tmp_path: Path) -> None:
        (tiny.folder(tmp_path) / "masks/b.png").unlink()
        with pytest.raises(DataError, match=r"masks/b\.png: this mask of .* is missing"):
            open_dataset("folder", tmp_path, "all")

    def test_a_mask_without_image(self, tmp_path: Path) -> None:
        (tiny.folder(tmp_path) / "images/b.png").unlink()
        with pytest.raises(DataError, match=r"masks/b\.png: this mask has no image"):
            open_dataset("folder", tmp_path, "all")

    def test_two_images_of_one_name(self, tmp_path: Path) -> None:
        save_frame(tiny.folder(tmp_path) / "images/b.jpg", random_frame(1))
        with pytest.raises(DataError, match=r"images/b\.png: .* has this name already \(.*b\.jpg\)"):
            open_dataset("folder", tmp_path, "all")
        (tmp_path / "val.txt").write_text("b\n")
        with pytest.raises(DataError, match=r"val\.txt: 2 images called b"):
            open_dataset("folder", tmp_path, "val")

    def test_a_listed_name_without_image(self, tmp_path: Path) -> None:
        (tiny.folder(tmp_path) / "val.txt").write_text("a.png\n")
        with pytest.raises(DataError, match=r"val\.txt: no image called a\.png .*without suffix"):
            open_dataset("folder", tmp_path, "val")

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        tiny.folder(tmp_path)
        for kind in ("images", "masks"):
            shutil.rmtree(tmp_path / kind)
            (tmp_path / kind).mkdir()
        with pytest.raises(DataError, match="all: no image in this split"):
            open_dataset("folder", tmp_path, "all")

    @pytest.mark.parametrize(
        ("toml", "problem"),
        [
            ("names = [", "cannot be read as TOML"),
            ("", "names must be a list"),
            ('names = ["one"]', "1 classes"),
            ('names = ["a", "b"]\nvoids = 3', "unknown key voids; known are: names"),
            ('names = ["a", "b"]\npalette = [[0, 0, 0]]', "2 class names but 1 colours"),
            ('names = ["a", "b"]\npalette = [0, 1]', "not a label map"),
            ('names = ["a", "b"]\nvoid = 1', "void=1 must lie outside"),
            ('names = ["a", "b"]\nmasks = "rgb"', 'masks = \'rgb\' is unknown; choose "ids" or "colours"'),
            ('names = ["a", "b"]\nvoid_colour = "black"', "void_colour = 'black'; expected three numbers"),
            ('names = ["a", "b"]\nvoid_colour = [0, 0, 0]', r"\(0, 0, 0\) stands for two classes"),
        ],
    )
    def test_label_files_that_make_no_sense(self, tmp_path: Path, toml: str, problem: str) -> None:
        tiny.folder(tmp_path, toml=toml)
        with pytest.raises(DataError, match=rf"labels\.toml: .*{problem}"):
            open_dataset("folder", tmp_path, "all")

    def test_no_label_file(self, tmp_path: Path) -> None:
        (tiny.folder(tmp_path) / "labels.toml").unlink()
        with pytest.raises(DataError, match=r"labels\.toml: no label file\. Write one"):
            open_dataset("folder", tmp_path, "all")


class TestTable:
    @pytest.mark.parametrize("format", ["camvid", "voc", "folder", "kitti-road"])
    def test_the_layout_tells_the_format(self, tmp_path: Path, format: str) -> None:
        builders = {"camvid": tiny.camvid, "voc": tiny.voc, "folder": tiny.folder, "kitti-road": tiny.kitti_road}
        root = builders[format](tmp_path / "data")  # type: ignore[operator]
        assert detect_format(root) == format

    def test_two_layouts_in_one(self, tmp_path: Path) -> None:
        tiny.folder(tiny.camvid(tmp_path))
        with pytest.raises(DataError, match=r"looks like camvid and folder at once\. Say which"):
            detect_format(tmp_path)

    def test_no_layout(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"not a dataset layout known here\. `edgeseg data formats` tells"):
            detect_format(tmp_path)

    def test_the_folder_above_datasets_names_them(self, tmp_path: Path) -> None:
        tiny.folder(tiny.camvid(tmp_path / "both"))
        tiny.voc(tmp_path / "VOC2012")
        tiny.voc(tmp_path / ".trash")
        (tmp_path / "notes").mkdir()
        with pytest.raises(DataError, match=r"folders in it are: VOC2012 \(voc\), both \(camvid or folder\)\. Choose"):
            detect_format(tmp_path)

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="nowhere: no such dataset folder"):
            detect_format(tmp_path / "nowhere")
        for format in ("camvid", "voc", "folder", "kitti-road"):
            with pytest.raises(DataError, match=r"nowhere.*: no such folder"):
                open_dataset(format, tmp_path / "nowhere", "train")

    def test_unknown_format(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=rf"'ade20k' is unknown; choose one of: {', '.join(FORMATS)}"):
            open_dataset("ade20k", tmp_path, "train")
