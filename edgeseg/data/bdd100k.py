"""BDD100K semantic segmentation (Yu et al., CVPR 2020; doc.bdd100k.com): 10,000 images, Cityscapes' 19 classes.

    images/10k/SPLIT/NAME.jpg     labels/sem_seg/masks/SPLIT/NAME.png         as published now
    seg/images/SPLIT/NAME.jpg     seg/labels/SPLIT/NAME_train_id.png          as published before 2020

Masks are train ids 0..18 and 255. The test split has no public labels. The root may also be the folder above, the one
that holds `bdd100k/`, as the archives unpack.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from edgeseg.data.cityscapes import TRAIN_IDS
from edgeseg.data.format import DatasetFormat, has_any
from edgeseg.data.pairs import Coding, Pair, PairedDataset
from edgeseg.errors import DataError

SPLITS = ("train", "val")


class Layout(NamedTuple):
    """Folders of images and masks, and what a mask's name adds to its image's."""

    images: str
    masks: str
    suffix: str


_LAYOUTS = (Layout("images/10k", "labels/sem_seg/masks", ".png"), Layout("seg/images", "seg/labels", "_train_id.png"))
_SIGNS = [f"{parent}{layout.masks}" for parent in ("", "bdd100k/") for layout in _LAYOUTS]


def open_bdd100k(root: Path | str, split: str) -> PairedDataset:
    """BDD100K split `train` or `val`, ordered by name; raises `DataError`."""
    return open_layouts("bdd100k", root, split, _LAYOUTS, TRAIN_IDS)


def open_layouts(
    format: str, root: Path | str, split: str, layouts: tuple[Layout, ...], coding: Coding
) -> PairedDataset:
    """The split from the first of the layouts that the root has it in; every mask must have its image.

    Images without a mask are passed over: the archives of images hold more than those of labels. Raises `DataError`.
    """
    if split == "test":
        raise DataError(f"{root}: the labels of BDD100K's test split are not public; choose {' or '.join(SPLITS)}.")
    for layout, images, masks in _present(Path(root), layouts):
        if (masks / split).is_dir():
            pairs = [
                Pair(images / split / f"{mask.name.removesuffix(layout.suffix)}.jpg", mask)
                for mask in sorted((masks / split).glob(f"*{layout.suffix}"))
            ]
            return PairedDataset(f"{format} {split}", pairs, coding)
    wanted = " or ".join(f"{layout.masks}/{split}/" for layout in layouts)
    raise DataError(f"{root}: no {wanted} here. Check the dataset's path and the split ({', '.join(SPLITS)}).")


def known_splits(root: Path, layouts: tuple[Layout, ...]) -> list[str]:
    """Those of `SPLITS` that have a folder of masks."""
    return [split for split in SPLITS if any((masks / split).is_dir() for _, _, masks in _present(root, layouts))]


def _present(root: Path, layouts: tuple[Layout, ...]) -> Iterator[tuple[Layout, Path, Path]]:
    """Layout, folder of images and folder of masks, for every layout that the root may have."""
    for parent in (root, root / "bdd100k"):
        for layout in layouts:
            yield layout, parent / layout.images, parent / layout.masks


FORMAT = DatasetFormat(
    open_bdd100k,
    lambda root: known_splits(root, _LAYOUTS),
    has_any(*_SIGNS),
    "labels/sem_seg/masks/ or seg/labels/",
)
