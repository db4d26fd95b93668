"""KITTI semantic segmentation benchmark (Alhaija et al., IJCV 2018; cvlibs.net/datasets/kitti/eval_semantics.php).

    training/image_2/000000_10.png      200 images
    training/semantic/000000_10.png     8-bit grey, Cityscapes ids

instance/ (16 bits, id times 256 plus instance) and semantic_rgb/ beside them are passed over. The test images have no
public ground truth and there is no official validation split, so it is made here as in `kitti_road`: frames whose
number divides by 5 are `val`, the others are `train`, `all` is both.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from edgeseg.data.cityscapes import LABEL_IDS
from edgeseg.data.format import DatasetFormat, has_any
from edgeseg.data.pairs import Pair, PairedDataset, require_folder
from edgeseg.errors import DataError

_IMAGE_NAME = re.compile(r"(?P<number>\d{6})_10\.png")

_SPLITS: dict[str, Callable[[int], bool]] = {
    "train": lambda number: number % 5 != 0,
    "val": lambda number: number % 5 == 0,
    "all": lambda _: True,
}
"""Split → whether a frame with this number belongs to it."""


def open_kitti_semantic(root: Path | str, split: str) -> PairedDataset:
    """KITTI semantic split `train`, `val` or `all`, ordered by name; raises `DataError`."""
    if split not in _SPLITS:
        reason = " (its test images have no public ground truth)" if split == "test" else ""
        raise DataError(f"{root}: KITTI semantic has no split {split!r} here{reason}; choose train, val or all.")
    images, masks = require_folder(root, "training", "image_2"), require_folder(root, "training", "semantic")
    pairs = [
        Pair(images / match[0], masks / match[0])
        for match in map(_IMAGE_NAME.fullmatch, sorted(file.name for file in images.iterdir()))
        if match and _SPLITS[split](int(match["number"]))
    ]
    return PairedDataset(f"kitti-semantic {split}", pairs, LABEL_IDS)


FORMAT = DatasetFormat(open_kitti_semantic, lambda _: list(_SPLITS), has_any("training/semantic"), "training/semantic/")
