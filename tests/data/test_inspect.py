"""Inspection: counts and shares that are right, every problem found, and none ends it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_datasets import camvid, folder, random_frame, random_ids, save_frame, save_grey, voc
from tiny_formats import BUILDERS, truncate

from edgeseg.data import detect_format, open_dataset
from edgeseg.data.inspect import KEPT_PROBLEMS, Inspection, inspect_dataset
from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import CAMVID


def different(root: Path) -> Path:
    """The tiny builders draw the same picture in each split; here each has its own."""
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        if "annot" not in path.parent.name and path.parent.name != "masks":
            save_frame(path, random_frame(1000 + number))
    return root


def texts(report: Inspection, kind: str) -> list[str]:
    return [problem.text for problem in report.problems if problem.kind == kind]


def test_counts_and_shares_are_those_of_the_labels(tmp_path: Path) -> None:
    report = inspect_dataset(different(camvid(tmp_path)), "camvid")
    assert [(split.name, split.samples, split.joined) for split in report.splits] == [
        ("train", 3, ()),
        ("val", 2, ()),
        ("test", 2, ()),
        ("trainval", 5, ("train", "val")),
    ]
    stored = np.stack([random_ids(index, CAMVID) for index in range(3)])
    train = report.splits[0]
    assert train.pixels[:12].tolist() == [int((stored == index).sum()) for index in range(12)]
    assert train.images[:12].tolist() == [3] * 12
    assert dict(train.sizes_hw) == {(12, 16): 3}
    assert (report.problems, report.errors) == ([], 0)


@pytest.mark.parametrize("format", BUILDERS)
def test_every_format_is_recognised_and_read(tmp_path: Path, format: str) -> None:
    root = BUILDERS[format](tmp_path)
    assert detect_format(root) == format
    report = inspect_dataset(root, format)
    kinds = set(report.counts)
    # The tiny builders repeat pictures from split to split.
    assert kinds <= {"leakage", "contains", "duplicate", "class never occurs", "all void", "empty mask"}
    assert report.splits
    assert all(split.read == split.samples or split.joined for split in report.splits)
    json.dumps(report.to_dict(), allow_nan=False)


def test_broken_files_are_told_and_the_rest_is_read(tmp_path: Path) -> None:
    root = different(camvid(tmp_path, {"train": 6, "val": 1}))
    truncate(root / "train/train_001.png")
    truncate(root / "trainannot/train_002.png")
    save_grey(root / "trainannot/train_003.png", random_ids(3, CAMVID, (10, 16)))
    save_grey(root / "trainannot/train_004.png", np.full((12, 16), 77, np.uint8))
    report = inspect_dataset(root, "camvid")
    found = texts(report, "unreadable")
    assert [Path(text.split(": ")[0]).name for text in found] == [
        *("train_001.png", "train_002.png", "train_003.png", "train_004.png")
    ]
    assert "16×10 pixels for an image of 16×12" in found[2]
    assert "id 77" in found[3]
    assert (report.splits[0].read, report.errors) == (2, 4)


def test_a_missing_partner_closes_its_split_alone(tmp_path: Path) -> None:
    root = different(camvid(tmp_path, {"train": 3, "val": 1}))
    (root / "trainannot/train_000.png").unlink()
    (root / "train/train_002.png").unlink()
    report = inspect_dataset(root, "camvid")
    assert [split.name for split in report.splits] == ["val"]
    (train, trainval) = texts(report, "split")
    assert "trainannot/train_000.png: this mask of camvid train is missing. So are 1 more." in train
    assert "trainval" in trainval
    assert report.errors == 2


def test_masks_that_say_nothing(tmp_path: Path) -> None:
    root = tmp_path / "f"
    for name, value in (("a", 255), ("b", 0), ("c", 1)):
        save_frame(root / f"images/{name}.png", random_frame(ord(name)))
        save_grey(root / f"masks/{name}.png", np.full((12, 16), value, np.uint8))
    (root / "labels.toml").write_text('names = ["background", "cat", "dog"]\n')
    report = inspect_dataset(root, "folder")
    assert texts(report, "all void") == ["a: no pixel has a class"]
    assert texts(report, "empty mask") == ["b: nothing but background"]
    assert texts(report, "class never occurs") == ["1 of 3: dog"]
    assert report.errors == 0


def test_the_same_picture_in_two_splits_is_an_error_and_in_one_a_warning(tmp_path: Path) -> None:
    root = different(camvid(tmp_path))
    shutil.copy(root / "train/train_000.png", root / "test/test_001.png")
    shutil.copy(root / "train/train_001.png", root / "train/train_002.png")
    report = inspect_dataset(root, "camvid")
    (leak,) = texts(report, "leakage")
    assert {"train_000", "test_001"} <= set(leak.replace(",", " ").split())
    (twice,) = texts(report, "duplicate")
    assert twice == "train_002 is the same picture as train_001"
    assert (report.counts["leakage"], report.errors) == (1, 1)


def test_a_file_on_two_lists_leaks_unless_one_list_joins_the_others(tmp_path: Path) -> None:
    root = voc(tmp_path, {"train": [0, 1], "val": [2, 3]})
    (root / "ImageSets/Segmentation/trainval.txt").write_text("".join(f"2011_{n:06d}\n" for n in range(4)))
    report = inspect_dataset(root, "voc")
    assert {split.name: split.joined for split in report.splits}["trainval"] == ("train", "val")
    assert report.errors == 0
    (root / "ImageSets/Segmentation/val.txt").write_text("2011_000001\n2011_000003\n")
    (root / "ImageSets/Segmentation/trainval.txt").unlink()
    report = inspect_dataset(root, "voc")
    assert texts(report, "leakage") == ["2011_000001 is the same picture as 2011_000001 of train"]


def test_a_split_that_holds_another_is_told_in_one_line(tmp_path: Path) -> None:
    root = voc(tmp_path, {"small": [0, 1], "large": [0, 1, 2]})
    report = inspect_dataset(root, "voc")
    assert texts(report, "contains") == ["all of small is in it too; measure on other images"]
    assert report.errors == 0


def test_a_limit_is_spread_over_the_split(tmp_path: Path) -> None:
    root = different(camvid(tmp_path, {"train": 9}))
    seen: list[str] = []
    report = inspect_dataset(root, "camvid", limit=3, on_sample=lambda *told: seen.append(told[3].name))
    assert seen == ["train_000", "train_004", "train_008"]
    assert (report.splits[0].samples, report.splits[0].read) == (9, 3)
    with pytest.raises(ConfigError, match="limit=0"):
        inspect_dataset(root, "camvid", limit=0)


def test_problems_beyond_a_hundred_are_counted_and_not_kept(tmp_path: Path) -> None:
    root = tmp_path / "f"
    for number in range(KEPT_PROBLEMS + 5):
        save_frame(root / f"images/{number:03d}.png", random_frame(number, (2, 3)))
        save_grey(root / f"masks/{number:03d}.png", np.full((2, 3), 200, np.uint8))
    (root / "labels.toml").write_text('names = ["background", "cat"]\n')
    report = inspect_dataset(root, "folder")
    assert (len(texts(report, "unreadable")), report.errors) == (KEPT_PROBLEMS, KEPT_PROBLEMS + 5)


def test_with_a_mapping_its_target_classes_are_counted(tmp_path: Path) -> None:
    root = different(camvid(tmp_path))
    report = inspect_dataset(root, "camvid", split="val", mapping="road")
    dataset = open_dataset("camvid", root, "val")
    road = sum(int((dataset[index].labels == CAMVID.names.index("road")).sum()) for index in range(2))
    assert report.to_dict()["splits"][0]["pixels"]["road"] == road


def test_a_folder_without_any_split_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ImageSets/Segmentation").mkdir(parents=True)
    with pytest.raises(DataError, match="no split of voc in it"):
        inspect_dataset(tmp_path, "voc")


def test_a_dataset_of_ones_own(tmp_path: Path) -> None:
    report = inspect_dataset(folder(tmp_path), "folder")
    assert [split.name for split in report.splits] == ["all"]
    assert report.to_dict()["splits"][0]["sizes"] == [{"height": 12, "width": 16, "images": 3}]
