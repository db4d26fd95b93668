"""Decoded samples kept for the next epoch: in memory, or in one memory-mapped file on disk.

A frame of 1920×1080 takes 8.3 MB (4 bytes per pixel), many times its JPEG and PNG: a cache pays where decoding is what
training waits for, and where the samples fit.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import pickle
import re
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgeseg.data.base import Sample, SegmentationDataset, files_of
from edgeseg.data.mapped import MappedDataset
from edgeseg.errors import ConfigError, DataError
from edgeseg.files import atomic_path

MEMORY_LIMIT_BYTES = 4 << 30
"""Most that a cache in memory takes unless told otherwise: half of a small workstation's 8 GB."""

_MAGIC = b"edgeseg cache 1\n"
_PROBED = 8
"""Samples whose size is looked at, evenly spread, before all are decoded."""


def cached(
    dataset: SegmentationDataset,
    kind: Literal["memory", "disk"],
    folder: Path | str | None = None,
    *,
    limit_bytes: int = MEMORY_LIMIT_BYTES,
) -> SegmentationDataset:
    """`dataset` with every sample decoded once, now, and kept; what it gives is the same to the last bit.

    `memory` holds them in this process; workers that are forked share them. `disk` writes one file into `folder`, which
    later runs and other processes map. It is found again by what the dataset is and by its files' sizes and times, so
    a changed file makes a new one; a torn one is written again. Delete the folder whenever you like.
    Raises `ConfigError` where the samples do not fit, `DataError` for one that cannot be read.
    """
    if isinstance(dataset, MappedDataset):  # one cache serves every mapping
        return MappedDataset(cached(dataset.source, kind, folder, limit_bytes=limit_bytes), dataset.mapping)
    if kind == "memory":
        _refuse_too_large(dataset, limit_bytes, "memory", 'Use cache = "disk", or none')
        return _MemoryCache(dataset)
    if kind != "disk":
        raise ConfigError(f'cache = {kind!r} is unknown; choose "memory" or "disk".')
    if folder is None:
        raise ConfigError("a cache on disk needs a folder.")
    path = Path(folder) / _file_name(dataset)
    _make_folder(path.parent)
    if (index := _read_index(path)) is None:
        _refuse_too_large(dataset, shutil.disk_usage(path.parent).free, f"free space of {path.parent}", "Make room")
        _write(path, dataset)
        index = _read_index(path)
        if index is None:
            raise DataError(f"{path}: does not read as it was written. Check the disk.")
    return _DiskCache(dataset, path, index)


class _Cache:
    """What a cached dataset passes on."""

    def __init__(self, dataset: SegmentationDataset) -> None:
        self._dataset = dataset
        self.name, self.label_map = dataset.name, dataset.label_map

    def __len__(self) -> int:
        return len(self._dataset)

    def files(self, index: int) -> tuple[Path, ...]:
        """Files that the sample was decoded from, the image first."""
        return files_of(self._dataset, index)


class _MemoryCache(_Cache):
    def __init__(self, dataset: SegmentationDataset) -> None:
        super().__init__(dataset)
        self._samples = [dataset[index] for index in range(len(dataset))]

    def __getitem__(self, index: int) -> Sample:
        kept = self._samples[index]
        # A copy: whoever draws into a sample would draw into all epochs to come.
        return Sample(kept.name, kept.image_bgr.copy(), kept.labels.copy())


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a sample lies in the file: image, then labels."""

    name: str
    height: int
    width: int
    offset: int


class _DiskCache(_Cache):
    def __init__(self, dataset: SegmentationDataset, path: Path, places: list[_Place]) -> None:
        super().__init__(dataset)
        self._path, self._places = path, places
        self._mapped: mmap.mmap | None = None

    def __getstate__(self) -> dict[str, Any]:
        # A map belongs to its process; a worker that is started by pickling makes its own.
        return {**self.__dict__, "_mapped": None}

    def __getitem__(self, index: int) -> Sample:
        place = self._places[index]
        if self._mapped is None:
            with self._path.open("rb") as stream:
                self._mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        pixels = place.height * place.width
        values = np.frombuffer(self._mapped, np.uint8, 4 * pixels, place.offset)
        image = values[: 3 * pixels].reshape(place.height, place.width, 3)
        labels = values[3 * pixels :].reshape(place.height, place.width)
        return Sample(place.name, image.copy(), labels.copy())


def _file_name(dataset: SegmentationDataset) -> str:
    """Name and a hash of all that decides what the samples are: the dataset's settings, its files, their state."""
    if not files_of(dataset, 0):
        raise ConfigError(f'{dataset.name} is drawn, not read from files; cache it in memory: cache = "memory".')
    digest = hashlib.sha256(pickle.dumps(dataset, protocol=5))
    for index in range(len(dataset)):
        for file in files_of(dataset, index):
            try:
                status = file.stat()
            except OSError as error:
                raise DataError(f"{file}: cannot be read ({error.strerror}). Restore it.") from error
            digest.update(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return f"{re.sub(r'[^a-z0-9]+', '-', dataset.name.lower())}-{digest.hexdigest()[:24]}.cache"


def _write(path: Path, dataset: SegmentationDataset) -> None:
    """Samples, an index as JSON, its checksum and length. Runs that write at once each rename a whole file."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(_MAGIC)
        places = []
        for index in range(len(dataset)):
            sample = dataset[index]
            height, width = sample.labels.shape
            places.append((sample.name, height, width, stream.tell()))
            stream.write(np.ascontiguousarray(sample.image_bgr).data)
            stream.write(np.ascontiguousarray(sample.labels).data)
        content = json.dumps({"bytes": stream.tell(), "places": places}).encode()
        stream.write(content)
        stream.write(zlib.crc32(content).to_bytes(4, "big") + len(content).to_bytes(8, "big"))


def _read_index(path: Path) -> list[_Place] | None:
    """Where the samples lie; None for a file that is not there, or not whole."""
    try:
        with path.open("rb") as stream:
            magic = stream.read(len(_MAGIC))
            end = stream.seek(0, 2)
            stream.seek(max(0, end - 12))
            tail = stream.read()
            length = int.from_bytes(tail[4:], "big")
            start = end - 12 - length
            if magic != _MAGIC or start < len(_MAGIC):
                return None
            stream.seek(start)
            content = stream.read(length)
            if zlib.crc32(content) != int.from_bytes(tail[:4], "big"):
                return None
            index = json.loads(content)
            return [_Place(*place) for place in index["places"]] if index["bytes"] == start else None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: this cache cannot be read ({error.strerror}). Delete it.") from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: no place for a cache ({error.strerror}). Choose another folder.") from error


def _refuse_too_large(dataset: SegmentationDataset, limit: int, place: str, advice: str) -> None:
    """Now, by a few samples, and not after an hour of decoding."""
    probed = sorted({int(index) for index in np.linspace(0, len(dataset) - 1, min(_PROBED, len(dataset)))})
    needed = int(np.mean([4 * dataset[index].labels.size for index in probed])) * len(dataset)
    if needed > limit:
        raise ConfigError(
            f"{dataset.name}: {len(dataset)} decoded samples take about {needed / 1e9:.1f} GB, and {place} allows "
            f"{limit / 1e9:.1f} GB. {advice}, or reduce the images."
        )
