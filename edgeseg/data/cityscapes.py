"""Cityscapes (Cordts et al., CVPR 2016; cityscapes-dataset.com): 19 evaluated classes, the rest is void.

    leftImg8bit/SPLIT/CITY/CITY_000000_000019_leftImg8bit.png
    gtFine/SPLIT/CITY/CITY_000000_000019_gtFine_labelIds.png          as downloaded: ids 0..33
                                   or ..._gtFine_labelTrainIds.png    as made by createTrainIdLabelImgs.py: 0..18, 255
    gtCoarse/train_extra/CITY/..._gtCoarse_labelIds.png               the 20,000 coarsely labelled images

Where a frame has both masks, labelIds is read, because train ids are a choice of whoever wrote them. Either way the
classes here are the 19 train ids. The masks of the test split are dummies without a class, so it is refused.
"""

from __future__ import annotations

from pathlib import Path

from edgeseg.data.format import DatasetFormat, has_any
from edgeseg.data.pairs import Pair, PairedDataset, require_folder
from edgeseg.data.values import ValueTable
from edgeseg.errors import DataError
from edgeseg.labels import LabelMap
from edgeseg.types import Labels

CITYSCAPES = LabelMap(
    names=(
        "road",
        "sidewalk",
        "building",
        "wall",
        "fence",
        "pole",
        "traffic light",
        "traffic sign",
        "vegetation",
        "terrain",
        "sky",
        "person",
        "rider",
        "car",
        "truck",
        "bus",
        "train",
        "motorcycle",
        "bicycle",
    ),
    palette=(
        (128, 64, 128),
        (244, 35, 232),
        (70, 70, 70),
        (102, 102, 156),
        (190, 153, 153),
        (153, 153, 153),
        (250, 170, 30),
        (220, 220, 0),
        (107, 142, 35),
        (152, 251, 152),
        (70, 130, 180),
        (220, 20, 60),
        (255, 0, 0),
        (0, 0, 142),
        (0, 0, 70),
        (0, 60, 100),
        (0, 80, 100),
        (0, 0, 230),
        (119, 11, 32),
    ),
    void=255,
)
"""The 19 evaluated classes in the order of their train ids, with the official names and colours."""

_ID_OF_CLASS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Train id → id (cityscapesScripts, helpers/labels.py). The other ids up to 33 are void: unlabeled 0, ego vehicle 1,
rectification border 2, out of roi 3, static 4, dynamic 5, ground 6, parking 9, rail track 10, guard rail 14, bridge 15,
tunnel 16, polegroup 18, caravan 29, trailer 30. License plate is -1: 255 where a tool wrote it as a byte."""

LABEL_IDS = ValueTable(
    CITYSCAPES,
    dict.fromkeys((*range(34), 255), CITYSCAPES.void) | {value: i for i, value in enumerate(_ID_OF_CLASS)},
)
"""Masks of Cityscapes ids, also of KITTI's semantic benchmark."""

TRAIN_IDS = ValueTable(CITYSCAPES, {**{index: index for index in range(len(CITYSCAPES))}, 255: CITYSCAPES.void})
"""Masks of train ids, also of BDD100K."""

_SPLITS = {"train": "gtFine", "val": "gtFine", "train_extra": "gtCoarse"}
"""Split → folder and name of its labels."""


class _EitherIds:
    """Reads a mask by what its name says it stores."""

    label_map = CITYSCAPES

    def read(self, path: Path) -> Labels:
        return (TRAIN_IDS if path.stem.endswith("_labelTrainIds") else LABEL_IDS).read(path)


def open_cityscapes(root: Path | str, split: str) -> PairedDataset:
    """Cityscapes split `train`, `val` or `train_extra`, ordered by city and frame; raises `DataError`."""
    if split not in _SPLITS:
        reason = " (its masks are dummies, the truth is not public)" if split == "test" else ""
        raise DataError(f"{root}: Cityscapes has no split {split!r} here{reason}; choose {', '.join(_SPLITS)}.")
    images, masks = require_folder(root, "leftImg8bit", split), require_folder(root, _SPLITS[split], split)
    pairs = [
        Pair(image, _mask_of(image, masks / image.parent.name, _SPLITS[split]))
        for image in sorted(images.glob("*/*_leftImg8bit.png"))
    ]
    return PairedDataset(f"cityscapes {split}", pairs, _EitherIds())


def _mask_of(image: Path, folder: Path, kind: str) -> Path:
    frame = image.stem.removesuffix("_leftImg8bit")
    ids, train_ids = (folder / f"{frame}_{kind}_{coding}.png" for coding in ("labelIds", "labelTrainIds"))
    return train_ids if train_ids.is_file() and not ids.is_file() else ids


def _splits(root: Path) -> list[str]:
    return [split for split, kind in _SPLITS.items() if (root / kind / split).is_dir()]


FORMAT = DatasetFormat(open_cityscapes, _splits, has_any("gtFine", "gtCoarse"), "gtFine/ or gtCoarse/")
