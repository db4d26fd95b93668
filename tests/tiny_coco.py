"""COCO folders of a few small pictures: instances, panoptic segments and stuff masks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tiny_datasets import random_frame, save_frame, save_grey, save_rgb

from edgeseg.types import Labels

Hw = tuple[int, int]
HW: Hw = (20, 30)
CATEGORIES = {1: "person", 3: "car", 17: "cat"}
"""With gaps, as COCO's ids have."""


def box(x: float, y: float, width: float, height: float) -> list[float]:
    """A rectangle as a polygon; between whole numbers it covers exactly those pixels."""
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def annotation(number: int, image: int, category: int, segmentation: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": segmentation,
        "iscrowd": 0,
        **more,
    }


def runs(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Uncompressed run lengths, column by column, counted slowly."""
    counts, current = [0], False
    for value in mask.T.ravel().tolist():
        if value != current:
            counts.append(0)
            current = value
        counts[-1] += 1
    return {"size": list(mask.shape), "counts": counts}


def content(
    annotations: Sequence[Mapping[str, Any]], images: int = 2, categories: Mapping[int, str] = CATEGORIES
) -> dict[str, Any]:
    """Image i is called 00000i.jpg and has id 10 + i."""
    return {
        "info": {"description": "drawn by a test"},
        "licenses": [],
        "images": [{"id": 10 + i, "file_name": f"{i:06d}.png", "height": HW[0], "width": HW[1]} for i in range(images)],
        "annotations": list(annotations),
        "categories": [{"id": key, "name": name, "supercategory": "x"} for key, name in categories.items()],
    }


def instances(root: Path, value: Mapping[str, Any], split: str = "val2017") -> Path:
    """The JSON, and a random picture for each entry of `images`."""
    path = root / "annotations" / f"instances_{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    for number, image in enumerate(value["images"]):
        save_frame(root / split / image["file_name"], random_frame(number, HW))
    return root


def panoptic(root: Path, segments: Sequence[Mapping[int, int]], split: str = "val2017") -> list[NDArray[np.int64]]:
    """For each image its segments (id → category); gives the segment ids (H, W) that were drawn, 0 among them."""
    drawn, annotations = [], []
    value = content([], len(segments))
    for number, image in enumerate(value["images"]):
        known = np.array([0, *segments[number]], np.int64)
        ids = np.random.default_rng(number).choice(known, HW)
        drawn.append(ids)
        rgb = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=-1).astype(np.uint8)
        save_rgb(root / f"annotations/panoptic_{split}/{number:06d}.png", rgb)
        save_frame(root / split / image["file_name"], random_frame(number, HW))
        info = [{"id": key, "category_id": category, "iscrowd": 0} for key, category in segments[number].items()]
        annotations.append({"image_id": image["id"], "file_name": f"{number:06d}.png", "segments_info": info})
    (root / f"annotations/panoptic_{split}.json").write_text(json.dumps({**value, "annotations": annotations}))
    return drawn


def stuff(root: Path, masks: Path, values: Mapping[str, Labels], images: Path) -> Path:
    """8-bit masks by name below `root/masks`, pictures below `root/images`."""
    for number, (name, mask) in enumerate(values.items()):
        save_grey(root / masks / f"{name}.png", mask)
        save_frame(root / images / f"{name}.jpg", random_frame(number, (mask.shape[0], mask.shape[1])))
    return root
