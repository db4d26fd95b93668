"""COCO's outlines, polygons and run lengths, → masks, through pycocotools, which is given nothing that it cannot take.

pycocotools crashes on a coordinate that is no number, reads a polygon of two points as a box, and leaves memory
as it was where run lengths end too early (version 2.0.11): so outlines are checked here first.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.lazy import require

_MAX_OUTLINE_PX = 2_000_000
"""pycocotools walks an outline in steps of a fifth of a pixel, 8 bytes each: 80 MB at most."""


def run_lengths(segmentation: Any, height: int, width: int) -> list[dict[str, Any]]:
    """An annotation's `segmentation` → pycocotools' compressed run lengths, one for each of its parts.

    A polygon of one or two points covers nothing and is left out. What reaches beyond the image is cut off at its
    border. Raises `ValueError` saying what is wrong with an outline that cannot be drawn.
    """
    coder = require("pycocotools.mask", "train")
    if isinstance(segmentation, dict):
        runs = {"size": [height, width], "counts": _counts(segmentation, height, width)}
        return [coder.frPyObjects(runs, height, width)]
    polygons = [points for points in map(_points, segmentation) if len(points) >= 6]
    for points in polygons:
        _check_points(points, height, width)
    return list(coder.frPyObjects([points.tolist() for points in polygons], height, width)) if polygons else []


def union(parts: Sequence[dict[str, Any]]) -> NDArray[np.bool_]:
    """Bool (H, W): what any of these run lengths covers."""
    coder = require("pycocotools.mask", "train")
    with warnings.catch_warnings():
        # NumPy 2 on how pycocotools 2.0.11 hands its memory over.
        warnings.simplefilter("ignore", DeprecationWarning)
        covered: NDArray[np.bool_] = coder.decode(coder.merge(list(parts))).astype(bool)
    return covered


def has_outline(segmentation: Any) -> bool:
    """Whether there is anything to draw at all; a box alone leaves [] or nothing."""
    return isinstance(segmentation, (list, dict)) and len(segmentation) > 0


def _points(polygon: Any) -> NDArray[np.float64]:
    """x1, y1, x2, y2, … as JSON has them."""
    if not isinstance(polygon, list) or any(type(value) not in (int, float) for value in polygon):
        raise ValueError("a polygon that is no list of numbers")
    if len(polygon) % 2:
        raise ValueError(f"a polygon of {len(polygon)} numbers, where each point has two")
    return np.array(polygon, np.float64)


def _check_points(points: NDArray[np.float64], height: int, width: int) -> None:
    """Rounding puts points a little outside; a whole image's size beyond it, the numbers are of another image."""
    x, y = points[0::2], points[1::2]
    for values, size, axis in ((x, width, "x"), (y, height, "y")):
        # Written so that NaN fails it.
        if not (values.min() >= -size and values.max() <= 2 * size):
            worst = next(value for value in values.tolist() if not -size <= value <= 2 * size)
            raise ValueError(f"a polygon with a point at {axis}={worst:g}, far outside the image of {width}×{height}")
    steps = np.maximum(np.abs(x - np.roll(x, 1)), np.abs(y - np.roll(y, 1)))
    if steps.sum() > _MAX_OUTLINE_PX:
        raise ValueError(f"a polygon whose outline is {steps.sum():.0f} pixels long")


def _counts(runs: dict[str, Any], height: int, width: int) -> list[int]:
    """Run lengths, column by column, starting with those outside; they must fill the image exactly."""
    if list(runs.get("size", ())) != [height, width]:
        raise ValueError(f"run lengths of size {runs.get('size')} (height, width) for an image of {width}×{height}")
    counts = runs.get("counts")
    if isinstance(counts, str):
        counts = _decompress(counts)
    if not isinstance(counts, list) or any(type(count) is not int or count < 0 for count in counts):
        raise ValueError("run lengths that are neither a list of whole numbers nor COCO's compressed text")
    if sum(counts) != height * width:
        raise ValueError(f"run lengths that cover {sum(counts)} of {height * width} pixels")
    return counts


def _decompress(text: str) -> list[int]:
    """COCO's text form → run lengths (rleToString in pycocotools' common/maskApi.c).

    A character from '0' on holds 5 bits, low ones first, and a sixth if more follow; the highest of the last is the
    sign. From the fourth number on it is the difference to the run before the last.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("compressed run lengths with a character that is none of theirs")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("compressed run lengths that break off")
    return counts
