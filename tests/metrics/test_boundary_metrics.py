"""Boundary IoU and trimaps: by hand, against the definition class by class, and with void."""

from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np
import pytest

from edgeseg.data import Sample
from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import LabelMap, distinct_palette
from edgeseg.metrics.bands import near_border
from edgeseg.metrics.base import MetricConfig
from edgeseg.metrics.boundary import BoundaryIoU
from edgeseg.metrics.trimap import Trimap
from edgeseg.types import Labels

AB = LabelMap(("a", "b"), distinct_palette(2), void=255)
ABC = LabelMap(("a", "b", "c"), distinct_palette(3), void=3)
ONE_PIXEL = MetricConfig(boundary_ratio=0.001)


def sample(truth: Labels) -> Sample:
    return Sample("x", np.zeros((*truth.shape, 3), np.uint8), truth)


def halves(border: int, size_hw: tuple[int, int] = (6, 8)) -> Labels:
    """Class 0 to the left of the column `border`, class 1 from there on."""
    labels = np.zeros(size_hw, np.uint8)
    labels[:, border:] = 1
    return labels


def patches(rng: np.random.Generator, classes: int, size_hw: tuple[int, int]) -> Labels:
    small = rng.integers(0, classes, (5, 7), dtype=np.uint8)
    return np.asarray(cv2.resize(small, size_hw[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)


@pytest.mark.parametrize("frame_edge", [True, False])
@pytest.mark.parametrize("void", [3, 255])
def test_the_band_is_what_a_loop_over_pixels_finds(frame_edge: bool, void: int) -> None:
    rng = np.random.default_rng(4)
    labels = patches(rng, 3, (14, 19))
    labels[rng.random(labels.shape) < 0.2] = void
    for distance in (1, 2, 4):
        expected = np.zeros(labels.shape, np.bool_)
        for y, x in np.ndindex(labels.shape):
            for v in range(y - distance, y + distance + 1):
                for u in range(x - distance, x + distance + 1):
                    inside = 0 <= v < labels.shape[0] and 0 <= u < labels.shape[1]
                    other = labels[v, u] not in (void, labels[y, x]) if inside else frame_edge
                    expected[y, x] |= labels[y, x] != void and other
        assert np.array_equal(near_border(labels, void, distance, frame_edge=frame_edge), expected)


def test_boundary_iou_by_hand() -> None:
    """6×8, band of 1 pixel, edge included. Truth's outlines of a: 4×6 less its 2×4 inside: 16; of b the same.

    The prediction has the border one column further left: a 3×6 less 1×4 is 14, b 5×6 less 3×4 is 18. In both bands
    of a: columns 0 and 1..2 at the ends, column 2 is inside the true a (rows 1 to 4): 6 + 2 + 2 = 10, union 20.
    In both bands of b: column 7 and the ends of columns 4 to 6: 6 + 6 = 12, and column 4, which is inside the
    predicted b in rows 1 to 4; union 16 + 18 - 12 = 22.
    """
    metric = BoundaryIoU(AB, ONE_PIXEL)
    metric.update(sample(halves(4)), halves(3))
    result = metric.result()
    assert result.iou == pytest.approx({"a": 10 / 20, "b": 12 / 22})
    assert result.mean == pytest.approx((10 / 20 + 12 / 22) / 2)
    assert json.loads(json.dumps(result.to_dict()))["boundary_iou"] == result.iou
    assert result.table().rows[-1] == ("mean", "52.27")


def test_boundary_iou_is_the_published_definition_summed_over_frames() -> None:
    """Each class as a binary mask with a rim of zeros, eroded by a 3×3 square d times."""
    rng = np.random.default_rng(9)
    size_hw, distance = (90, 120), 3  # 2 % of the diagonal of 150
    metric, both, either = BoundaryIoU(ABC), np.zeros(3), np.zeros(3)

    def band(mask: Labels) -> Labels:
        rimmed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        eroded = cv2.erode(np.asarray(rimmed), np.ones((3, 3), np.uint8), iterations=distance)
        return np.asarray(mask - np.asarray(eroded)[1:-1, 1:-1], np.uint8)

    for _ in range(3):
        truth, prediction = patches(rng, 3, size_hw), patches(rng, 3, size_hw)
        metric.update(sample(truth), prediction)
        for index in range(3):
            true, said = (band((labels == index).astype(np.uint8)) for labels in (truth, prediction))
            both[index] += (true & said).sum()
            either[index] += (true | said).sum()
    assert list(metric.result().iou.values()) == pytest.approx(list(both / either))


def test_what_is_said_of_void_moves_no_boundary() -> None:
    truth = halves(4)
    truth[2:4, 3:6] = 255
    right, wild = halves(4), halves(4)
    wild[truth == 255] = [0, 1, 0, 1, 0, 1]
    for prediction in (right, wild):
        metric = BoundaryIoU(AB, ONE_PIXEL)
        metric.update(sample(truth), prediction)
        assert metric.result().iou == {"a": 1.0, "b": 1.0}


def test_trimap_by_hand() -> None:
    """Within 1 pixel: columns 3 and 4, of which 4 is wrong. Within 2: columns 2 to 5, 6 pixels of 24 wrong."""
    metric = Trimap(AB, MetricConfig(trimap_widths_px=(1, 2, 20)))
    metric.update(sample(halves(4)), halves(5))
    one, two, all_of_it = metric.result().bands
    assert (one.pixels, two.pixels, all_of_it.pixels) == (12, 24, 48)
    assert [one.accuracy, one.miou] == pytest.approx([1 / 2, (6 / 12 + 0) / 2])
    assert [two.accuracy, two.miou] == pytest.approx([3 / 4, (12 / 18 + 6 / 12) / 2])
    assert all_of_it.accuracy == pytest.approx(42 / 48)


def test_void_is_no_border_of_a_trimap_and_is_crossed_by_a_wider_one() -> None:
    truth = halves(4)
    truth[:, 3:5] = 255
    metric = Trimap(AB, MetricConfig(trimap_widths_px=(1, 2, 3)))
    metric.update(sample(truth), halves(4))
    assert [band.pixels for band in metric.result().bands] == [0, 0, 12]
    assert metric.result().bands[0].accuracy is None


@pytest.mark.parametrize("metric_type", [BoundaryIoU, Trimap])
def test_nothing_but_void_one_class_and_no_frame(metric_type: type[BoundaryIoU] | type[Trimap]) -> None:
    metric = metric_type(AB)
    assert json.loads(json.dumps(metric.result().to_dict()))["frames"] == 0
    metric.update(sample(np.full((6, 8), 255, np.uint8)), halves(4))
    assert "-" in metric.result().table().rows[0]
    metric.update(sample(np.zeros((6, 8), np.uint8)), np.zeros((6, 8), np.uint8))
    value = metric.result().to_dict()
    # The frame's edge is an outline of a, but no border of a trimap.
    assert value.get("boundary_iou", {"a": 1.0, "b": None}) == {"a": 1.0, "b": None}
    assert all(band["miou"] is None for band in value.get("bands", []))


def test_labels_that_cannot_be_counted() -> None:
    metric = Trimap(AB)
    wrong: list[tuple[Any, str]] = [
        (halves(4)[1:], "labels of shape"),
        (halves(4) + np.uint8(1), "prediction has id 2; classes are 0..1"),
        (halves(4).astype(np.int64), "both must be uint8"),
    ]
    for prediction, problem in wrong:
        with pytest.raises(DataError, match=problem):
            metric.update(sample(halves(4)), prediction)
    with pytest.raises(DataError, match="scores of shape"):
        metric.update(sample(halves(4)), halves(4), np.zeros((3, 6, 8), np.float32))
    assert metric.frames == 0


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"boundary_ratio": 0.0}, "boundary_ratio=0.0"),
        ({"trimap_widths_px": (4, 2)}, "trimap_widths_px"),
        ({"trimap_widths_px": ()}, "trimap_widths_px"),
        ({"object_heights_px": (0, 2)}, "object_heights_px"),
        ({"object_min_pixels": 0}, "object_min_pixels=0"),
    ],
)
def test_settings_are_checked_at_birth(settings: dict[str, float], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        MetricConfig(**settings)  # type: ignore[arg-type]
