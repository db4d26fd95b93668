"""COCO instance annotations as label maps (cocodataset.org/#format-data), official files and any tool's in that format.

    annotations/instances_SPLIT.json       or in the root itself; or the root is the JSON file, its split `all`
    SPLIT/NAME.jpg                         or images/SPLIT/, images/, beside the JSON: where its first image is found

Classes are the file's categories in its order, after `background`: pixels that no object covers. What COCO knows only
roughly is void: crowds, which are outlined as one, and pixels claimed by objects of different classes. Overlapping
objects of one class are no conflict. A polygon of fewer than three points covers nothing.

Every image of the file is a sample; one without objects is all background. `SPLIT-annotated` keeps only images whose
objects cover more than 1,000 pixels, by which torchvision's reference trains (references/segmentation/coco_utils.py);
with a mapping, objects of the wanted classes count.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.data.base import Sample
from edgeseg.data.coco_json import (
    CocoImage,
    CocoJson,
    find_json,
    image_folder,
    image_key,
    is_coco_json,
    json_splits,
    read_coco_json,
    require_files,
    split_of,
)
from edgeseg.data.coco_masks import has_outline, run_lengths, union
from edgeseg.data.format import DatasetFormat
from edgeseg.data.images import read_image
from edgeseg.data.mapping import ClassMapping
from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import LabelMap, distinct_palette
from edgeseg.types import Labels

_PREFIX = "instances_"
_ANNOTATED = "-annotated"
_ANNOTATED_PX = 1000
_BACKGROUND_NAMES = ("background", "_background_")
"""Categories of these names, which labelme's converters write, are the class `background` itself."""


def open_coco(root: Path | str, split: str) -> CocoInstances:
    """Split of COCO instances, in the order of the JSON's images; raises `DataError`."""
    base = split.removesuffix(_ANNOTATED)
    path = find_json(Path(root), _PREFIX, base)
    return CocoInstances(f"coco {split}", path, split_of(path, _PREFIX), annotated_only=split != base)


class CocoInstances:
    """Label maps drawn from a COCO file's objects when asked for.

    Raises `DataError` at birth for a file that cannot be used, an image that is missing, and objects without an
    outline: they would silently become background.
    """

    def __init__(self, name: str, path: Path, split: str, *, annotated_only: bool = False) -> None:
        self.name = name
        category, crowd, area, image_of, bare = [], [], [], [], []

        def visit(annotation: dict[str, Any]) -> None:
            image_of.append(image_key(annotation))
            category.append(int(annotation["category_id"]))
            crowd.append(bool(annotation.get("iscrowd", 0)))
            area.append(float(annotation.get("area", 0)))
            if not has_outline(annotation.get("segmentation")):
                bare.append(annotation.get("id"))

        self._file = read_coco_json(path, visit)
        if bare:
            raise DataError(
                f"{path}: {len(bare)} of {len(image_of)} annotations have no outline (the first has id {bare[0]}); a "
                "box is no mask. Remove them, or give them a segmentation."
            )
        self.label_map, label_of = _classes(self._file)
        self._images = list(self._file.images.values())
        self._folder = _checked_folder(name, self._file, split)
        rows = {key: row for row, key in enumerate(self._file.images)}
        self._image_of = _resolve(path, "image", image_of, rows)
        self._own_label = _resolve(path, "category", category, label_of)
        self._crowd, self._area = np.array(crowd, bool), np.array(area, np.float32)
        self._order = np.argsort(self._image_of, kind="stable")
        self._first = np.searchsorted(self._image_of[self._order], np.arange(len(self._images) + 1))
        self._target = np.arange(256, dtype=np.uint8)
        self._annotated_only = annotated_only
        self._choose_samples()

    def _choose_samples(self) -> None:
        """Which images are samples; depends on the classes that are wanted."""
        if not self._annotated_only:
            self._samples = np.arange(len(self._images))
            return
        wanted = self._target[self._own_label] != self._target[0]
        covered = np.bincount(self._image_of, self._area * wanted, minlength=len(self._images))
        self._samples = np.flatnonzero(covered > _ANNOTATED_PX)
        if not len(self._samples):
            raise DataError(f"{self.name}: no image has more than {_ANNOTATED_PX} pixels of objects. Take all images.")

    def mapped(self, mapping: ClassMapping) -> CocoInstances:
        """The same objects in the mapping's classes: one that becomes what `background` becomes covers nothing.

        Pixels of two objects are void only where their target classes differ. Raises `ConfigError` for a mapping that
        does not fit, `DataError` where `-annotated` leaves no image.
        """
        changed = copy.copy(self)
        changed._target = mapping.lut(self.label_map)[self._target]
        changed.name, changed.label_map = f"{self.name}, {mapping.name}", mapping.target
        changed._choose_samples()
        return changed

    def __len__(self) -> int:
        return len(self._samples)

    def files(self, index: int) -> tuple[Path, ...]:
        """Image of sample `index`, and the JSON."""
        return self._folder / self._images[int(self._samples[index])].file_name, self._file.path

    def __getitem__(self, index: int) -> Sample:
        """Read an image and draw its objects; raises `DataError` for an outline without sense, or another size."""
        row = int(self._samples[index])
        entry = self._images[row]
        image = read_image(self._folder / entry.file_name)
        if image.shape[:2] != (entry.height, entry.width):
            raise DataError(
                f"{self._folder / entry.file_name}: {image.shape[1]}×{image.shape[0]} pixels, where {self._file.path} "
                f"says {entry.width}×{entry.height}. Take the image that was annotated, at its own size."
            )
        return Sample(entry.name, image, self._draw(row, entry))

    def _draw(self, row: int, entry: CocoImage) -> Labels:
        """Objects of one class are united first, so that only different classes can conflict."""
        rows = self._order[self._first[row] : self._first[row + 1]]
        void, background = self.label_map.void, self._target[0]
        parts: dict[int, list[dict[str, Any]]] = {}
        for position, annotation in zip(rows, self._file.annotations(rows), strict=True):
            target = int(self._target[self._own_label[position]])
            if target == background:
                continue
            try:
                drawn = run_lengths(annotation["segmentation"], entry.height, entry.width)
            except (KeyError, TypeError, ValueError) as error:
                which = f"annotation {annotation.get('id')} of {entry.file_name}"
                raise DataError(f"{self._file.path}: {which} has {error}. Correct it.") from error
            parts.setdefault(void if self._crowd[position] else target, []).extend(drawn)
        labels = np.full((entry.height, entry.width), background, np.uint8)
        claimed = np.zeros(labels.shape, bool)
        for target, outlines in parts.items():
            covered = union(outlines) if outlines else np.zeros(labels.shape, bool)
            labels[covered] = target
            labels[covered & claimed] = void
            claimed |= covered
        return labels


def _classes(file: CocoJson) -> tuple[LabelMap, dict[int, int]]:
    """The label map, and the class of each category id."""
    names = ["background", *(name for name in file.categories.values() if name not in _BACKGROUND_NAMES)]
    try:
        label_map = LabelMap(tuple(names), distinct_palette(len(names)))
    except ConfigError as error:
        raise DataError(f"{file.path}: {error}") from error
    numbers = {name: number for number, name in enumerate(names)} | dict.fromkeys(_BACKGROUND_NAMES, 0)
    return label_map, {key: numbers[name] for key, name in file.categories.items()}


def _checked_folder(name: str, file: CocoJson, split: str) -> Path:
    """The image folder, every image being there and having a name of its own."""
    if not file.images:
        raise DataError(f"{file.path}: lists no image. Choose another file.")
    folder = image_folder(file.path, split, next(iter(file.images.values())).file_name)
    seen: dict[str, str] = {}
    for image in file.images.values():
        if (other := seen.setdefault(image.name, image.file_name)) is not image.file_name:
            raise DataError(f"{file.path}: {name} has {image.file_name} already ({other}). Keep one entry of the two.")
    require_files(name, (folder / image.file_name for image in file.images.values()), "image")
    return folder


def _resolve(path: Path, kind: str, keys: list[Any], table: dict[Any, int]) -> NDArray[np.int64]:
    """Positions in `table`; raises `DataError` for the first key that is not in it."""
    unknown = next((number for number, key in enumerate(keys) if key not in table), None)
    if unknown is not None:
        raise DataError(
            f"{path}: annotation entry {unknown + 1} belongs to {kind} {keys[unknown]!r}, which the file does not list."
        )
    return np.fromiter((table[key] for key in keys), np.int64, len(keys))


def _recognises(root: Path) -> bool:
    """A JSON file alone tells instances from panoptic segments by its name only."""
    if root.is_file():
        return is_coco_json(root) and not root.name.startswith("panoptic_")
    return bool(json_splits(root, _PREFIX))


FORMAT = DatasetFormat(
    open_coco, lambda root: json_splits(root, _PREFIX), _recognises, "annotations/instances_SPLIT.json"
)
