"""What KITTI's benchmarks share: numbered images, and splits made by number, since none of them has a public one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from edgeseg.errors import DataError

SPLITS: dict[str, Callable[[int], bool]] = {
    "train": lambda number: number % 5 != 0,
    "val": lambda number: number % 5 == 0,
    "all": lambda _: True,
}
"""Split → whether a frame with this number belongs to it. One name at a time, so that a frame never changes sides."""


def require_split(benchmark: str, root: Path | str, split: str) -> None:
    """Raise `DataError` for a split that is none of `SPLITS`."""
    if split not in SPLITS:
        reason = " (its test images have no public ground truth)" if split == "test" else ""
        raise DataError(f"{root}: {benchmark} has no split {split!r} here{reason}; choose train, val or all.")


def images_of_split(images: Path, pattern: re.Pattern[str], split: str) -> list[re.Match[str]]:
    """Matches of `pattern`, whose group `number` is the frame's, with the names in `images`, ordered by name."""
    matches = map(pattern.fullmatch, sorted(file.name for file in images.iterdir()))
    return [match for match in matches if match and SPLITS[split](int(match["number"]))]
