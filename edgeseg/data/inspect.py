"""What a dataset holds: counts, pixel shares, sizes, and what is wrong with it, in one pass over its samples."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgeseg.data import dataset_format, open_dataset
from edgeseg.data.base import Sample, SegmentationDataset, files_of
from edgeseg.data.mapping import ClassMapping
from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import LabelMap

KEPT_PROBLEMS = 100
"""Problems of one kind that are kept with their text; the others are counted."""

_BACKGROUNDS = ("background",)
"""Classes whose presence alone means that nothing was labelled."""

Kind = Literal[
    "unreadable", "split", "leakage", "contains", "duplicate", "all void", "empty mask", "class never occurs"
]

_ERRORS: tuple[Kind, ...] = ("unreadable", "split", "leakage")
"""Kinds with which no figure can be trusted; the others may be meant."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong, or odd, with a sample, a split or the dataset."""

    kind: Kind
    split: str
    text: str

    @property
    def is_error(self) -> bool:
        """Whether it has to be put right; else it is worth a look."""
        return self.kind in _ERRORS


@dataclass
class SplitReport:
    """What was found in a split. Pixel counts are int64 by class id, void at the label map's void id."""

    name: str
    samples: int
    joined: tuple[str, ...] = ()
    """Other splits whose samples this one repeats, all of them; it was not read again."""
    read: int = 0
    pixels: np.ndarray[tuple[int], np.dtype[np.int64]] = field(default_factory=lambda: np.zeros(256, np.int64))
    images: np.ndarray[tuple[int], np.dtype[np.int64]] = field(default_factory=lambda: np.zeros(256, np.int64))
    """Images in which each class occurs."""
    sizes_hw: Counter[tuple[int, int]] = field(default_factory=Counter)


@dataclass
class Inspection:
    """The whole report. `label_map` is None where no split could be opened."""

    root: str
    format: str
    label_map: LabelMap | None
    splits: list[SplitReport]
    problems: list[Problem]
    counts: Counter[Kind]
    """How often each kind was met, also beyond the problems that are kept."""

    @property
    def errors(self) -> int:
        """How many problems have to be put right."""
        return sum(count for kind, count in self.counts.items() if kind in _ERRORS)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "root": self.root,
            "format": self.format,
            "classes": list(self.label_map.names) if self.label_map else [],
            "splits": [self._split_to_dict(split) for split in self.splits],
            "problem_counts": dict(self.counts),
            "problems": [
                {"kind": problem.kind, "split": problem.split, "text": problem.text} for problem in self.problems
            ],
            "errors": self.errors,
        }

    def _split_to_dict(self, split: SplitReport) -> dict[str, Any]:
        entry: dict[str, Any] = {"name": split.name, "samples": split.samples, "read": split.read}
        if split.joined or self.label_map is None:
            return {**entry, "joined": list(split.joined)}
        ids = {**{name: index for index, name in enumerate(self.label_map.names)}, "void": self.label_map.void}
        return {
            **entry,
            "pixels": {name: int(split.pixels[index]) for name, index in ids.items()},
            "images": {name: int(split.images[index]) for name, index in ids.items()},
            "sizes": [
                {"height": height, "width": width, "images": count}
                for (height, width), count in split.sizes_hw.most_common()
            ],
        }


OnSample = Callable[[str, int, int, Sample, LabelMap], None]
"""(split, position among those read, how many are read, sample, label map): for pictures and progress."""


def inspect_dataset(
    root: Path | str,
    format: str,
    *,
    split: str | None = None,
    mapping: ClassMapping | Path | str | None = None,
    limit: int | None = None,
    on_sample: OnSample | None = None,
) -> Inspection:
    """Read every sample of every split, or of one; `limit` takes so many of each split, evenly spread.

    A sample that cannot be used is a problem of the report, not the end. Splits are read smallest first, and one whose
    samples were all read in others already (trainval) is not read again. Memory is bounded: a hash for each image.
    Raises `ConfigError` for settings without sense, `DataError` where there is no split at all.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"limit={limit}: expected at least 1.")
    names = [split] if split is not None else dataset_format(format).splits(Path(root))
    if not names:
        raise DataError(f"{root}: no split of {format} in it. Check the path, or name one with --split.")
    inspector = _Inspector(limit, on_sample)
    opened: dict[str, SegmentationDataset] = {}
    for name in names:
        try:
            opened[name] = open_dataset(format, root, name, mapping)
        except DataError as error:  # noqa: PERF203 (a broken split is a finding, and the others are read)
            inspector.note("split", name, str(error))
    found = {name: inspector.read(name, opened[name]) for name in sorted(opened, key=lambda name: len(opened[name]))}
    label_map = next((dataset.label_map for dataset in opened.values()), None)
    splits = [found[name] for name in names if name in found]
    for report in splits:
        report.joined = tuple(name for name in names if name in report.joined)
    if label_map is not None and limit is None and split is None:
        occurs = np.sum([report.images for report in splits], axis=0)
        absent = [name for index, name in enumerate(label_map.names) if not occurs[index]]
        if absent:
            inspector.note("class never occurs", "", f"{len(absent)} of {len(label_map)}: {', '.join(absent)}")
    return Inspection(str(root), format, label_map, splits, inspector.problems, inspector.counts)


class _Inspector:
    """Collects over all splits what one sample alone does not show."""

    def __init__(self, limit: int | None, on_sample: OnSample | None) -> None:
        self.problems: list[Problem] = []
        self.counts: Counter[Kind] = Counter()
        self._limit, self._on_sample = limit, on_sample
        self._files_of: dict[str, set[int]] = {}
        """Split → hash of each sample's files; splits that repeat others are left out."""
        self._seen: dict[bytes, tuple[str, str]] = {}
        """Hash of an image → split and name where it was first met."""

    def note(self, kind: Kind, split: str, text: str) -> None:
        self.counts[kind] += 1
        if self.counts[kind] <= KEPT_PROBLEMS:
            self.problems.append(Problem(kind, split, text))

    def read(self, name: str, dataset: SegmentationDataset) -> SplitReport:
        report = SplitReport(name, len(dataset))
        files = {_files_hash(name, dataset, index) for index in range(len(dataset))}
        repeated = [other for other, its in self._files_of.items() if its & files]
        if repeated and files <= set().union(*(self._files_of[other] for other in repeated)):
            report.joined = tuple(repeated)
            return report
        contained = [other for other in repeated if self._files_of[other] <= files]
        if contained:
            self.note("contains", name, f"all of {' and '.join(contained)} is in it too; measure on other images")
        self._files_of[name] = files
        chosen = self._chosen(len(dataset))
        for position, index in enumerate(chosen):
            try:
                sample = dataset[index]
            except DataError as error:
                self.note("unreadable", name, str(error))
                continue
            self._count(report, sample, dataset.label_map)
            self._check_image(name, sample, contained)
            if self._on_sample is not None:
                self._on_sample(name, position, len(chosen), sample, dataset.label_map)
        return report

    def _chosen(self, samples: int) -> list[int]:
        if self._limit is None or self._limit >= samples:
            return list(range(samples))
        return sorted({int(index) for index in np.linspace(0, samples - 1, self._limit)})

    def _count(self, report: SplitReport, sample: Sample, label_map: LabelMap) -> None:
        pixels = np.bincount(sample.labels.ravel(), minlength=256)
        report.read += 1
        report.pixels += pixels
        report.images += pixels > 0
        height, width = sample.labels.shape
        report.sizes_hw[height, width] += 1
        present = [name for name, count in zip(label_map.names, pixels, strict=False) if count]
        if not present:
            self.note("all void", report.name, f"{sample.name}: no pixel has a class")
        elif all(name in _BACKGROUNDS for name in present):
            self.note("empty mask", report.name, f"{sample.name}: nothing but {present[0]}")

    def _check_image(self, split: str, sample: Sample, contained: list[str]) -> None:
        """The same picture twice: in two splits it makes every figure measured on one of them too good."""
        digest = hashlib.blake2b(np.ascontiguousarray(sample.image_bgr).data, digest_size=16)
        digest.update(repr(sample.image_bgr.shape).encode())
        other_split, other = self._seen.setdefault(digest.digest(), (split, sample.name))
        if (other_split, other) == (split, sample.name) or (other_split in contained and other == sample.name):
            return
        if other_split != split:
            self.note("leakage", split, f"{sample.name} is the same picture as {other} of {other_split}")
        else:
            self.note("duplicate", split, f"{sample.name} is the same picture as {other}")


def _files_hash(name: str, dataset: SegmentationDataset, index: int) -> int:
    """What the sample is read from; one that is made, or cannot be read, is known by its split and position."""
    try:
        return hash(files_of(dataset, index) or (name, index))
    except DataError:  # noted when the sample is read
        return hash((name, index))
