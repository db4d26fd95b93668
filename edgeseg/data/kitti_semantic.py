"""KITTI semantic segmentation benchmark (Alhaija et al., IJCV 2018; cvlibs.net/datasets/kitti/eval_semantics.php).

    training/image_2/000000_10.png      200 images
    training/semantic/000000_10.png     8-bit grey, Cityscapes ids

instance/ (16 bits, id times 256 plus instance) and semantic_rgb/ beside them are passed over. The test images have no
public ground truth and there is no official validation split, so it is made here as in `kitti_road`: frames whose
number divides by 5 are `val`, the others are `train`, `all` is both.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgeseg.data.cityscapes import LABEL_IDS
from edgeseg.data.format import DatasetFormat, has_any
from edgeseg.data.kitti import SPLITS, images_of_split, require_split
from edgeseg.data.pairs import Pair, PairedDataset, require_folder

_IMAGE_NAME = re.compile(r"(?P<number>\d{6})_10\.png")


def open_kitti_semantic(root: Path | str, split: str) -> PairedDataset:
    """KITTI semantic split `train`, `val` or `all`, ordered by name; raises `DataError`."""
    require_split("KITTI semantic", root, split)
    images, masks = require_folder(root, "training", "image_2"), require_folder(root, "training", "semantic")
    pairs = [Pair(images / match[0], masks / match[0]) for match in images_of_split(images, _IMAGE_NAME, split)]
    return PairedDataset(f"kitti-semantic {split}", pairs, LABEL_IDS)


FORMAT = DatasetFormat(open_kitti_semantic, lambda _: list(SPLITS), has_any("training/semantic"), "training/semantic/")
