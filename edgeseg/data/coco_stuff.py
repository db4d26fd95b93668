"""COCO's things and stuff as 8-bit PNG masks, in the codings that are about (github.com/nightrome/cocostuff).

    stuffthingmaps/SPLIT/NAME.png                      value = category id - 1, 255 unlabelled: 171 classes
    annotations/SPLIT/NAME.png                         the same, where SPLIT is train2017 or val2017
    annotations/stuff_SPLIT_pixelmaps/NAME.png         or in the root: 92 to 182 stuff, 183 any thing, 0 unlabelled
    masks/NAME.png with classes_config.yaml            panoptic category id, 0 unlabelled: 133 classes; split `all`
    SPLIT/NAME.jpg                                     or images/SPLIT/, images/

Unlabelled is void. The same value means another class in each coding, so a folder is read by its place alone. Masks
that tools put beside these (NAME_labelTrainIds.png) are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgeseg.data.coco_categories import PANOPTIC, STUFF, THINGS
from edgeseg.data.format import DatasetFormat
from edgeseg.data.pairs import Pair, PairedDataset, require_folder
from edgeseg.data.values import ValueTable
from edgeseg.errors import DataError
from edgeseg.labels import LabelMap, distinct_palette

_OTHER = 183
"""COCO-Stuff's pixel maps: any thing."""
_ALL = "all"


def _coding(categories: Mapping[int, str], offset: int, unlabelled: int) -> ValueTable:
    """Values are category ids plus `offset`; classes are the categories in the order of their ids."""
    palette = distinct_palette(len(categories) + 1)[1:]  # without black, the background's: there is none
    label_map = LabelMap(tuple(categories.values()), palette)
    ids = {key + offset: number for number, key in enumerate(categories)}
    return ValueTable(label_map, {**ids, unlabelled: label_map.void})


_STUFFTHING = _coding(THINGS | STUFF, -1, 255)
_PIXELMAPS = _coding(STUFF | {_OTHER: "thing"}, 0, 0)
_PANOPTIC = _coding(PANOPTIC, 0, 0)

_LAYOUTS = (
    ("stuffthingmaps/*", "stuffthingmaps/{}", _STUFFTHING),
    ("annotations/*2017", "annotations/{}", _STUFFTHING),
    ("annotations/stuff_*_pixelmaps", "annotations/stuff_{}_pixelmaps", _PIXELMAPS),
    ("stuff_*_pixelmaps", "stuff_{}_pixelmaps", _PIXELMAPS),
)
"""Pattern of the mask folders, the folder of a split, coding."""


def open_coco_stuff(root: Path | str, split: str) -> PairedDataset:
    """Split of COCO's stuff masks, ordered by name; raises `DataError`."""
    folder = require_folder(root)
    masks, coding = _masks(folder, split)
    below = "" if split == _ALL else split
    places = [folder / "images" / below, folder / below, folder / "images"]
    images = next((place for place in places if place.is_dir()), places[0])
    found = [file for file in sorted(masks.glob("*.png")) if not file.stem.startswith(".") and _is_plain(file)]
    return PairedDataset(f"coco-stuff {split}", [Pair(images / f"{file.stem}.jpg", file) for file in found], coding)


def _is_plain(file: Path) -> bool:
    return not file.stem.endswith(("_labelTrainIds", "_instanceTrainIds"))


def _masks(root: Path, split: str) -> tuple[Path, ValueTable]:
    if split == _ALL and (root / "masks").is_dir():
        return root / "masks", _PANOPTIC
    for _, place, coding in _LAYOUTS:
        if (root / place.format(split)).is_dir():
            return root / place.format(split), coding
    known = ", ".join(_splits(root)) or "none"
    raise DataError(f"{root}: no masks for split {split!r}; splits here: {known}. Choose one of them.")


def _splits(root: Path) -> list[str]:
    found = set()
    for pattern, place, _ in _LAYOUTS:
        before, after = place.split("/")[-1].split("{}")
        folders = [path for path in root.glob(pattern) if path.is_dir() and not path.name.startswith("panoptic_")]
        found |= {path.name.removeprefix(before).removesuffix(after) for path in folders}
    plain = (root / "masks").is_dir() and (root / "classes_config.yaml").is_file()
    return sorted(found) + [_ALL] * plain


FORMAT = DatasetFormat(
    open_coco_stuff,
    _splits,
    lambda root: bool(_splits(root)),
    "stuffthingmaps/, annotations/stuff_SPLIT_pixelmaps/ or classes_config.yaml",
)
