"""Shapes drawn by annotators → pixels, by the rules of Pillow's ImageDraw, with which labelme itself fills its shapes.

Those rules, not OpenCV's, because OpenCV's polygons are half a pixel fatter all around: 0.2 % of a VOC photograph.
Points are float (N, 2), x and y in pixels from the top left corner; like Pillow, everything here drops the fraction.
Every function paints `label` into `labels`, uint8 (H, W), in place.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from edgeseg.types import Labels

Points = NDArray[np.float64]

MAX_COORDINATE = 1_000_000
"""Pixels; a point that lies farther out is no place in a picture, and every row up to it would be computed."""


def paint_polygon(labels: Labels, points: Points, label: int) -> None:
    """What the closed outline encloses, its corners and level edges; where it crosses itself, in and out alternate.

    A pixel is inside when its centre is; an edge that passes right between two centres belongs to the inner one.
    """
    corners = np.trunc(points).astype(np.int64)
    height, width = labels.shape
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    x0, y0, x1, y1 = max(0, left), max(0, top), min(width - 1, right), min(height - 1, bottom)
    if x0 > x1 or y0 > y1:
        return
    window = labels[y0 : y1 + 1, x0 : x1 + 1]
    rows, starts, ends = _spans(corners, y0, y1)
    starts, ends = np.maximum(starts, x0) - x0, np.minimum(ends, x1) - x0 + 1
    seen = starts < ends
    # How many spans begin less how many have ended, left to right: memory of two bytes a pixel, whatever the shape.
    depth = np.zeros((window.shape[0], window.shape[1] + 1), np.int16)
    np.add.at(depth, (rows[seen] - y0, starts[seen]), 1)
    np.add.at(depth, (rows[seen] - y0, ends[seen]), -1)
    window[np.cumsum(depth, axis=1, out=depth)[:, :-1] > 0] = label


def _spans(corners: NDArray[np.int64], first: int, last: int) -> tuple[NDArray[np.int64], ...]:
    """Row, first and last pixel of every stretch inside, in rows `first` to `last`; in 32-bit floats, as in Pillow."""
    rows, crossings = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    level: list[tuple[int, int, int]] = []
    for (xa, ya), (xb, yb) in zip(corners.tolist(), np.roll(corners, -1, axis=0).tolist(), strict=True):
        if ya == yb:
            level.append((ya, min(xa, xb), max(xa, xb)))
            continue
        level.append((ya, xa, xa))
        rows.append(np.arange(max(first, min(ya, yb)), min(last + 1, max(ya, yb))))
        slope = np.float32(xb - xa) / np.float32(yb - ya)
        crossings.append((rows[-1] - ya).astype(np.float32) * slope + np.float32(xa))
    y, x = np.concatenate(rows), np.concatenate(crossings)
    order = np.lexsort((x, y))
    y, x = y[order], x[order]
    edges = np.array([entry for entry in level if first <= entry[0] <= last], np.int64).reshape(-1, 3)
    return (
        np.concatenate([y[::2], edges[:, 0]]),
        np.concatenate([np.floor(x[::2] + 0.5).astype(np.int64), edges[:, 1]]),
        np.concatenate([np.ceil(x[1::2] - 0.5).astype(np.int64), edges[:, 2]]),
    )


def paint_rectangle(labels: Labels, points: Points, label: int) -> None:
    """The box between two opposite corners, both included."""
    corners = np.trunc(points).astype(int)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    labels[max(0, top) : max(0, bottom + 1), max(0, left) : max(0, right + 1)] = label


def paint_disc(labels: Labels, centre: Points, radius: float, label: int) -> None:
    """The ellipse that fits the pixels of the box `centre` ± `radius`."""
    first, last = np.trunc(centre - radius), np.trunc(centre + radius)
    left, top = np.maximum(first, 0).astype(int)
    right, bottom = np.minimum(last + 1, labels.shape[::-1]).astype(int)
    if left >= right or top >= bottom:
        return
    middle, half = (first + last) / 2, (last - first + 1) / 2
    x, y = (np.arange(left, right) - middle[0]) / half[0], (np.arange(top, bottom) - middle[1]) / half[1]
    labels[top:bottom, left:right][y[:, None] ** 2 + x**2 <= 1] = label


def paint_lines(labels: Labels, points: Points, width: int, label: int) -> None:
    """Straight strokes from point to point, `width` pixels wide, flat at both ends and round where they meet.

    An even width has no middle pixel: like Pillow, the stroke reaches one pixel farther right, and one farther down.
    """
    points = np.trunc(points)
    more, less = math.ceil((width - 1) / 2), math.floor((width - 1) / 2)
    for start, end in itertools.pairwise(points):
        if length := math.dist(start, end):
            dx, dy = (end - start) / length
            below, above = _rounded(-dy * less, dx * more), _rounded(dy * more, -dx * less)
            paint_polygon(labels, np.stack([start + below, end + below, end + above, start + above]), label)
    for joint in points[1:-1]:
        paint_disc(labels, joint, (width - 1) / 2, label)


def _rounded(x: float, y: float) -> NDArray[np.float64]:
    """To whole pixels: halves of x towards zero, halves of y away from it."""
    return np.copysign([math.ceil(abs(x) - 0.5), math.floor(abs(y) + 0.5)], [x, y])


def paint_patch(labels: Labels, patch: NDArray[np.bool_], left: int, top: int, label: int) -> None:
    """The set pixels of `patch`, bool (h, w), its corner at `left`, `top`; what lies outside is cut off."""
    height, width = labels.shape
    y0, x0 = max(0, top), max(0, left)
    inside = patch[y0 - top : max(0, height - top), x0 - left : max(0, width - left)]
    labels[y0 : y0 + inside.shape[0], x0 : x0 + inside.shape[1]][inside] = label
