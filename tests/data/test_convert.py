"""Conversion to VOC's layout and to plain folders: the labels come back as they were, and nothing is half written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_datasets import camvid, folder, random_frame, random_ids, save_frame, save_grey, voc
from tiny_formats import BUILDERS, truncate

from edgeseg.data import FORMATS, detect_format, open_dataset
from edgeseg.data.convert import Layout, convert_dataset
from edgeseg.data.images import palette_png
from edgeseg.errors import ConfigError, DataError, OutputError
from edgeseg.labels import CAMVID, VOC


def assert_jpeg(path: Path) -> None:
    with Image.open(path) as picture:
        assert picture.format == "JPEG"


def test_there_is_a_tiny_dataset_of_every_format() -> None:
    assert set(BUILDERS) == set(FORMATS) - {"synthetic"}


@pytest.mark.parametrize("to", ["voc", "folder"])
@pytest.mark.parametrize("format", BUILDERS)
def test_labels_come_back_as_they_were(tmp_path: Path, format: str, to: Layout) -> None:
    root = BUILDERS[format](tmp_path / "source")
    result = convert_dataset(root, format, tmp_path / "out", to)
    assert detect_format(tmp_path / "out") == to
    assert result.samples
    for split, count in result.splits.items():
        source, back = open_dataset(format, root, split), open_dataset(to, tmp_path / "out", split)
        assert len(source) == len(back) == count
        names = ["background" if name == "_background_" else name for name in source.label_map.names]
        assert list(back.label_map.names) == names
        for index in range(count):
            expected, found = source[index], back[index]
            assert result.renamed.get(found.name, found.name) == expected.name
            translated = np.where(expected.labels == source.label_map.void, back.label_map.void, expected.labels)
            assert np.array_equal(found.labels, translated)
            if to == "folder":
                assert np.array_equal(found.image_bgr, expected.image_bgr), "nothing is lost where PNG may stay PNG"


def test_the_synthetic_drive_can_be_kept(tmp_path: Path) -> None:
    settings = "seed=3&frames=2&size=64x96"
    convert_dataset(settings, "synthetic", tmp_path / "out", "folder", split="val")
    drawn, kept = open_dataset("synthetic", settings, "val"), open_dataset("folder", tmp_path / "out", "val")
    assert kept.label_map == drawn.label_map
    for index in range(2):
        assert np.array_equal(kept[index].labels, drawn[index].labels)
        assert np.array_equal(kept[index].image_bgr, drawn[index].image_bgr)


def test_a_jpeg_is_copied_byte_for_byte_and_a_png_is_encoded(tmp_path: Path) -> None:
    root = voc(tmp_path / "voc")
    result = convert_dataset(root, "voc", tmp_path / "out", "voc")
    assert (result.copied, result.samples) == (3, 3)
    for file in (root / "JPEGImages").iterdir():
        assert (tmp_path / "out/JPEGImages" / file.name).read_bytes() == file.read_bytes()
    result = convert_dataset(camvid(tmp_path / "camvid"), "camvid", tmp_path / "again", "voc", split="val")
    assert (result.copied, result.samples) == (0, 2)
    assert_jpeg(tmp_path / "again/JPEGImages/val_000.jpg")


def test_a_png_that_is_called_jpg_does_not_pass_for_a_jpeg(tmp_path: Path) -> None:
    root = voc(tmp_path / "voc", {"val": [2]})
    path = root / "JPEGImages/2011_000002.jpg"
    save_frame(tmp_path / "x.png", random_frame(2))
    path.write_bytes((tmp_path / "x.png").read_bytes())
    assert convert_dataset(root, "voc", tmp_path / "out", "voc").copied == 0
    assert_jpeg(tmp_path / "out/JPEGImages/2011_000002.jpg")


def test_a_sample_of_two_lists_is_written_once(tmp_path: Path) -> None:
    result = convert_dataset(camvid(tmp_path / "camvid"), "camvid", tmp_path / "out", "voc")
    assert result.splits == {"train": 3, "val": 2, "test": 2, "trainval": 5}
    assert result.samples == 7 == len(list((tmp_path / "out/SegmentationClass").iterdir()))


def test_the_same_name_in_two_splits_gets_the_split_before_it(tmp_path: Path) -> None:
    root = folder(tmp_path / "f", ["a", "b"], sub="train")
    save_frame(root / "images/val/A.png", random_frame(9))
    save_grey(root / "masks/val/A.png", random_ids(9, CAMVID) % 3)
    result = convert_dataset(root, "folder", tmp_path / "out", "folder")
    assert result.renamed == {"val_A": "A"}, "upper and lower case count as one"
    back = open_dataset("folder", tmp_path / "out", "val")
    assert np.array_equal(back[0].labels, random_ids(9, CAMVID) % 3)


def test_a_mapping_is_applied_on_the_way(tmp_path: Path) -> None:
    root = camvid(tmp_path / "camvid")
    convert_dataset(root, "camvid", tmp_path / "out", "folder", split="val", mapping="driving")
    back, mapped = open_dataset("folder", tmp_path / "out", "val"), open_dataset("camvid", root, "val", "driving")
    assert back.label_map == mapped.label_map
    assert np.array_equal(back[1].labels, mapped[1].labels)


def test_after_an_error_nothing_is_left(tmp_path: Path) -> None:
    root = camvid(tmp_path / "camvid")
    truncate(root / "testannot/test_001.png")
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match=r"test_001\.png"):
        convert_dataset(root, "camvid", tmp_path / "out" / "new", "voc")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    root = camvid(tmp_path / "camvid")
    kept = tmp_path / "out" / "mine.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    with pytest.raises(OutputError, match=r"is there already\. Choose a new folder, or remove it"):
        convert_dataset(root, "camvid", kept.parent, "voc")
    assert [file.name for file in kept.parent.iterdir()] == ["mine.txt"]
    kept.unlink()
    convert_dataset(root, "camvid", kept.parent, "voc")
    assert detect_format(kept.parent) == "voc"


def test_a_split_that_is_not_there_and_a_layout_that_is_unknown(tmp_path: Path) -> None:
    root = camvid(tmp_path / "camvid")
    with pytest.raises(DataError, match="no such list"):
        convert_dataset(root, "camvid", tmp_path / "out", "voc", split="nope")
    with pytest.raises(ConfigError, match="--to 'coco' is unknown"):
        convert_dataset(root, "camvid", tmp_path / "out", "coco")  # type: ignore[arg-type]


def test_palette_files_are_what_other_programs_read(tmp_path: Path) -> None:
    ids = random_ids(4, VOC)
    (tmp_path / "m.png").write_bytes(palette_png(ids, [*VOC.palette, *[(9, 9, 9)] * 235]))
    with Image.open(tmp_path / "m.png") as picture:
        assert picture.mode == "P"
        assert np.array_equal(np.asarray(picture), ids)
        palette = picture.getpalette()
    assert palette is not None
    assert tuple(palette[45:48]) == VOC.palette[15]
