"""Datasets that are pairs of files, an image and its mask: reading a pair, and the lists that name them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgeseg.data.base import Sample
from edgeseg.data.images import read_image
from edgeseg.errors import DataError
from edgeseg.labels import LabelMap
from edgeseg.types import Frame, Labels

_LONGEST_NAME = 250
"""Bytes; file systems take 255, and a suffix may follow. To ask whether a longer one is there raises an OSError."""
_BETWEEN_NAMES = re.compile(r"[\s/\\]")


class Coding(Protocol):
    """How mask files become class ids: a `MaskCoding`, or a `ValueTable` where stored ids are not the class ids."""

    @property
    def label_map(self) -> LabelMap:
        """Classes, palette and void id of what `read` gives."""
        ...

    def read(self, path: Path) -> Labels:
        """Mask file → class ids uint8 (H, W); raises `DataError`."""
        ...


@dataclass(frozen=True, slots=True)
class Pair:
    """The two files of a sample."""

    image: Path
    mask: Path

    @property
    def name(self) -> str:
        """The image's file name without suffix."""
        return self.image.stem


class PairedDataset:
    """Pairs of files, read when asked for. Raises `DataError` at birth for no pair, a missing file or a name twice."""

    def __init__(self, name: str, pairs: Iterable[Pair], coding: Coding) -> None:
        self.name, self.label_map = name, coding.label_map
        self._pairs, self._coding = tuple(pairs), coding
        if not self._pairs:
            raise DataError(f"{name}: no image in this split. Check the list or choose another split.")
        missing = [
            (pair, file, role)
            for pair in self._pairs
            for file, role in ((pair.image, "image"), (pair.mask, "mask"))
            if not file.is_file()
        ]
        if missing:
            pair, file, role = missing[0]
            more = f" So are {len(missing) - 1} more." if len(missing) > 1 else ""
            raise DataError(f"{file}: this {role} of {name} is missing.{more} Restore it, or take {pair.name} out.")
        require_own_names(name, [pair.image for pair in self._pairs])

    def __len__(self) -> int:
        return len(self._pairs)

    def files(self, index: int) -> tuple[Path, ...]:
        """Image and mask of sample `index`."""
        pair = self._pairs[index]
        return pair.image, pair.mask

    def __getitem__(self, index: int) -> Sample:
        """Read a pair; raises `DataError` for a file that cannot be used or sizes that differ."""
        pair = self._pairs[index]
        return same_size(pair, read_image(pair.image), self._coding.read(pair.mask))


def require_own_names(dataset: str, images: Sequence[Path]) -> None:
    """Raise `DataError` where two images of a dataset have one name, without the suffix."""
    first_seen: dict[str, Path] = {}
    for image in images:
        if (other := first_seen.setdefault(image.stem, image)) is not image:
            raise DataError(f"{image}: {dataset} has this name already ({other}). Keep one of the two.")


def same_size(pair: Pair, image_bgr: Frame, labels: Labels) -> Sample:
    """The sample of a pair that has been read; raises `DataError` where the sizes differ."""
    if image_bgr.shape[:2] != labels.shape:
        (height, width), (mask_height, mask_width) = image_bgr.shape[:2], labels.shape
        raise DataError(
            f"{pair.mask}: mask of {mask_width}×{mask_height} pixels for an image of {width}×{height}. "
            "Make them the same size (nearest neighbour for the mask)."
        )
    return Sample(pair.name, image_bgr, labels)


def require_folder(root: Path | str, *parts: str) -> Path:
    """`root/parts` as a folder that exists, else `DataError`."""
    folder = Path(root, *parts)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder. Check the dataset's path and layout.")
    return folder


def read_list(path: Path) -> list[str]:
    """Lines of a list file without blank ones; raises `DataError` where there is no such file or it holds no names."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()  # Windows editors write a mark before the first line
    except FileNotFoundError as error:
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.txt"))) or "none"
        raise DataError(f"{path}: no such list; lists here: {known}. Choose one of them as the split.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable text file ({error}). Write the list again.") from error
    for number, line in enumerate(lines, start=1):
        if any(len(part.encode()) > _LONGEST_NAME for part in _BETWEEN_NAMES.split(line)):
            raise DataError(f"{path}: line {number} is too long to be a name, {len(line)} characters. Write it again.")
    return [line.strip() for line in lines if line.strip()]
