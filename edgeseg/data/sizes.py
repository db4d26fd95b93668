"""How large images are, from their headers alone, and a dataset without those that are too small."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from edgeseg.data.base import Sample, SegmentationDataset, files_of
from edgeseg.errors import DataError

_PNG_HEAD = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"


def image_hw(path: Path) -> tuple[int, int] | None:
    """Height and width in pixels, as stored, of a JPEG or PNG; None for another file, or one without a size.

    Reads some bytes of the header and decodes nothing. Raises `DataError` for a file that cannot be read.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(24)
            if head.startswith(_PNG_HEAD) and len(head) == 24:
                width, height = struct.unpack(">II", head[16:])
                return height, width
            return _jpeg_hw(stream) if head.startswith(b"\xff\xd8") else None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check the path and its permissions.") from error


def _jpeg_hw(stream: BinaryIO) -> tuple[int, int] | None:
    """From segment to segment up to the start of a frame (ITU T.81, B.1.1 and B.2.2)."""
    offset = 2
    while True:
        stream.seek(offset)
        segment = stream.read(9)
        if len(segment) < 9 or segment[0] != 0xFF:
            return None
        marker = segment[1]
        if marker == 0xFF:  # a fill byte before the marker itself
            offset += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", segment[5:])
            return height, width
        offset += 2 + int.from_bytes(segment[2:4], "big")


class LargeEnough:
    """The samples of `dataset` that are at least `least_hw` pixels high and wide; `DataError` at birth for none.

    Sizes come from the images' headers; a sample without an image file is decoded once. An image that its reader turns
    upright (labelme, EISeg) counts as it is stored.
    """

    def __init__(self, dataset: SegmentationDataset, least_hw: tuple[int, int]) -> None:
        self._dataset = dataset
        self.name, self.label_map = dataset.name, dataset.label_map
        height, width = least_hw
        sizes = [_sample_hw(dataset, index) for index in range(len(dataset))]
        self._chosen = [index for index, size in enumerate(sizes) if size[0] >= height and size[1] >= width]
        if not self._chosen:
            raise DataError(
                f"{dataset.name}: no image has {width}×{height} pixels; the largest is "
                f"{max(size[1] for size in sizes)} wide. Take a smaller crop, or pad."
            )

    def __len__(self) -> int:
        return len(self._chosen)

    def files(self, index: int) -> tuple[Path, ...]:
        """Files that sample `index` is read from, the image first."""
        return files_of(self._dataset, self._chosen[index])

    def __getitem__(self, index: int) -> Sample:
        return self._dataset[self._chosen[index]]


def _sample_hw(dataset: SegmentationDataset, index: int) -> tuple[int, int]:
    files = files_of(dataset, index)
    size = image_hw(files[0]) if files else None
    if size is None:
        height, width = dataset[index].labels.shape
        return height, width
    return size
