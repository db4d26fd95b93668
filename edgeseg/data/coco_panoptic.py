"""COCO panoptic segmentation as label maps (cocodataset.org/#format-data; github.com/cocodataset/panopticapi).

    annotations/panoptic_SPLIT.json        or in the root itself; or the root is the JSON file, its split `all`
    annotations/panoptic_SPLIT/NAME.png    or panoptic_SPLIT/; RGB, a pixel's segment is R + 256 G + 65536 B
    SPLIT/NAME.jpg                         or images/SPLIT/, images/, input_images/

Classes are the file's categories in its order, things and stuff (133 in COCO). Segment 0 is unlabelled: void. A crowd
keeps its class, for segments do not overlap, and panopticapi's own conversion to semantic maps keeps it too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.data.base import Sample
from edgeseg.data.coco_json import (
    find_json,
    image_folder,
    image_key,
    is_coco_json,
    json_splits,
    read_coco_json,
    require_files,
    split_of,
)
from edgeseg.data.format import DatasetFormat
from edgeseg.data.images import read_image, read_mask
from edgeseg.data.pairs import Pair, same_size
from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import LabelMap, distinct_palette
from edgeseg.types import Labels

_PREFIX = "panoptic_"


def open_coco_panoptic(root: Path | str, split: str) -> CocoPanoptic:
    """Split of COCO panoptic segments, in the order of the JSON's annotations; raises `DataError`."""
    path = find_json(Path(root), _PREFIX, split)
    return CocoPanoptic(f"coco-panoptic {split}", path, split_of(path, _PREFIX))


class CocoPanoptic:
    """Label maps of the segments' classes, read when asked for; images without an annotation are passed over.

    Raises `DataError` at birth for a file that cannot be used, or an image or PNG that is missing.
    """

    def __init__(self, name: str, path: Path, split: str) -> None:
        self.name = name
        annotated: list[tuple[int | str, str]] = []

        def visit(annotation: dict[str, Any]) -> None:
            if not isinstance(annotation["segments_info"], list):
                raise ValueError("segments_info is no list")
            annotated.append((image_key(annotation), str(annotation["file_name"])))

        self._file = read_coco_json(path, visit)
        if not annotated:
            raise DataError(f"{path}: annotates no image. Choose another file.")
        names = tuple(self._file.categories.values())
        try:
            # Without the first colour, black: there is no background here, and people would get it.
            self.label_map = LabelMap(names, distinct_palette(len(names) + 1)[1:])
        except ConfigError as error:
            raise DataError(f"{path}: {error}") from error
        self._class_of = {key: number for number, key in enumerate(self._file.categories)}
        self._pairs = self._find_pairs(path, split, annotated)

    def _find_pairs(self, path: Path, split: str, annotated: list[tuple[int | str, str]]) -> list[Pair]:
        unknown = next((key for key, _ in annotated if key not in self._file.images), None)
        if unknown is not None:
            raise DataError(f"{path}: annotates image {unknown!r}, which it does not list. Correct the file.")
        images = image_folder(path, split, self._file.images[annotated[0][0]].file_name)
        places = [path.with_suffix(""), path.parent.parent / path.stem]
        masks = next((place for place in places if place.is_dir()), None)
        if masks is None:
            raise DataError(f"{path}: no folder {places[0]} with its PNG files. Unpack them there.")
        pairs = [Pair(images / self._file.images[key].file_name, masks / file) for key, file in annotated]
        seen: set[str] = set()
        require_files(self.name, (pair.image for pair in pairs), "image")
        require_files(self.name, (pair.mask for pair in pairs), "PNG")
        for pair in pairs:
            if pair.name in seen:
                raise DataError(f"{path}: annotates {pair.image.name} twice. Keep one entry of the two.")
            seen.add(pair.name)
        return pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def files(self, index: int) -> tuple[Path, ...]:
        """Image and segments of sample `index`, and the JSON."""
        pair = self._pairs[index]
        return pair.image, pair.mask, self._file.path

    def __getitem__(self, index: int) -> Sample:
        """Read an image and its segments; raises `DataError` for a segment that the JSON does not explain."""
        pair = self._pairs[index]
        row = range(len(self._pairs))[index]
        (annotation,) = self._file.annotations([row])
        return same_size(pair, read_image(pair.image), self._labels(pair, annotation["segments_info"]))

    def _labels(self, pair: Pair, segments: list[dict[str, Any]]) -> Labels:
        mask = read_mask(pair.mask)
        if mask.single_channel:
            raise DataError(f"{pair.mask}: one channel, where a segment's number is spread over R, G and B.")
        blue, green, red = (mask.pixels_bgr()[..., channel].astype(np.int32) for channel in range(3))
        ids = red | green << 8 | blue << 16
        try:
            known = {0: self.label_map.void} | {int(s["id"]): self._class_of[s["category_id"]] for s in segments}
            keys = np.array(sorted(known), np.int64)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{self._file.path}: segments of {pair.mask.name} cannot be used ({error!r}).") from error
        place = np.minimum(np.searchsorted(keys, ids), len(keys) - 1)
        bad = keys[place] != ids
        if bad.any():
            y, x = divmod(int(bad.argmax()), bad.shape[1])
            raise DataError(
                f"{pair.mask}: segment {ids[y, x]} at x={x}, y={y} ({np.count_nonzero(bad)} pixels unknown) is not in "
                f"{self._file.path.name}. The PNG and the JSON do not belong together."
            )
        labels: Labels = np.array([known[int(key)] for key in keys], np.uint8)[place]
        return labels


def _recognises(root: Path) -> bool:
    if root.is_file():
        return is_coco_json(root) and root.name.startswith(_PREFIX)
    return bool(json_splits(root, _PREFIX))


FORMAT = DatasetFormat(
    open_coco_panoptic, lambda root: json_splits(root, _PREFIX), _recognises, "annotations/panoptic_SPLIT.json"
)
