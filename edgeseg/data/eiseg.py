"""A folder annotated with EISeg, PaddleSeg's interactive tool (github.com/PaddlePaddle/PaddleSeg, EISeg).

    NAME.jpg                     images; those without labels are passed over
    label/NAME.png               grey: value = label id
    label/NAME.json              polygons; NAME.jpg.json where labels keep the image's suffix
    label/annotations.json       polygons of all images, as COCO JSON
    label/NAME_pseudo.png        the labels' colours
    label/autosave_label.txt     lines "id name red green blue"; or labels.txt or label.txt, exported by hand
    SPLIT.txt                    optional: names without suffix, one a line; without such lists the one split is `all`

Of an image with several of them the first in this order is read. Polygons are painted as EISeg paints its grey masks,
so either gives the same labels. Without a list the labels are those of annotations.json, or of all NAME.json.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edgeseg.data.base import Sample
from edgeseg.data.eiseg_labels import LabelList, Polygon, read_coco, read_label_list, read_polygons
from edgeseg.data.format import DatasetFormat, head_matches, stems
from edgeseg.data.images import IMAGE_SUFFIXES, read_upright_image
from edgeseg.data.pairs import Pair, read_list, require_folder, require_own_names, same_size
from edgeseg.errors import DataError
from edgeseg.types import Labels

_LISTS = ("autosave_label.txt", "labels.txt", "label.txt")
_COCO = "annotations.json"
_HEAD = re.compile(rb'\s*\[\s*\{[^{}]*"labelIdx"\s*:')
_HEADS_READ = 8


@dataclass(frozen=True, slots=True)
class _Entry:
    """An image and where its labels are; `kind` says how to read them."""

    image: Path
    label: Path
    kind: str


class EisegDataset:
    """Images with the labels that EISeg left of them, read when asked for; raises `DataError` at birth for none."""

    def __init__(
        self, name: str, entries: list[_Entry], labels: LabelList, polygons_of: dict[str, list[Polygon]]
    ) -> None:
        self.name, self.label_map = name, labels.label_map
        self._entries, self._labels, self._polygons_of = tuple(entries), labels, polygons_of
        if not self._entries:
            raise DataError(f"{name}: no labelled image in this split. Check the list or label/.")
        require_own_names(name, [entry.image for entry in self._entries])

    def __len__(self) -> int:
        return len(self._entries)

    def files(self, index: int) -> tuple[Path, ...]:
        """Image and labels of sample `index`."""
        entry = self._entries[index]
        return entry.image, entry.label

    def __getitem__(self, index: int) -> Sample:
        """Read an image, turned upright as EISeg shows it, and its labels; raises `DataError`."""
        entry = self._entries[index]
        image = read_upright_image(entry.image)
        return same_size(Pair(entry.image, entry.label), image, self._read(entry, image.shape[:2]))

    def _read(self, entry: _Entry, size_hw: tuple[int, int]) -> Labels:
        if entry.kind == "grey":
            return self._labels.table.read(entry.label)
        if entry.kind == "pseudo":
            return self._labels.colours().read(entry.label)
        polygons = self._polygons_of[entry.image.name] if entry.kind == "coco" else read_polygons(entry.label)[0]
        return self._labels.paint(entry.label, polygons, size_hw)


def open_eiseg(root: Path | str, split: str) -> EisegDataset:
    """Split of an EISeg folder: from its list in the list's order, or, as `all`, every labelled image by name.

    Raises `DataError` for whatever is missing, and for labels that make no classes.
    """
    folder, label = require_folder(root), require_folder(root, "label")
    images = sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    coco = read_coco(label / _COCO) if (label / _COCO).is_file() else None
    polygons_of = coco[1] if coco else {}
    entries = [entry for image in images if (entry := _entry(image, label, polygons_of))]
    labels = _labels(label, coco[0] if coco else None, entries)
    if (folder / f"{split}.txt").is_file():
        entries = _listed(folder / f"{split}.txt", entries)
    elif split != "all":
        raise DataError(f"{folder}: no split {split!r}: no {split}.txt. Try {', '.join(_splits(folder))}.")
    return EisegDataset(f"eiseg {split}", entries, labels, polygons_of)


def _entry(image: Path, label: Path, polygons_of: dict[str, list[Polygon]]) -> _Entry | None:
    """Where this image's labels are; None where it has none."""
    sources = (
        (label / f"{image.stem}.png", "grey"),
        (label / f"{image.stem}.json", "json"),
        (label / f"{image.name}.json", "json"),
        (label / _COCO, "coco" if image.name in polygons_of else ""),
        (label / f"{image.stem}_pseudo.png", "pseudo"),
        (label / image.name, "grey"),  # a JPEG: refused when it is read, and not passed over in silence
    )
    return next((_Entry(image, file, kind) for file, kind in sources if kind and file.is_file()), None)


def _listed(path: Path, entries: list[_Entry]) -> list[_Entry]:
    by_name: dict[str, _Entry] = {entry.image.stem: entry for entry in entries}
    names = read_list(path)
    if missing := [name for name in names if name not in by_name]:
        raise DataError(f"{path}: no labelled image called {missing[0]}. Label it or take it off the list.")
    return [by_name[name] for name in names]


def _labels(label: Path, coco: LabelList | None, entries: list[_Entry]) -> LabelList:
    for name in _LISTS:
        if (label / name).is_file():
            return read_label_list(label / name)
    if coco is not None:
        return coco
    rows = {row[0]: row for entry in entries if entry.kind == "json" for row in read_polygons(entry.label)[1]}
    if not rows:
        raise DataError(
            f"{label / _LISTS[0]}: no list of labels. Export it from EISeg, or write: id name red green blue"
        )
    return LabelList(label, tuple(rows[value] for value in sorted(rows)))


def _splits(root: Path) -> list[str]:
    return [*stems(root), "all"]


def _recognises(root: Path) -> bool:
    label = root / "label"
    if any((label / name).is_file() for name in (_LISTS[0], _COCO)) or next(label.glob("*_pseudo.png"), None):
        return True
    return any(head_matches(file, _HEAD) for file in sorted(label.glob("*.json"))[:_HEADS_READ])


FORMAT = DatasetFormat(open_eiseg, _splits, _recognises, "label/autosave_label.txt or label/NAME.json of EISeg")
