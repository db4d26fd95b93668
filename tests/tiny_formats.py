"""One small dataset of every format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tiny_annotations
import tiny_coco
import tiny_datasets
import tiny_driving
import tiny_pets
import tiny_sbd

from edgeseg.data.coco_categories import STUFF, THINGS


def _coco(root: Path) -> Path:
    objects = [
        tiny_coco.annotation(1, 10, 1, [tiny_coco.box(2, 2, 10, 8)]),
        tiny_coco.annotation(2, 10, 3, [tiny_coco.box(8, 4, 12, 10)]),
        tiny_coco.annotation(3, 11, 17, [tiny_coco.box(0, 0, 5, 20)]),
    ]
    return tiny_coco.instances(root, tiny_coco.content(objects))


def _panoptic(root: Path) -> Path:
    tiny_coco.panoptic(root, [{5: 1, 700: 3}, {9: 17}])
    return root


def _stuff(root: Path) -> Path:
    stored = np.array([*THINGS, *STUFF], np.uint8) - 1
    values = {f"00000{seed}": np.random.default_rng(seed).choice(stored, tiny_coco.HW) for seed in range(2)}
    return tiny_coco.stuff(root, Path("stuffthingmaps/val2017"), values, Path("val2017"))


def _labelme(root: Path) -> Path:
    tiny_annotations.labelme(root)
    (root / "train.txt").write_text("a\n")
    return root


BUILDERS: dict[str, Callable[[Path], Path]] = {
    "camvid": tiny_datasets.camvid,
    "kitti-road": tiny_datasets.kitti_road,
    "voc": tiny_datasets.voc,
    "cityscapes": tiny_driving.cityscapes,
    "kitti-semantic": tiny_driving.kitti_semantic,
    "bdd100k": tiny_driving.bdd100k,
    "bdd100k-drivable": tiny_driving.bdd100k_drivable,
    "mapillary": tiny_driving.mapillary,
    "labelme": _labelme,
    "eiseg": tiny_annotations.eiseg,
    "sbd": tiny_sbd.sbd,
    "coco": _coco,
    "coco-panoptic": _panoptic,
    "coco-stuff": _stuff,
    "oxford-pets": tiny_pets.published,
    "folder": tiny_datasets.folder,
}
"""Format → what writes a dataset of it into a folder. The synthetic drive has none."""


def truncate(path: Path) -> None:
    """Cut a file in half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
