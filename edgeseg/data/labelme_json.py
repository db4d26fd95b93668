"""One labelme annotation file → its image and its label map (github.com/wkentaro/labelme, versions 2 to 6).

Shapes are painted in the order of the file, a later one over an earlier one, as labelme's own conversion scripts do:
lines 10 pixels wide, points as discs of 5 pixels radius. What identifies instances (group_id) plays no part.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from edgeseg.data import shapes as paint
from edgeseg.data.images import decode_image, decode_mask, read_upright_image
from edgeseg.errors import DataError
from edgeseg.types import Frame, Labels

_LINE_WIDTH = 10
_POINT_RADIUS = 5
"""Pixels: defaults of labelme's shape_to_mask (labelme/utils/shape.py)."""

_POINTS = {
    "polygon": (3, math.inf),
    "oriented_rectangle": (4, 4),
    "rectangle": (2, 4),
    "circle": (2, 2),
    "line": (2, 2),
    "linestrip": (2, math.inf),
    "point": (1, 1),
    "mask": (2, 2),
}
"""Shape type → least and most points. Of a rectangle labelme writes two corners; other tools may write all four."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """One annotated shape: `kind` a key of labelme's shape types, `mask` a base64 PNG where the kind is mask."""

    label: str
    kind: str
    points: paint.Points
    mask: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """What a file says; `size_hw` and `image_data` (base64) are None where it does not."""

    path: Path
    shapes: tuple[Shape, ...]
    image_path: str
    image_data: str | None
    size_hw: tuple[int, int] | None


def read_json(path: Path) -> Any:
    """The value in a JSON file; raises `DataError` naming the file and where it breaks."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise DataError(f"{path}: broken JSON at {where} ({error.msg}). Save the annotation again.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}. Save the annotation again.") from error
    except RecursionError as error:
        raise DataError(f"{path}: JSON nested too deep for an annotation. Save it again.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check the path and its permissions.") from error


def read_annotation(path: Path) -> Annotation:
    """A labelme file, checked; raises `DataError` naming the file and the shape that cannot be used."""
    value = read_json(path)
    if not isinstance(value, dict) or not isinstance(value.get("shapes"), list):
        raise DataError(f"{path}: no list of shapes, so not a labelme annotation. Take it out of the folder.")
    height, width = value.get("imageHeight"), value.get("imageWidth")
    size_hw = (height, width) if isinstance(height, int) and isinstance(width, int) else None
    image_path, image_data = value.get("imagePath"), value.get("imageData")
    return Annotation(
        path,
        tuple(_shape(path, number, shape) for number, shape in enumerate(value["shapes"], start=1)),
        image_path if isinstance(image_path, str) else "",
        image_data if isinstance(image_data, str) else None,
        size_hw,
    )


def _shape(path: Path, number: int, value: Any) -> Shape:
    problem = f"{path}: shape {number}"
    if not isinstance(value, dict) or not isinstance(value.get("label"), str):
        raise DataError(f"{problem} has no label. Label or delete it.")
    kind = str(value.get("shape_type") or "polygon")  # versions before 3.2 knew polygons only
    problem = f"{problem} ({value['label']!r}, {kind!r})"
    if kind not in _POINTS:
        raise DataError(f"{problem} is of an unknown type; known are: {', '.join(_POINTS)}. Draw it as one of them.")
    try:
        points = np.array(value["points"], np.float64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{problem} has no list of x, y points. Delete or redraw it.") from error
    least, most = _POINTS[kind]
    if points.ndim != 2 or points.shape[1] != 2 or not least <= len(points) <= most:
        count = f"{least}" if most == least else f"at least {least}" if most == math.inf else f"{least} to {most}"
        raise DataError(f"{problem} has points of shape {points.shape}; expected {count} of x, y. Delete or redraw it.")
    if not (np.abs(points) <= paint.MAX_COORDINATE).all():
        raise DataError(f"{problem} has a point that is no place in a picture. Delete or redraw it.")
    mask = value.get("mask")
    return Shape(value["label"], kind, points, mask if isinstance(mask, str) else None)


def read_annotated_image(annotation: Annotation) -> Frame:
    """BGR uint8 (H, W, 3): the embedded image, else the file, turned upright as labelme does before anyone draws.

    Raises `DataError` for an image that is missing, cannot be used, or has another size than the annotation says.
    """
    source, image = _image(annotation)
    if annotation.size_hw is not None and annotation.size_hw != image.shape[:2]:
        (height, width), (said_height, said_width) = image.shape[:2], annotation.size_hw
        raise DataError(
            f"{annotation.path}: drawn on {said_width}×{said_height} pixels, but {source} has {width}×{height}. "
            "Restore the image that was annotated, or annotate this one."
        )
    return image


def _image(annotation: Annotation) -> tuple[Path, Frame]:
    if annotation.image_data is None:
        source = image_file(annotation)
        return source, read_upright_image(source)
    source = annotation.path.with_name(f"{annotation.path.name} (imageData)")
    return source, decode_image(source, _from_base64(annotation.path, "imageData", annotation.image_data))


def image_file(annotation: Annotation) -> Path:
    """The file that the image is in, the annotation itself where it is embedded; raises `DataError` for none.

    A folder that has moved often keeps its images beside the annotations, so a file of this name is looked for there.
    """
    if annotation.image_data is not None:
        return annotation.path
    relative = PureWindowsPath(annotation.image_path)  # takes separators of both systems
    beside = annotation.path.parent
    for source in (beside / relative.as_posix(), beside / relative.name):
        if os.path.isfile(source):  # noqa: PTH113 (Path.is_file raises for a name that is too long to be one)
            return source
    raise DataError(
        f"{annotation.path}: its image {annotation.image_path!r} is neither embedded nor there. Put it beside the file."
    )


def paint_annotation(annotation: Annotation, ids: Mapping[str, int], size_hw: tuple[int, int]) -> Labels:
    """Class ids uint8 (H, W), 0 where there is no shape; raises `DataError` for a label that is not in `ids`."""
    labels = np.zeros(size_hw, np.uint8)
    for number, shape in enumerate(annotation.shapes, start=1):
        if shape.label not in ids:
            raise DataError(
                f"{annotation.path}: shape {number} has the label {shape.label!r}, which is no class here. Add it to "
                "labels.txt or correct it."
            )
        _paint(annotation.path, number, shape, labels, ids[shape.label])
    return labels


def _paint(path: Path, number: int, shape: Shape, labels: Labels, label: int) -> None:
    points = shape.points
    if shape.kind == "rectangle":
        paint.paint_rectangle(labels, points, label)
    elif shape.kind == "circle":
        paint.paint_disc(labels, points[0], math.dist(points[0], points[1]), label)
    elif shape.kind == "point":
        paint.paint_disc(labels, points[0], _POINT_RADIUS, label)
    elif shape.kind in ("line", "linestrip"):
        paint.paint_lines(labels, points, _LINE_WIDTH, label)
    elif shape.kind == "mask":
        _paint_mask(path, number, shape, labels, label)
    else:
        paint.paint_polygon(labels, points, label)


def _paint_mask(path: Path, number: int, shape: Shape, labels: Labels, label: int) -> None:
    """The PNG lies at the first point; labelme writes it one pixel larger than the box between the two points."""
    problem = f"{path}: shape {number} ({shape.label!r}, mask)"
    if shape.mask is None:
        raise DataError(f"{problem} has no mask. Delete or redraw it.")
    png = decode_mask(Path(problem), _from_base64(path, f"the mask of shape {number}", shape.mask))
    (left, top), (right, bottom) = np.rint(shape.points).astype(int).tolist()
    if abs(png.width - (right - left)) > 1 or abs(png.height - (bottom - top)) > 1:
        raise DataError(
            f"{problem} is {png.width}×{png.height} pixels for a box of {right - left}×{bottom - top}. Redraw it."
        )
    if not png.single_channel:
        raise DataError(f"{problem} is a colour picture; labelme writes grey ones. Redraw it.")
    paint.paint_patch(labels, png.values().astype(bool), left, top, label)


def _from_base64(path: Path, what: str, text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"{path}: {what} is not base64 ({error}). Save the annotation again.") from error
