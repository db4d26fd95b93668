"""KITTI road benchmark (Fritsch et al., ITSC 2013; cvlibs.net/datasets/kitti/eval_road.php): road against the rest.

    training/image_2/um_000000.png             also umm_, uu_
    training/gt_image_2/um_road_000000.png     RGB: magenta road, red background, black not evaluated (void)

The lane masks (um_lane_*) are another task and are passed over. The test images have no public ground truth and there
is no official validation split, so it is made here: of each category every fifth frame, those whose number divides by
5, is `val`, the others are `train`, `all` is both. The rule looks at one name at a time, so a frame never changes
sides. Neighbouring frames may show the same street, which makes `val` optimistic.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from edgeseg.data.format import DatasetFormat, has_any
from edgeseg.data.masks import MaskCoding
from edgeseg.data.pairs import Pair, PairedDataset, require_folder
from edgeseg.errors import DataError
from edgeseg.labels import KITTI_ROAD, VOID_COLOUR

_IMAGE_NAME = re.compile(r"(?P<category>um|umm|uu)_(?P<number>\d{6})\.png")

_SPLITS: dict[str, Callable[[int], bool]] = {
    "train": lambda number: number % 5 != 0,
    "val": lambda number: number % 5 == 0,
    "all": lambda _: True,
}
"""Split → whether a frame with this number belongs to it."""


def open_kitti_road(root: Path | str, split: str) -> PairedDataset:
    """KITTI road split `train`, `val` or `all`, ordered by name; raises `DataError`."""
    if split not in _SPLITS:
        reason = " (its test images have no public ground truth)" if split == "test" else ""
        raise DataError(f"{root}: KITTI road has no split {split!r} here{reason}; choose train, val or all.")
    images = require_folder(root, "training", "image_2")
    masks = require_folder(root, "training", "gt_image_2")
    pairs = [
        Pair(images / match[0], masks / f"{match['category']}_road_{match['number']}.png")
        for match in map(_IMAGE_NAME.fullmatch, sorted(file.name for file in images.iterdir()))
        if match and _SPLITS[split](int(match["number"]))
    ]
    return PairedDataset(f"kitti-road {split}", pairs, MaskCoding(KITTI_ROAD, "colours", VOID_COLOUR))


FORMAT = DatasetFormat(open_kitti_road, lambda _: list(_SPLITS), has_any("training/gt_image_2"), "training/gt_image_2/")
