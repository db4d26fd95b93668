"""Any dataset → the PASCAL VOC layout, or a plain folder; read back, the labels are the same to the last pixel."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from edgeseg.data import dataset_format, open_dataset
from edgeseg.data.base import Sample, SegmentationDataset, files_of
from edgeseg.data.images import IMAGE_SUFFIXES, JPEG_SIGNATURE, palette_png, read_image
from edgeseg.data.mapping import ClassMapping
from edgeseg.errors import ConfigError, DataError
from edgeseg.files import atomic_folder
from edgeseg.labels import VOC, LabelMap, distinct_palette

JPEG_QUALITY = 95
"""For images that are no JPEG yet where the layout wants one: colour at full resolution (4:4:4), 41 dB on CamVid."""

Layout = Literal["voc", "folder"]

_JPEG_OPTIONS = [
    *(cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
]


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was written."""

    path: Path
    splits: dict[str, int]
    """Split → entries in its list."""
    samples: int
    """Samples written; one that several splits list is written once."""
    copied: int
    """Images that are byte for byte what they were; the others were encoded."""
    renamed: dict[str, str]
    """New name → the name that another sample had already."""


def convert_dataset(
    source: Path | str,
    format: str,
    destination: Path | str,
    to: Layout,
    *,
    split: str | None = None,
    mapping: ClassMapping | Path | str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Conversion:
    """Write one split of a dataset, or all of them, into the new folder `destination`, which is whole or absent.

    Images that the layout can hold are copied byte for byte. VOC's holds JPEG alone: others are encoded at quality 95;
    a plain folder keeps PNG, and what is neither becomes PNG. Two images of one name: the second gets its split before
    it. Raises `ConfigError`, `DataError` for what cannot be read, `OutputError` for a folder that is there already.
    """
    names = [split] if split is not None else dataset_format(format).splits(Path(source))
    if not names:
        raise DataError(f"{source}: no split of {format} in it. Check the path, or name one with --split.")
    datasets = {name: open_dataset(format, source, name, mapping) for name in names}
    label_map = next(iter(datasets.values())).label_map
    if other := next((name for name in names if datasets[name].label_map != label_map), None):
        raise ConfigError(f"splits {names[0]} and {other} have different classes. Convert them one by one (--split).")
    with atomic_folder(destination) as folder:
        writer = _Writer(folder, to, label_map)
        done, total = 0, sum(map(len, datasets.values()))
        lists: dict[str, list[str]] = {}
        for name, dataset in datasets.items():
            lists[name] = []
            for index in range(len(dataset)):
                lists[name].append(writer.add(name, dataset, index))
                done += 1
                if progress is not None:
                    progress(done, total)
        writer.finish(lists)
    sizes = {name: len(entries) for name, entries in lists.items()}
    return Conversion(Path(destination), sizes, len(writer.names), writer.copied, writer.renamed)


class _Writer:
    """Writes samples into a folder of one layout."""

    def __init__(self, folder: Path, to: Layout, label_map: LabelMap) -> None:
        if to not in ("voc", "folder"):
            raise ConfigError(f"--to {to!r} is unknown; choose voc or folder.")
        self._voc = to == "voc"
        self._folder, self._label_map = folder, label_map
        self._images = folder / ("JPEGImages" if self._voc else "images")
        self._masks = folder / ("SegmentationClass" if self._voc else "masks")
        self._lists = folder / "ImageSets" / "Segmentation" if self._voc else folder
        for path in (self._images, self._masks, self._lists):
            path.mkdir(parents=True, exist_ok=True)
        self._void = np.arange(256, dtype=np.uint8)
        self._palette = [*label_map.palette, *[(0, 0, 0)] * (256 - len(label_map))]
        if self._voc:
            self._void[label_map.void] = VOC.void
            self._palette = list(distinct_palette(256))
        self.names: dict[Hashable, str] = {}
        """What a sample is read from → the name that it was written under."""
        self.renamed: dict[str, str] = {}
        self.copied = 0
        self._taken: set[str] = set()

    def add(self, split: str, dataset: SegmentationDataset, index: int) -> str:
        """Write a sample, unless another split listed it already; returns its name."""
        files = files_of(dataset, index)
        identity = files or (split, index)
        if identity not in self.names:
            sample = dataset[index]
            name = self._free_name(split, sample.name)
            self._write_image(name, sample, files)
            labels = cv2.LUT(sample.labels, self._void)
            (self._masks / f"{name}.png").write_bytes(palette_png(np.asarray(labels, np.uint8), self._palette))
            self.names[identity] = name
        return self.names[identity]

    def finish(self, lists: dict[str, list[str]]) -> None:
        """Write the lists and the classes."""
        for name, entries in lists.items():
            (self._lists / f"{name}.txt").write_text("".join(f"{entry}\n" for entry in entries), encoding="utf-8")
        if self._voc:
            text = "".join(f"{name}\n" for name in self._label_map.names)
            (self._folder / "class_names.txt").write_text(text, encoding="utf-8")
        else:
            (self._folder / "labels.toml").write_text(_label_file(self._label_map), encoding="utf-8")

    def _free_name(self, split: str, wanted: str) -> str:
        """Upper and lower case count as one, since they do on some file systems."""
        if wanted != wanted.strip() or not wanted.isprintable() or "/" in wanted:
            raise DataError(f"image {wanted!r} of {split}: no name that a list can hold. Rename the file.")
        name = wanted if wanted.lower() not in self._taken else f"{split}_{wanted}"
        if name.lower() in self._taken:
            raise DataError(f"image {wanted!r} of {split}: {name} is taken as well. Rename one of the files.")
        if name != wanted:
            self.renamed[name] = wanted
        self._taken.add(name.lower())
        return name

    def _write_image(self, name: str, sample: Sample, files: tuple[Path, ...]) -> None:
        suffix = files[0].suffix.lower() if files else ""
        if suffix in IMAGE_SUFFIXES and np.array_equal(read_image(files[0]), sample.image_bgr):
            # Equal pixels, because a reader may have turned the image upright, or cut it out of a larger one.
            data = files[0].read_bytes()
            if not self._voc or data.startswith(JPEG_SIGNATURE):
                (self._images / f"{name}{'.jpg' if self._voc else suffix}").write_bytes(data)
                self.copied += 1
                return
        suffix, options = (".jpg", _JPEG_OPTIONS) if self._voc else (".png", [])
        (self._images / f"{name}{suffix}").write_bytes(cv2.imencode(suffix, sample.image_bgr, options)[1].tobytes())


def _label_file(label_map: LabelMap) -> str:
    lines = [f"names = {json.dumps(label_map.names, ensure_ascii=False)}"]
    if len(set(label_map.palette)) == len(label_map):  # a mask could not be read by colours that stand for two classes
        lines.append(f"palette = {json.dumps(label_map.palette)}")
    return "\n".join([*lines, f"void = {label_map.void}", ""])
