"""Where calibration frames come from, so that they can be found again: a dataset's split, images, a video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from edgeseg.data import SegmentationDataset, dataset_format, detect_format, open_dataset
from edgeseg.data.images import IMAGE_SUFFIXES, read_image
from edgeseg.errors import ConfigError, DataError, SourceError
from edgeseg.labels import LabelMap
from edgeseg.types import Frame, Labels
from edgeseg.video.sources import open_source
from edgeseg.video.sources.images import ImageFiles

TRAINING_SPLITS = ("train", "trainval", "training", "all")
"""Splits that frames are taken from when none is named, the first that is there: never one to measure on."""

SYNTHETIC = "synthetic"
"""The dataset format whose place is a description, not a path."""


@dataclass(frozen=True, slots=True, eq=False)
class SourceFrame:
    """One frame of a source: BGR uint8 (H, W, 3), and the class of each pixel where the source is labelled."""

    index: int
    name: str
    frame_bgr: Frame
    labels: Labels | None = None


class SourceFrames(Protocol):
    """The frames of an open source, in a fixed order."""

    @property
    def label_map(self) -> LabelMap | None:
        """Classes of a dataset; None for images and videos."""
        ...

    @property
    def count(self) -> int | None:
        """How many there are; None for a video, which nobody knows before its end."""
        ...

    def read(self, indices: Sequence[int] | None = None) -> Iterator[SourceFrame]:
        """Those at `indices`, which ascend, or all; one is held at a time. Raises `DataError` where one is missing."""
        ...


@dataclass(frozen=True, slots=True)
class FrameSource:
    """A split of a dataset (`format` is set), or images or a video (`format` is None)."""

    place: str
    """Folder, file, glob or address; absolute where it is a path that is there."""
    format: str | None = None
    split: str | None = None
    mapping: str | None = None
    """Other classes for a dataset: a shipped mapping's name, or its file."""

    def __post_init__(self) -> None:
        if (self.format is None) != (self.split is None):
            raise ConfigError(f"frames of {self.place}: a dataset has a format and a split, a video has neither.")

    @property
    def title(self) -> str:
        """What it is, without where it lies: `camvid train`, `drive.mp4`."""
        if self.format == SYNTHETIC:
            return f"{self.format} {self.split} {self.place}"
        return f"{self.format} {self.split}" if self.format else Path(self.place).name

    def open(self) -> SourceFrames:
        """Look at what is there; raises `DataError` or `SourceError` where it cannot be used."""
        if self.format is not None and self.split is not None:
            return _DatasetFrames(open_dataset(self.format, self.place, self.split, self.mapping), self.place)
        if self.place.startswith("synthetic://") and "frames=" not in self.place:
            raise ConfigError(f"{self.place}: a drive without end; say how many frames, as in ?frames=300.")
        with open_source(self.place) as source:
            if source.live:
                raise SourceError(
                    f"{source.uri}: a camera shows no frame twice, so a calibration could not be repeated. "
                    f"Record a video: edgeseg run --help"
                )
            if isinstance(source, ImageFiles):
                return _ImageFrames(source.files, self.place)
        return _VideoFrames(self.place)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `calibration.json`."""
        return asdict(self)


def find_source(
    place: Path | str, *, format: str | None = None, split: str | None = None, mapping: str | None = None
) -> FrameSource:
    """What `place` is: a dataset where a format is named or its layout is one, else images or a video.

    Without a split, the one to train on. Raises `DataError` where nothing of it is there.
    """
    path = Path(place)
    if format == SYNTHETIC:
        return FrameSource(str(place), format, split or TRAINING_SPLITS[0], mapping)
    if path.is_dir() and not any(path.iterdir()):
        raise DataError(f"{place}: an empty folder; expected images, or a dataset (see `edgeseg data formats`).")
    annotated = path.is_dir() or path.suffix.lower() == ".json"
    if format is None and (not annotated or _only_images(path)):
        if split is not None or mapping is not None:
            raise ConfigError(f"{place}: images and videos have neither splits nor classes; leave those options out.")
        return FrameSource(str(path.resolve()) if path.exists() else str(place))
    found = format or detect_format(path)
    return FrameSource(str(path.resolve()), found, split or _training_split(path, found), mapping)


def _only_images(folder: Path) -> bool:
    """Whether a folder holds images itself, which is so in no dataset layout."""
    return folder.is_dir() and any(entry.suffix.lower() in IMAGE_SUFFIXES for entry in folder.iterdir())


def _training_split(path: Path, format: str) -> str:
    splits = dataset_format(format).splits(path)
    for name in TRAINING_SPLITS:
        if name in splits:
            return name
    raise DataError(
        f"{path}: no split of this {format} dataset is clearly one to train on. Name it with --split; "
        f"there are: {', '.join(splits) or 'none'}."
    )


class _DatasetFrames:
    def __init__(self, dataset: SegmentationDataset, place: str) -> None:
        self._dataset, self._place = dataset, place
        self.label_map = dataset.label_map
        self.count = len(dataset)

    def read(self, indices: Sequence[int] | None = None) -> Iterator[SourceFrame]:
        for index in _within(indices, self.count, self._place):
            sample = self._dataset[index]
            yield SourceFrame(index, sample.name, sample.image_bgr, sample.labels)


class _ImageFrames:
    label_map = None

    def __init__(self, files: Sequence[Path], place: str) -> None:
        self._files, self._place = files, place
        self.count = len(files)

    def read(self, indices: Sequence[int] | None = None) -> Iterator[SourceFrame]:
        for index in _within(indices, self.count, self._place):
            yield SourceFrame(index, self._files[index].stem, read_image(self._files[index]))


class _VideoFrames:
    label_map = None
    count = None

    def __init__(self, place: str) -> None:
        self._place = place

    def read(self, indices: Sequence[int] | None = None) -> Iterator[SourceFrame]:
        """Decoded from the start: to seek in a video gives other frames from one container to the next."""
        wanted = None if indices is None else list(indices)
        with open_source(self._place) as source:
            for record in source:
                if wanted is None or (wanted and record.index == wanted[0]):
                    yield SourceFrame(record.index, record.name, record.frame_bgr)
                    if wanted is not None:
                        del wanted[0]
                if wanted == []:
                    return
        if wanted:
            raise DataError(
                f"{self._place} has no frame {wanted[0]}: it is not the video that frames were chosen from."
            )


def _within(indices: Sequence[int] | None, count: int, place: str) -> Sequence[int]:
    if indices is None:
        return range(count)
    if indices and indices[-1] >= count:
        raise DataError(f"{place} has {count} frames, none at {indices[-1]}: it is not what frames were chosen from.")
    return indices
