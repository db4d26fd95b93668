"""Shapes become the pixels that Pillow makes of them, which is how labelme itself fills its shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from edgeseg.data import shapes as paint
from edgeseg.types import Labels

HW = (150, 200)


def by_pillow(draw: Callable[[ImageDraw.ImageDraw], None]) -> Labels:
    picture = Image.fromarray(np.zeros(HW, np.uint8))
    draw(ImageDraw.Draw(picture))
    return np.array(picture)


def pairs(points: Any) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points]


def blank() -> Labels:
    return np.zeros(HW, np.uint8)


def differing(ours: Labels, theirs: Labels) -> int:
    assert theirs.any()
    return int(np.count_nonzero(ours != theirs))


@pytest.mark.parametrize("seed", range(40))
def test_polygons(seed: int) -> None:
    """Stars around a centre, partly outside the picture: to the pixel, but for the tips of very thin spikes."""
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(4, 30)))
    radius = rng.uniform(30, 120, len(angle))
    points = np.stack([100 + radius * np.cos(angle), 75 + radius * np.sin(angle)], axis=1)
    labels = blank()
    paint.paint_polygon(labels, points, 1)
    assert differing(labels, by_pillow(lambda draw: draw.polygon(pairs(points), fill=1, outline=1))) <= 8


@pytest.mark.parametrize(
    "points",
    [
        [(10, 10), (60, 10), (60, 40), (10, 40)],  # level and upright edges
        [(10, 10), (60, 60), (60, 10), (10, 60)],  # a bow tie
        [(10, 10), (50, 90), (90, 10), (70, 90), (30, 20)],  # crossing itself
        [(20, 20), (90, 20), (50, 20)],  # no area at all
        [(-50, -50), (500, -20), (300, 400)],  # larger than the picture
    ],
)
def test_polygons_to_the_pixel(points: list[tuple[int, int]]) -> None:
    labels = blank()
    paint.paint_polygon(labels, np.array(points, np.float64), 1)
    assert differing(labels, by_pillow(lambda draw: draw.polygon(points, fill=1, outline=1))) == 0


@pytest.mark.parametrize("seed", range(10))
def test_rectangles_and_lines_to_the_pixel(seed: int) -> None:
    ends = np.random.default_rng(seed).uniform(5, 140, (2, 2))
    labels = blank()
    paint.paint_rectangle(labels, ends, 1)
    box = pairs([ends.min(axis=0), ends.max(axis=0)])
    assert differing(labels, by_pillow(lambda draw: draw.rectangle(box, fill=1, outline=1))) == 0
    labels = blank()
    paint.paint_lines(labels, ends, 10, 1)
    assert differing(labels, by_pillow(lambda draw: draw.line(pairs(ends), fill=1, width=10))) == 0


@pytest.mark.parametrize("seed", range(10))
def test_discs_and_line_strips_nearly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    centre, radius = rng.uniform(0, 150, 2), rng.uniform(4, 80)
    labels = blank()
    paint.paint_disc(labels, centre, radius, 1)
    theirs = by_pillow(lambda draw: draw.ellipse(pairs([centre - radius, centre + radius]), fill=1, outline=1))
    assert differing(labels, theirs) <= 2 + 0.5 * radius
    strip = rng.uniform(10, 140, (4, 2))
    labels = blank()
    paint.paint_lines(labels, strip, 10, 1)
    theirs = by_pillow(lambda draw: draw.line(pairs(strip), fill=1, width=10, joint="curve"))
    assert differing(labels, theirs) <= 0.02 * np.count_nonzero(theirs)


def test_a_point_has_the_size_that_labelme_gives_it() -> None:
    labels = blank()
    paint.paint_disc(labels, np.array([50.9, 60.2]), 5, 3)
    theirs = by_pillow(lambda draw: draw.ellipse((45.9, 55.2, 55.9, 65.2), fill=3, outline=3))
    assert differing(labels, theirs) == 0


@pytest.mark.parametrize("far", [-30_000.0, 30_000.0, 900_000.0])
def test_what_lies_outside_paints_nothing(far: float) -> None:
    labels = blank()
    square = np.array([[far, far], [far + 20, far], [far + 20, far + 20], [far, far + 20]])
    paint.paint_polygon(labels, square, 1)
    paint.paint_rectangle(labels, square, 1)
    paint.paint_disc(labels, square[0], 9, 1)
    paint.paint_lines(labels, square, 10, 1)
    paint.paint_patch(labels, np.ones((20, 20), bool), int(far), int(far), 1)
    assert not labels.any()


def test_patches_are_cut_at_the_border() -> None:
    for left, top in ((-5, -7), (190, 140), (-3, 140), (50, 60)):
        labels, wide = blank(), np.zeros((400, 400), np.uint8)
        patch = np.random.default_rng(0).random((20, 30)) < 0.5
        paint.paint_patch(labels, patch, left, top, 2)
        wide[100 + top : 120 + top, 100 + left : 130 + left] = 2 * patch
        assert np.array_equal(labels, wide[100:250, 100:300])
