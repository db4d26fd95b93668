"""Dataset folders of a few small pictures, in the layouts of the driving datasets whose masks are ids of their own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tiny_datasets import random_frame, random_ids, save_frame, save_grey, save_palette

from edgeseg.labels import LabelMap, distinct_palette
from edgeseg.types import Labels

# Official ids of the 19 classes, in the order of their train ids, and those of void.
CITYSCAPES_IDS = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
CITYSCAPES_VOID_IDS = [0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30]

NINETEEN = LabelMap(tuple(f"class {index}" for index in range(19)), distinct_palette(19), 255)


def cityscapes_ids(train_ids: Labels) -> Labels:
    """The same labels under their official ids, void taking all of its fifteen ids in turn."""
    ids = np.empty_like(train_ids)
    for index, (y, x) in enumerate(np.ndindex(train_ids.shape)):
        label = train_ids[y, x]
        ids[y, x] = CITYSCAPES_VOID_IDS[index % 15] if label == 255 else CITYSCAPES_IDS[label]
    return ids


def cityscapes(root: Path, *, train_ids: bool = False) -> Path:
    """Two cities of two frames for each split; frame n of a split has the train ids `random_ids(n, NINETEEN)`."""
    for split, kind in (("train", "gtFine"), ("val", "gtFine"), ("test", "gtFine"), ("train_extra", "gtCoarse")):
        for number in range(4):
            city = ("aachen", "zurich")[number // 2]
            frame = f"{city}_00000{number}_000019"
            save_frame(root / "leftImg8bit" / split / city / f"{frame}_leftImg8bit.png", random_frame(number))
            ids = random_ids(number, NINETEEN)
            name = f"{frame}_{kind}_{'labelTrainIds' if train_ids else 'labelIds'}.png"
            save_grey(root / kind / split / city / name, ids if train_ids else cityscapes_ids(ids))
            save_grey(root / kind / split / city / f"{frame}_{kind}_instanceIds.png", ids)
    return root


def kitti_semantic(root: Path, numbers: Sequence[int] = range(6)) -> Path:
    """Train ids `random_ids(number, NINETEEN)`, stored as Cityscapes ids."""
    for number in numbers:
        name = f"{number:06d}_10.png"
        ids = cityscapes_ids(random_ids(number, NINETEEN))
        save_frame(root / "training/image_2" / name, random_frame(number))
        save_grey(root / "training/semantic" / name, ids)
        save_grey(root / "training/instance" / name, ids.astype(np.uint16) * 256)
    return root


def bdd100k(root: Path, *, old: bool = False) -> Path:
    """Two images for each split, and one without a mask; image n has the labels `random_ids(n, NINETEEN)`."""
    images, masks, suffix = (
        ("seg/images", "seg/labels", "_train_id.png") if old else ("images/10k", "labels/sem_seg/masks", ".png")
    )
    for split in ("train", "val"):
        for number in range(3):
            save_frame(root / images / split / f"b{number}-7abc.jpg", random_frame(number))
            if number < 2:
                save_grey(root / masks / split / f"b{number}-7abc{suffix}", random_ids(number, NINETEEN))
    return root


DRIVABLE = LabelMap(("direct", "alternative", "background"), distinct_palette(3), 255)


def bdd100k_drivable(root: Path) -> Path:
    for split in ("train", "val"):
        for number in range(2):
            save_frame(root / "images/100k" / split / f"b{number}-7abc.jpg", random_frame(number))
            save_grey(root / "labels/drivable/masks" / split / f"b{number}-7abc.png", random_ids(number, DRIVABLE))
    return root


VISTAS = [
    ("animal--bird", (165, 42, 42), True),
    ("void--ground", (110, 110, 110), False),
    ("construction--flat--road", (128, 64, 128), True),
    ("human--person", (220, 20, 60), True),
    ("void--unlabeled", (0, 0, 0), False),
]
"""Name, colour, evaluated; in the real set too, labels that are not evaluated stand between those that are."""


def mapillary(root: Path, versions: Sequence[str] = ("v1.2", "v2.0")) -> Path:
    """Two images in training, one in validation, their masks with all five labels; version "" is the oldest layout."""
    stored = LabelMap(tuple(name for name, _, _ in VISTAS), tuple(colour for _, colour, _ in VISTAS), 5)
    for version in versions:
        labels = [
            {"name": name, "readable": name.title(), "color": list(colour), "evaluate": evaluate, "instances": False}
            for name, colour, evaluate in VISTAS
        ]
        root.mkdir(parents=True, exist_ok=True)
        config = root / (f"config_{version}.json" if version else "config.json")
        config.write_text(json.dumps({"labels": labels, "version": 1.2}))
        for part, numbers in (("training", (0, 1)), ("validation", (2,))):
            for number in numbers:
                save_frame(root / part / "images" / f"key{number}.jpg", random_frame(number))
                ids = random_ids(number, stored) % 5
                save_palette(root / part / version / "labels" / f"key{number}.png", ids, stored.palette)
    (root / "testing/images").mkdir(parents=True)
    return root
