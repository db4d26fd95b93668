"""What a dataset format is: how its folder is recognised, which splits it has, and how one is opened."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgeseg.data.base import SegmentationDataset

_HEAD_BYTES = 4096
"""Of a file that a format is recognised by: enough for the first keys of a JSON, also with a long path before them."""


@dataclass(frozen=True, slots=True)
class DatasetFormat:
    """One layout of labelled images on disk. Each format's module has one, called `FORMAT`."""

    open: Callable[[Path | str, str], SegmentationDataset]
    """(root, split) → dataset; checks lists and file names, leaves file contents for when a sample is read."""
    splits: Callable[[Path], list[str]]
    """Splits that the dataset at this root has, in the order in which they are shown; [] where there is none."""
    recognises: Callable[[Path], bool]
    """Whether a folder (or file) is laid out in this format. Looks at names, and at no more of a file than its head."""
    signs: str
    """What `recognises` looks for, in words, for `edgeseg data formats`."""


def has_any(*paths: str) -> Callable[[Path], bool]:
    """A `recognises` that is content with one of these paths below the root."""
    return lambda root: any((root / path).exists() for path in paths)


def stems(folder: Path, pattern: str = "*.txt") -> list[str]:
    """Names without suffix of the files in `folder` that match, sorted; [] where there is no such folder."""
    return sorted(file.stem for file in folder.glob(pattern))


def head_matches(file: Path, pattern: re.Pattern[bytes]) -> bool:
    """Whether a file's first bytes match, a byte order mark left out; not, where it cannot be read."""
    try:
        with file.open("rb") as stream:
            return pattern.match(stream.read(_HEAD_BYTES).removeprefix(codecs.BOM_UTF8)) is not None
    except OSError:
        return False
