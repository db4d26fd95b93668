"""Figures of agreement, checked against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeseg.graph.agreement import AgreementMeter, class_border, image_border
from edgeseg.labels import LabelMap

LABEL_MAP = LabelMap(("left", "right", "none"), ((0, 0, 0), (9, 9, 9), (99, 99, 99)))


def _logits(height: int = 20, width: int = 30, edge: int = 10, lead: float = 1.0) -> NDArray[np.float32]:
    """Class 0 left of column `edge`, class 1 from there on, each ahead by `lead`."""
    logits = np.zeros((3, height, width), np.float32)
    logits[0, :, :edge] = lead
    logits[1, :, edge:] = lead
    logits[2] = -1.0
    return logits


def _meter(*pairs: tuple[NDArray[np.float32], NDArray[np.float32]]) -> AgreementMeter:
    meter = AgreementMeter(LABEL_MAP)
    for reference, candidate in pairs:
        meter.update(reference, candidate)
    return meter


def test_the_band_is_three_pixels_on_each_side() -> None:
    labels = _logits().argmax(0).astype(np.uint8)
    band = class_border(labels)
    assert np.flatnonzero(band.any(axis=0)).tolist() == [7, 8, 9, 10, 11, 12]
    assert band[:, 7:13].all()


def test_without_a_border_there_is_no_band() -> None:
    assert not class_border(np.ones((9, 9), np.uint8)).any()
    assert _meter((_logits(edge=0), _logits(edge=0))).result().border_agreement is None


def test_the_frame_is_eight_pixels_wide() -> None:
    frame = image_border((20, 30))
    assert frame.sum() == 20 * 30 - (20 - 16) * (30 - 16)
    assert not frame[8:-8, 8:-8].any()


def test_an_image_smaller_than_its_frame_is_all_frame() -> None:
    assert image_border((10, 12)).all()


def test_equal_logits_agree_everywhere() -> None:
    result = _meter((_logits(), _logits())).result()
    assert (result.argmax_agreement, result.border_agreement, result.image_border_agreement) == (1.0, 1.0, 1.0)
    assert (result.max_abs, result.mean_abs, result.flip_margin, result.miou) == (0.0, 0.0, 0.0, 1.0)
    assert result.iou == {"left": 1.0, "right": 1.0, "none": None}


def test_a_border_moved_by_one_column() -> None:
    result = _meter((_logits(), _logits(edge=11))).result()
    assert result.pixels == 600
    assert result.argmax_agreement == pytest.approx(1 - 20 / 600)
    assert result.border_agreement == pytest.approx(1 - 20 / 120)
    # Column 10 crosses the frame in its upper and lower eight rows.
    assert result.image_border_agreement == pytest.approx(1 - 16 / 544)
    assert result.max_abs == 1.0
    assert result.mean_abs == pytest.approx(2 * 20 / (3 * 600))
    assert result.peak == 1.0
    assert result.flip_margin == 1.0
    assert result.iou["left"] == pytest.approx(200 / 220)
    assert result.iou["right"] == pytest.approx(380 / 400)


def test_frames_of_any_size_add_up_by_pixels() -> None:
    small, large = _logits(10, 20, 5), _logits(30, 40, 5)
    result = _meter((small, small), (large, _logits(30, 40, 6))).result()
    assert result.frames == 2
    assert result.by_frame == (1.0, 1 - 30 / 1200)
    assert result.argmax_agreement == pytest.approx(1 - 30 / 1400)


def test_rounding_turns_only_pixels_whose_lead_is_small() -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(3, 40, 50)).astype(np.float32)
    candidate = reference + rng.uniform(-0.01, 0.01, reference.shape).astype(np.float32)
    result = _meter((reference, candidate)).result()
    assert result.argmax_agreement < 1.0
    assert 0 < result.flip_margin <= 2 * result.max_abs


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_logit_that_is_no_number_is_an_infinite_error(value: float) -> None:
    candidate = _logits()
    candidate[2, 3, 4] = value
    result = _meter((_logits(), candidate), (_logits(), _logits())).result()
    assert not result.finite
    assert result.max_abs == np.inf


def test_float16_is_compared_in_float32() -> None:
    reference = _logits(lead=1.0)
    result = _meter((reference, reference.astype(np.float16))).result()
    assert result.max_abs == 0.0
