"""What every dataset gives: samples of a camera frame with the true class of each pixel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from edgeseg.labels import LabelMap
from edgeseg.types import Frame, Labels


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One labelled frame: `image_bgr` uint8 (H, W, 3), `labels` uint8 (H, W) with the label map's void id."""

    name: str
    """Unique in its dataset and split; the image's file name without suffix where there is a file."""
    image_bgr: Frame
    labels: Labels


class SegmentationDataset(Protocol):
    """A sequence of samples in a fixed order. Index errors end a `for` loop, as with a list."""

    @property
    def name(self) -> str:
        """Format and split, for tables and reports: `camvid test`."""
        ...

    @property
    def label_map(self) -> LabelMap:
        """Classes, palette and void id of every sample's labels."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample:
        """Read one sample; raises `DataError` naming the file that cannot be used."""
        ...


@runtime_checkable
class OnDisk(Protocol):
    """A dataset whose samples are read from files."""

    def files(self, index: int) -> tuple[Path, ...]:
        """Files that sample `index` is read from, the one with the image first. Opens no image."""
        ...


def files_of(dataset: SegmentationDataset, index: int) -> tuple[Path, ...]:
    """The sample's files, the one with the image first; () where it is made and not read, as the synthetic drive."""
    return dataset.files(index) if isinstance(dataset, OnDisk) else ()
