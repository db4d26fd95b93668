"""SBD's MATLAB files, and VOC-augmented, which is made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_datasets as tiny
from tiny_datasets import HW, random_frame, save_frame, save_palette
from tiny_sbd import ids, mat, sbd

from edgeseg.data import dataset_format, detect_format, open_dataset
from edgeseg.errors import DataError
from edgeseg.labels import VOC, distinct_palette


class TestSbd:
    @pytest.mark.parametrize("below", ["benchmark_RELEASE/dataset", "dataset", "."])
    def test_segmentations_in_the_order_of_the_list(self, tmp_path: Path, below: str) -> None:
        assert detect_format(sbd(tmp_path, below)) == "sbd"
        assert dataset_format("sbd").splits(tmp_path) == ["train", "val"]
        dataset = open_dataset("sbd", tmp_path, "train")
        assert (dataset.label_map, len(dataset)) == (VOC, 2)
        assert dataset[0].name == "2008_000001"
        assert np.array_equal(dataset[0].labels, ids(1))
        assert dataset[0].labels.dtype == np.uint8

    @pytest.mark.parametrize(
        ("value", "problem"),
        [
            ({"GTinst": {"Segmentation": ids(0)}}, "no GTcls.Segmentation of SBD can be read"),
            ({"GTcls": {"Boundaries": 1}}, "no GTcls.Segmentation of SBD can be read"),
            (
                {"GTcls": {"Segmentation": np.zeros((2, 3, 4), np.uint8)}},
                r"is uint8 \(2, 3, 4\); expected whole numbers",
            ),
            ({"GTcls": {"Segmentation": ids(0) * 0.5}}, "is float64"),
            ({"GTcls": {"Segmentation": np.full(HW, 21, np.uint8)}}, "class id 21, where VOC has 0 to 20"),
            ({"GTcls": {"Segmentation": np.zeros((2, 2), np.uint8)}}, "mask of 2×2 pixels for an image of 16×12"),
        ],
    )
    def test_content_that_is_not_sbds(self, tmp_path: Path, value: dict[str, object], problem: str) -> None:
        mat(sbd(tmp_path) / "benchmark_RELEASE/dataset/cls/2008_000000.mat", value)
        dataset = open_dataset("sbd", tmp_path, "val")
        with pytest.raises(DataError, match=rf"2008_000000\.mat: .*{problem}"):
            dataset[0]

    def test_torn_anywhere(self, tmp_path: Path) -> None:
        file = sbd(tmp_path) / "benchmark_RELEASE/dataset/cls/2008_000000.mat"
        whole = file.read_bytes()
        dataset = open_dataset("sbd", tmp_path, "val")
        for length in range(0, len(whole) - 8, 7):
            file.write_bytes(whole[:length])
            with pytest.raises(DataError, match=r"2008_000000\.mat: no GTcls"):
                dataset[0]

    def test_missing_files(self, tmp_path: Path) -> None:
        (sbd(tmp_path) / "benchmark_RELEASE/dataset/cls/2008_000001.mat").unlink()
        with pytest.raises(DataError, match=r"2008_000001\.mat: this mask of sbd train is missing"):
            open_dataset("sbd", tmp_path, "train")
        with pytest.raises(DataError, match=r"train_noval\.txt: no such list; lists here: train, val"):
            open_dataset("sbd", tmp_path, "train_noval")


class TestVocAugmented:
    def augmented(self, root: Path, lists: str = "Segmentation") -> Path:
        """VOC's own 0, 1 (train) and 2 (val); SBD adds 5, and has its own masks of 0 and 1 as well."""
        tiny.voc(root)
        save_frame(root / "JPEGImages/2011_000005.jpg", random_frame(5))
        for number in (0, 1, 5):
            mask = root / f"SegmentationClassAug/2011_{number:06d}.png"
            save_palette(mask, ids(100 + number), distinct_palette(256))
        path = root / f"ImageSets/{lists}/trainaug.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("2011_000005\n2011_000001\n")
        return root

    @pytest.mark.parametrize("lists", ["Segmentation", "SegmentationAug"])
    def test_vocs_own_masks_where_there_are_some(self, tmp_path: Path, lists: str) -> None:
        assert detect_format(self.augmented(tmp_path, lists)) == "voc"
        assert dataset_format("voc").splits(tmp_path) == ["train", "trainaug", "val"]
        dataset = open_dataset("voc", tmp_path, "trainaug")
        assert [dataset[i].name for i in range(len(dataset))] == ["2011_000005", "2011_000001"]
        assert np.array_equal(dataset[0].labels, ids(105))
        assert np.array_equal(dataset[1].labels, tiny.random_ids(1, VOC))

    @pytest.mark.parametrize(
        "line", ["/JPEGImages/2011_000005.jpg /SegmentationClassAug/2011_000005.png", "2011_000005  -1", "2011_000005"]
    )
    def test_lines_with_more_than_a_name(self, tmp_path: Path, line: str) -> None:
        (self.augmented(tmp_path) / "ImageSets/Segmentation/trainaug.txt").write_text(line + "\n")
        assert np.array_equal(open_dataset("voc", tmp_path, "trainaug")[0].labels, ids(105))

    def test_names_with_spaces_and_other_suffixes(self, tmp_path: Path) -> None:
        self.augmented(tmp_path)
        save_frame(tmp_path / "JPEGImages/my photo 1.png", random_frame(3))
        save_palette(tmp_path / "SegmentationClass/my photo 1.png", ids(3), distinct_palette(256))
        (tmp_path / "ImageSets/Segmentation/mine.txt").write_text("my photo 1\n")
        sample = open_dataset("voc", tmp_path, "mine")[0]
        assert np.array_equal(sample.image_bgr, random_frame(3))
        assert np.array_equal(sample.labels, ids(3))

    def test_an_image_in_neither_folder_of_masks(self, tmp_path: Path) -> None:
        (self.augmented(tmp_path) / "SegmentationClassAug/2011_000005.png").unlink()
        with pytest.raises(
            DataError, match=r"SegmentationClass/2011_000005\.png: this mask of voc trainaug is missing"
        ):
            open_dataset("voc", tmp_path, "trainaug")
