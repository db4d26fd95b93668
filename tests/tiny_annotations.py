"""Folders as annotation tools leave them: labelme's JSON, and EISeg's label folder."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from tiny_datasets import random_frame, save_frame, save_grey, save_rgb

from edgeseg.types import Labels

HW = (40, 60)
POLYGON = [[5.7, 4.2], [40.1, 8.8], [30.5, 30.9], [8.0, 25.3]]


def shape(label: str, kind: str | None = "polygon", points: Any = POLYGON, **more: Any) -> dict[str, Any]:
    value = {"label": label, "points": points, "group_id": None, "flags": {}, **more}
    return value if kind is None else {**value, "shape_type": kind}


def png_base64(values: Any) -> str:
    with io.BytesIO() as stream:
        Image.fromarray(values).save(stream, "PNG")
        return base64.b64encode(stream.getvalue()).decode()


def annotation(shapes: Sequence[dict[str, Any]], image: str = "a.png", **more: Any) -> dict[str, Any]:
    return {
        "version": "5.4.1",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": image,
        "imageData": None,
        "imageHeight": HW[0],
        "imageWidth": HW[1],
        **more,
    }


def labelme(root: Path, shapes: Sequence[dict[str, Any]] | None = None, **more: Any) -> Path:
    """One annotated image `a`; by default a person and, over it, a car in a rectangle."""
    shapes = shapes or [shape("person"), shape("car", "rectangle", [[20.0, 10.0], [50.0, 20.0]])]
    return labelme_file(root, "a", shapes, **more)


def labelme_file(root: Path, name: str, shapes: Sequence[dict[str, Any]], **more: Any) -> Path:
    save_frame(root / f"{name}.png", random_frame(len(name), HW))
    (root / f"{name}.json").write_text(json.dumps(annotation(shapes, f"{name}.png", **more), indent=2))
    return root


EISEG_LIST = "1 road 128 64 128 \n7 person 220 20 60 \n3 sky 70 130 180 \n"
EISEG_POLYGONS = [
    (7, [[10.9, 5.2], [50.3, 9.7], [42.8, 33.1], [12.6, 30.4]]),
    (1, [[0.0, 20.0], [59.0, 18.5], [59.0, 39.0], [0.0, 39.0]]),
    (3, [[30.2, 0.0], [55.7, 0.0], [55.7, 15.9], [30.2, 15.9]]),
]
"""Label id and points, in the order they were drawn; person and road overlap, sky and person too."""


def eiseg_grey(polygons: Sequence[tuple[int, Any]] = EISEG_POLYGONS, order: Sequence[int] = (1, 7, 3)) -> Labels:
    """What EISeg fills its grey mask with: in the order of its label list, coordinates cut to whole pixels."""
    mask = np.zeros(HW, np.uint8)
    for value in order:
        for label, points in polygons:
            if label == value:
                cv2.fillPoly(mask, [np.array(points).astype(np.int32)], value)
    return mask


def eiseg(root: Path, kinds: Sequence[str] = ("grey", "json", "coco", "pseudo"), *, labels: bool = True) -> Path:
    """Image `street.jpg` with the labels in these forms, and an image that nobody has labelled yet."""
    save_frame(root / "street.jpg", random_frame(1, HW))
    save_frame(root / "later.jpg", random_frame(2, HW))
    folder = root / "label"
    folder.mkdir(parents=True)
    colours = {int(row.split()[0]): [int(word) for word in row.split()[2:]] for row in EISEG_LIST.splitlines()}
    names = {int(row.split()[0]): row.split()[1] for row in EISEG_LIST.splitlines()}
    if labels:
        (folder / "autosave_label.txt").write_text(EISEG_LIST)
    if "grey" in kinds:
        save_grey(folder / "street.png", eiseg_grey())
    if "pseudo" in kinds:
        table = np.zeros((256, 3), np.uint8)
        for value, colour in colours.items():
            table[value] = colour
        save_rgb(folder / "street_pseudo.png", table[eiseg_grey()])
    if "json" in kinds:
        entries = [
            {"name": names[value], "labelIdx": value, "color": colours[value], "points": points}
            for value, points in EISEG_POLYGONS
        ]
        (folder / "street.json").write_text(json.dumps(entries))
    if "coco" in kinds:
        (folder / "annotations.json").write_text(json.dumps(eiseg_coco(names, colours)))
    return root


def eiseg_coco(names: dict[int, str], colours: dict[int, list[int]]) -> dict[str, Any]:
    annotations = [
        {"id": number, "iscrowd": 0, "image_id": 1, "category_id": value, "segmentation": [np.ravel(points).tolist()]}
        for number, (value, points) in enumerate(EISEG_POLYGONS, start=1)
    ]
    return {
        "categories": [
            {"id": value, "name": name, "color": colours[value], "supercategory": ""} for value, name in names.items()
        ],
        "images": [{"id": 1, "width": HW[1], "height": HW[0], "file_name": "street.jpg"}],
        "annotations": annotations,
        "info": "",
        "licenses": [],
    }
