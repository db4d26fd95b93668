"""Sizes from headers, and datasets without their small images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_datasets import random_frame, save_frame, save_grey

from edgeseg.data import open_dataset
from edgeseg.data.sizes import LargeEnough, image_hw
from edgeseg.errors import DataError


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": b"Exif\0\0" + b"x" * 60_000}, {"quality": 5}])
def test_the_size_of_a_jpeg_is_in_its_header(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(random_frame(0, (37, 211))).save(path, **options)
    assert image_hw(path) == (37, 211)
    head = path.read_bytes()[:-300]
    (tmp_path / "torn.jpg").write_bytes(head)
    assert image_hw(tmp_path / "torn.jpg") == (37, 211), "the pixels are not looked at"


def test_png_and_what_is_no_image(tmp_path: Path) -> None:
    save_frame(tmp_path / "a.png", random_frame(0, (37, 211)))
    assert image_hw(tmp_path / "a.png") == (37, 211)
    for content in (b"", b"{}", b"\xff\xd8", b"\xff\xd8\xff\xd9", (tmp_path / "a.png").read_bytes()[:20]):
        (tmp_path / "x.jpg").write_bytes(content)
        assert image_hw(tmp_path / "x.jpg") is None
    with pytest.raises(DataError, match=r"gone\.png: cannot be read"):
        image_hw(tmp_path / "gone.png")


def test_small_images_are_left_out(tmp_path: Path) -> None:
    for number, size_hw in enumerate([(40, 50), (39, 50), (60, 49), (80, 90)]):
        save_frame(tmp_path / f"images/{number}.png", random_frame(number, size_hw))
        save_grey(tmp_path / f"masks/{number}.png", np.zeros(size_hw, np.uint8))
    (tmp_path / "labels.toml").write_text('names = ["a", "b"]')
    dataset = open_dataset("folder", tmp_path, "all")
    large = LargeEnough(dataset, (40, 50))
    assert [sample.name for sample in (large[0], large[1])] == ["0", "3"]
    assert (len(large), large.files(1)[0].name, large.name) == (2, "3.png", dataset.name)
    with pytest.raises(IndexError):
        large[2]
    with pytest.raises(DataError, match="no image has 100×100 pixels; the largest is 90 wide"):
        LargeEnough(dataset, (100, 100))


def test_a_drawn_sample_is_measured_by_drawing_it() -> None:
    assert len(LargeEnough(open_dataset("synthetic", "frames=1&size=64x96", "val"), (64, 96))) == 1
