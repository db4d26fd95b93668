"""A plain folder of images and masks with a label file, for data of one's own.

    labels.toml                      classes; see below
    images/NAME.jpg                  or .jpeg, .png
    masks/NAME.png                   same name

Splits, where there are any, are either sub-folders (images/SPLIT/, masks/SPLIT/) or lists (SPLIT.txt, one name a line,
without suffix). Without them the one split is `all`. The label file:

    names = ["background", "cat", "dog"]                  # in id order
    palette = [[0, 0, 0], [128, 0, 0], [0, 128, 0]]       # RGB; default: the PASCAL VOC colours
    void = 255                                            # id of pixels without a class; default 255
    masks = "ids"                                         # or "colours"; default "ids"
    void_colour = [224, 224, 192]                         # void in masks read by colour; default: they have none

With `ids` a grey value or palette index is the class id, and an RGB mask is read by the palette; with `colours` every
mask is read by the palette.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from edgeseg.data.format import DatasetFormat, has_any, stems
from edgeseg.data.images import IMAGE_SUFFIXES, MASK_SUFFIX
from edgeseg.data.masks import MaskCoding
from edgeseg.data.pairs import Pair, PairedDataset, read_list, require_folder
from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import LabelMap, distinct_palette

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_KEYS = ("names", "palette", "void", "masks", "void_colour")


def open_folder(root: Path | str, split: str) -> PairedDataset:
    """Split of a plain folder: from a list in its order, from sub-folders or, as `all`, from the folder by name.

    Raises `DataError` for whatever is missing or has no partner, and for a label file that makes no sense.
    """
    folder = require_folder(root)
    images, masks = require_folder(root, "images"), require_folder(root, "masks")
    coding = read_label_file(folder / "labels.toml")
    if (folder / f"{split}.txt").is_file():
        pairs = _listed_pairs(folder / f"{split}.txt", images, masks)
    elif (images / split).is_dir():
        pairs = _folder_pairs(images / split, require_folder(masks, split))
    elif split == "all":
        pairs = _folder_pairs(images, masks)
    else:
        raise DataError(
            f"{folder}: no split {split!r}, neither {split}.txt nor images/{split}/. Try {', '.join(_splits(folder))}."
        )
    return PairedDataset(f"{folder.name} {split}", pairs, coding)


def _splits(root: Path) -> list[str]:
    images = root / "images"
    below = {child.name for child in images.iterdir() if child.is_dir()} if images.is_dir() else set()
    return sorted({*stems(root), *below}) or ["all"]


def _folder_pairs(images: Path, masks: Path) -> list[Pair]:
    """Every image and every mask must have its partner: one without is more likely a slip than meant."""
    found = sorted(file for file in images.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    stems = {file.stem for file in found}
    for mask in sorted(masks.glob(f"*{MASK_SUFFIX}")):
        if mask.stem not in stems:
            raise DataError(
                f"{mask}: this mask has no image in {images} ({', '.join(IMAGE_SUFFIXES)}). Add it or remove the mask."
            )
    return [Pair(file, masks / f"{file.stem}{MASK_SUFFIX}") for file in found]


def _listed_pairs(path: Path, images: Path, masks: Path) -> list[Pair]:
    pairs = []
    for name in read_list(path):
        found = [images / f"{name}{suffix}" for suffix in IMAGE_SUFFIXES if (images / f"{name}{suffix}").is_file()]
        if len(found) != 1:
            problem = f"{len(found)} images" if found else "no image"
            raise DataError(
                f"{path}: {problem} called {name} in {images} ({', '.join(IMAGE_SUFFIXES)}). Keep exactly one; "
                "lists hold names without suffix."
            )
        pairs.append(Pair(found[0], masks / f"{name}{MASK_SUFFIX}"))
    return pairs


def read_label_file(path: Path) -> MaskCoding:
    """Classes and the coding of masks from a label file; raises `DataError` naming the file and what is wrong."""
    try:
        with path.open("rb") as stream:
            value = tomllib.load(stream)
    except FileNotFoundError as error:
        raise DataError(f'{path}: no label file. Write one with at least: names = ["first", "second"]') from error
    except (OSError, ValueError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise DataError(f"{path}: cannot be read as TOML ({error}). Correct it.") from error
    try:
        return coding_from(value)
    except ConfigError as error:
        raise DataError(f"{path}: {error}") from error


def coding_from(value: dict[str, Any]) -> MaskCoding:
    """Classes and the coding of masks from the content of a label file; raises `ConfigError`."""
    if unknown := sorted(set(value) - set(_KEYS)):
        raise ConfigError(f"unknown key {', '.join(unknown)}; known are: {', '.join(_KEYS)}.")
    kind = value.get("masks", "ids")
    if kind not in ("ids", "colours"):
        raise ConfigError(f'masks = {kind!r} is unknown; choose "ids" or "colours".')
    names = value.get("names")
    if not isinstance(names, list):
        raise ConfigError('names must be a list of class names in id order: names = ["first", "second"].')
    palette = value.get("palette", distinct_palette(len(names)))
    label_map = LabelMap.from_dict({"names": names, "palette": palette, "void": value.get("void", 255)})
    void_colour = value.get("void_colour")
    if void_colour is not None:
        if not (isinstance(void_colour, list) and len(void_colour) == 3 and all(type(v) is int for v in void_colour)):
            raise ConfigError(f"void_colour = {void_colour!r}; expected three numbers: [red, green, blue].")
        void_colour = (void_colour[0], void_colour[1], void_colour[2])
    return MaskCoding(label_map, kind, void_colour)


FORMAT = DatasetFormat(open_folder, _splits, has_any("labels.toml"), "labels.toml")
