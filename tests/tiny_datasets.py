"""Dataset folders of a few small pictures, in the layout of each format, and the files they are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeseg.labels import CAMVID, KITTI_ROAD, VOC, LabelMap, Rgb, distinct_palette
from edgeseg.types import Frame, Labels

Hw = tuple[int, int]
HW: Hw = (12, 16)


def random_ids(seed: int, label_map: LabelMap, size_hw: Hw = HW) -> Labels:
    """Class ids and void, every one of them at least once."""
    known = np.array([*range(len(label_map)), label_map.void], np.uint8)
    ids = np.random.default_rng(seed).choice(known, size_hw)
    ids.flat[: len(known)] = known
    return ids


def random_frame(seed: int, size_hw: Hw = HW) -> Frame:
    return np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), dtype=np.uint8)


def colours_of(ids: Labels, palette: Sequence[Rgb], void_colour: Rgb) -> NDArray[np.uint8]:
    """RGB uint8 (H, W, 3) colour map of class ids, written out slowly."""
    rgb = np.empty((*ids.shape, 3), np.uint8)
    for y, x in np.ndindex(ids.shape):
        rgb[y, x] = palette[ids[y, x]] if ids[y, x] < len(palette) else void_colour
    return rgb


def save_frame(path: Path, frame_bgr: Frame) -> None:
    """By the suffix; Pillow throughout, so that what reads the files here did not write them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(frame_bgr[..., ::-1])).save(path)


def save_grey(path: Path, values: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def save_palette(path: Path, indices: Labels, palette: Sequence[Rgb]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(indices)
    picture.putpalette([value for colour in palette for value in colour])
    picture.save(path)


def save_rgb(path: Path, rgb: NDArray[np.uint8]) -> None:
    save_frame(path, rgb[..., ::-1])


def camvid(root: Path, frames: Mapping[str, int] | None = None) -> Path:
    """`frames` samples for each split; sample i of a split has ids `random_ids(i, CAMVID)`."""
    for split, count in (frames or {"train": 3, "val": 2, "test": 2}).items():
        lines = []
        for index in range(count):
            name = f"{split}_{index:03d}.png"
            save_frame(root / split / name, random_frame(index))
            save_grey(root / f"{split}annot" / name, random_ids(index, CAMVID))
            lines.append(f"{split}/{name} {split}annot/{name}")
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return root


def kitti_road(root: Path, numbers: Sequence[int] = range(6)) -> Path:
    """Each number in the three categories; the truth has ids `random_ids(number, KITTI_ROAD)`."""
    for category in ("um", "umm", "uu"):
        for number in numbers:
            save_frame(root / "training/image_2" / f"{category}_{number:06d}.png", random_frame(number))
            rgb = colours_of(random_ids(number, KITTI_ROAD), KITTI_ROAD.palette, (0, 0, 0))
            save_rgb(root / "training/gt_image_2" / f"{category}_road_{number:06d}.png", rgb)
    save_rgb(root / "training/gt_image_2" / "um_lane_000000.png", np.zeros((*HW, 3), np.uint8))
    return root


def voc(root: Path, splits: Mapping[str, Sequence[int]] | None = None) -> Path:
    """Samples by number, ids `random_ids(number, VOC)`; palette PNGs with VOC's colour map of 256 entries."""
    for split, numbers in (splits or {"train": [0, 1], "val": [2]}).items():
        for number in numbers:
            save_frame(root / "JPEGImages" / f"2011_{number:06d}.jpg", random_frame(number))
            mask = root / "SegmentationClass" / f"2011_{number:06d}.png"
            save_palette(mask, random_ids(number, VOC), distinct_palette(256))
        names = root / "ImageSets/Segmentation" / f"{split}.txt"
        names.parent.mkdir(parents=True, exist_ok=True)
        names.write_text("".join(f"2011_{number:06d}\n" for number in numbers))
    return root


FOLDER = LabelMap(("ground", "cat", "dog"), ((0, 0, 0), (200, 10, 10), (10, 10, 200)))
FOLDER_TOML = """
names = ["ground", "cat", "dog"]
palette = [[0, 0, 0], [200, 10, 10], [10, 10, 200]]
"""


def folder(root: Path, names: Sequence[str] = ("a", "b", "c"), *, sub: str = "", toml: str = FOLDER_TOML) -> Path:
    """Samples by name, ids `random_ids(position, FOLDER)`; `sub` is a split's sub-folder."""
    for index, name in enumerate(names):
        save_frame(root / "images" / sub / f"{name}.png", random_frame(index))
        save_grey(root / "masks" / sub / f"{name}.png", random_ids(index, FOLDER))
    (root / "labels.toml").write_text(toml)
    return root
