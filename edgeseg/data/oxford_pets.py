"""Oxford-IIIT Pet trimaps (Parkhi et al., CVPR 2012; robots.ox.ac.uk/~vgg/data/pets), in two codings.

    images/NAME.jpg                       the dataset as published; splits trainval, test, list
    annotations/trainval.txt, test.txt    lines "NAME CLASS-ID SPECIES BREED-ID", # starts a comment
    annotations/trimaps/NAME.png          1 pet, 2 background, 3 border → classes 0, 1, 2

    images/NAME.jpg                       recoded by species; the split is the list's name, `list`
    list.txt                              one NAME a line
    labels/NAME.png                       0 background, 1 cat, 2 dog, 255 border → the same, 255 void

What is read is what the lists name: the published folders also hold macOS files (._NAME.png) and images outside all
lists, some of them no JPEG whatever their suffix.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgeseg.data.format import DatasetFormat, stems
from edgeseg.data.pairs import Pair, PairedDataset, read_list, require_folder
from edgeseg.data.values import ValueTable
from edgeseg.errors import DataError
from edgeseg.labels import LabelMap, distinct_palette

TRIMAP = LabelMap(("pet", "background", "border"), ((192, 128, 0), (0, 0, 0), (224, 224, 192)))
"""The trimaps' values 1, 2, 3 in their order."""

SPECIES = LabelMap(("background", "cat", "dog"), distinct_palette(3))
"""Trimaps recoded by species; the border is void."""

_TRIMAP_CODING = ValueTable(TRIMAP, {1: 0, 2: 1, 3: 2})
_SPECIES_CODING = ValueTable(SPECIES, {0: 0, 1: 1, 2: 2, 255: 255})
_PET_NAME = re.compile(r"[A-Za-z]+(_[A-Za-z]+)*_\d+")
"""Breed and number: `great_pyrenees_174`."""


def open_oxford_pets(root: Path | str, split: str) -> PairedDataset:
    """Split of Oxford-IIIT Pet in the order of its list; raises `DataError`."""
    folder, images = require_folder(root), require_folder(root, "images")
    published = (folder / "annotations" / "trimaps").is_dir()
    masks = require_folder(root, *(("annotations", "trimaps") if published else ("labels",)))
    path = (folder / "annotations" if published else folder) / f"{split}.txt"
    names = [line.split()[0] for line in read_list(path) if not line.startswith("#")]
    unlike = next((name for name in names if not _PET_NAME.fullmatch(name)), None)
    if unlike is not None:
        raise DataError(f"{path}: {unlike!r} is no name of a pet's picture, as Abyssinian_100 is. Check the list.")
    pairs = [Pair(images / f"{name}.jpg", masks / f"{name}.png") for name in names]
    return PairedDataset(f"oxford-pets {split}", pairs, _TRIMAP_CODING if published else _SPECIES_CODING)


def _recognises(root: Path) -> bool:
    """`labels/` and `list.txt` alone are anybody's: the first name has to be a pet's."""
    if (root / "annotations" / "trimaps").is_dir():
        return True
    if not ((root / "labels").is_dir() and (root / "list.txt").is_file()):
        return False
    with (root / "list.txt").open(encoding="utf-8", errors="replace") as stream:
        return _PET_NAME.fullmatch(stream.readline(1000).strip()) is not None


def _splits(root: Path) -> list[str]:
    if (root / "annotations" / "trimaps").is_dir():
        return stems(root / "annotations")
    return stems(root, "list.txt")


FORMAT = DatasetFormat(open_oxford_pets, _splits, _recognises, "annotations/trimaps/, or labels/ and list.txt")
