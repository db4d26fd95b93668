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
from pathlib import Path

from edgeseg.data.format import DatasetFormat, has_any
from edgeseg.data.kitti import SPLITS, images_of_split, require_split
from edgeseg.data.masks import MaskCoding
from edgeseg.data.pairs import Pair, PairedDataset, require_folder
from edgeseg.labels import KITTI_ROAD, VOID_COLOUR

_IMAGE_NAME = re.compile(r"(?P<category>um|umm|uu)_(?P<number>\d{6})\.png")


def open_kitti_road(root: Path | str, split: str) -> PairedDataset:
    """KITTI road split `train`, `val` or `all`, ordered by name; raises `DataError`."""
    require_split("KITTI road", root, split)
    images = require_folder(root, "training", "image_2")
    masks = require_folder(root, "training", "gt_image_2")
    pairs = [
        Pair(images / match[0], masks / f"{match['category']}_road_{match['number']}.png")
        for match in images_of_split(images, _IMAGE_NAME, split)
    ]
    return PairedDataset(f"kitti-road {split}", pairs, MaskCoding(KITTI_ROAD, "colours", VOID_COLOUR))


FORMAT = DatasetFormat(open_kitti_road, lambda _: list(SPLITS), has_any("training/gt_image_2"), "training/gt_image_2/")
