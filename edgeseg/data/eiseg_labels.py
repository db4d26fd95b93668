"""What EISeg writes beside its masks: the list of labels, and polygons as its own JSON or as COCO's.

From the source of EISeg 0.4.1 up to its last state (github.com/PaddlePaddle/PaddleSeg, EISeg/eiseg/app.py,
util/label.py, util/coco/coco.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.data.labelme_json import read_json
from edgeseg.data.masks import MaskCoding
from edgeseg.data.pairs import read_list
from edgeseg.data.values import ValueTable
from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import VOID_COLOUR, LabelMap, Rgb, distinct_palette
from edgeseg.types import Labels

_VOID = 255
_MAX_COORDINATE = 32767
"""Pixels; OpenCV fills polygons exactly up to 16 bits and a sign."""

_MALFORMED = (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError)
"""What reading JSON of another shape than expected raises."""


@dataclass(frozen=True, slots=True, eq=False)
class Polygon:
    """An outline, float (N, 2) of x, y in pixels, and the id of its label."""

    value: int
    points: NDArray[np.float64]


@dataclass(frozen=True)
class LabelList:
    """EISeg's labels in the order of its list, which is the order of painting: (id, name, RGB colour)."""

    source: Path
    rows: tuple[tuple[int, str, Rgb], ...]

    def __post_init__(self) -> None:
        values = [value for value, _, _ in self.rows]
        if len(set(values)) != len(values) or not all(0 <= value < _VOID for value in values):
            raise DataError(f"{self.source}: label ids {values}; expected each id once, 0 to {_VOID - 1}.")
        try:
            _ = self.table
        except ConfigError as error:
            raise DataError(f"{self.source}: {error}") from error

    @cached_property
    def table(self) -> ValueTable:
        """Classes in the order of their ids, without gaps, and the coding of grey masks.

        Id 0, what nobody labelled, is rarely in the list: it becomes the class background.
        """
        known = {value: (name, colour) for value, name, colour in self.rows}
        named = "unlabelled" if "background" in [name for name, _ in known.values()] else "background"
        known.setdefault(0, (named, VOID_COLOUR))
        ordered = sorted(known.items())
        label_map = LabelMap(
            tuple(name for _, (name, _) in ordered), tuple(colour for _, (_, colour) in ordered), _VOID
        )
        return ValueTable(label_map, {value: index for index, (value, _) in enumerate(ordered)})

    @property
    def label_map(self) -> LabelMap:
        """Classes, palette and void id."""
        return self.table.label_map

    def colours(self) -> MaskCoding:
        """The coding of pseudo-colour masks; raises `DataError` where two labels have one colour."""
        try:
            return MaskCoding(self.label_map, "colours")
        except ConfigError as error:
            raise DataError(f"{self.source}: {error} Or save the grey masks.") from error

    def paint(self, source: Path, polygons: Iterable[Polygon], size_hw: tuple[int, int]) -> Labels:
        """Class ids uint8 (H, W) as EISeg fills its grey masks: a label farther down its list covers one above.

        Raises `DataError`, naming `source`, for a polygon whose label is not in the list.
        """
        labels = np.zeros(size_hw, np.uint8)
        position = {value: index for index, (value, _, _) in enumerate(self.rows)}
        drawn = list(polygons)
        if unknown := sorted({polygon.value for polygon in drawn} - position.keys()):
            raise DataError(f"{source}: label id {unknown[0]} is not in {self.source}. Add it, or relabel the polygon.")
        for polygon in sorted(drawn, key=lambda polygon: position[polygon.value]):
            cv2.fillPoly(labels, [np.trunc(polygon.points).astype(np.int32)], self.table.ids[polygon.value])
        return labels


def read_label_list(path: Path) -> LabelList:
    """Lines of `id name` or `id name red green blue`; raises `DataError` naming the line that is neither."""
    rows = []
    for line in read_list(path):
        words = line.split()
        try:
            value, name, *colour = int(words[0]), words[1], *(int(word) for word in words[2:])
            rows.append((value, name, _colour(colour, value)))
        except (IndexError, ValueError) as error:
            raise DataError(f"{path}: {line!r} is no label; expected: id name red green blue.") from error
    return LabelList(path, tuple(rows))


def read_coco(path: Path) -> tuple[LabelList, dict[str, list[Polygon]]]:
    """Labels, and the polygons by image name, of the annotations.json that EISeg writes; raises `DataError`."""
    value = read_json(path)
    try:
        labels = LabelList(
            path,
            tuple(
                (int(entry["id"]), str(entry["name"]), _colour(entry.get("color") or [], int(entry["id"])))
                for entry in value["categories"]
            ),
        )
        names = {entry["id"]: str(entry["file_name"]) for entry in value["images"]}
        polygons: dict[str, list[Polygon]] = {name: [] for name in names.values()}
        for entry in value["annotations"]:
            for outline in entry["segmentation"]:
                points = np.array(outline, np.float64).reshape(-1, 2)
                polygons[names[entry["image_id"]]].append(_polygon(path, entry["category_id"], points))
        return labels, polygons
    except _MALFORMED as error:
        raise DataError(f"{path}: not COCO JSON as EISeg writes it ({error!r}). Save it from EISeg again.") from error


def read_polygons(path: Path) -> tuple[list[Polygon], list[tuple[int, str, Rgb]]]:
    """Polygons of one image from EISeg's own JSON, and the labels that it names; raises `DataError`."""
    value = read_json(path)
    try:
        polygons = [_polygon(path, entry["labelIdx"], np.array(entry["points"], np.float64)) for entry in value]
        labels = {
            int(entry["labelIdx"]): (str(entry["name"]), _colour(entry["color"], int(entry["labelIdx"])))
            for entry in value
        }
        return polygons, [(index, *label) for index, label in labels.items()]
    except _MALFORMED as error:
        raise DataError(f"{path}: not JSON as EISeg writes it ({error!r}). Save it from EISeg again.") from error


def _polygon(path: Path, value: Any, points: NDArray[np.float64]) -> Polygon:
    if points.ndim != 2 or points.shape[1] != 2 or not (np.abs(points) <= _MAX_COORDINATE).all():
        raise DataError(f"{path}: a polygon of label {value} has points that are no places in a picture. Redraw it.")
    return Polygon(int(value), points)


def _colour(values: list[Any], value: int) -> Rgb:
    """The colour given, or, as EISeg takes labels without one, another for each id."""
    if not values:
        return distinct_palette(_VOID + 1)[value]
    red, green, blue = (int(number) for number in values)
    return red, green, blue
