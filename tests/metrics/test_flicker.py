"""Flicker on clips whose motion is known: a textured picture that stands, or moves by whole pixels."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from edgeseg.data import Sample
from edgeseg.errors import DataError
from edgeseg.labels import LabelMap, distinct_palette
from edgeseg.metrics.evaluate import measure_flicker
from edgeseg.metrics.flicker import Flicker
from edgeseg.metrics.motion import motion_between
from edgeseg.types import Frame, Labels

AB = LabelMap(("a", "b"), distinct_palette(2), void=255)
HW = (80, 120)


def texture(seed: int, width: int = 200) -> Frame:
    grey = np.random.default_rng(seed).integers(0, 256, (HW[0], width), dtype=np.uint8)
    smooth = cv2.normalize(cv2.GaussianBlur(grey, (0, 0), 2.0), np.zeros_like(grey), 0, 255, cv2.NORM_MINMAX)
    return np.repeat(np.asarray(smooth, np.uint8)[..., np.newaxis], 3, axis=2)


def view(picture: Frame, left: int) -> Frame:
    return np.ascontiguousarray(picture[:, left : left + HW[1]])


def split(column: int) -> Labels:
    labels = np.zeros(HW, np.uint8)
    labels[:, column:] = 1
    return labels


def test_motion_of_whole_pixels_is_found() -> None:
    """The picture moves 4 pixels to the left: what is at x was at x + 4, and the last 4 columns come from outside."""
    picture = texture(0)
    motion = motion_between(view(picture, 0), view(picture, 4))
    inner = (slice(8, -8), slice(8, -16))
    x = np.broadcast_to(np.arange(HW[1], dtype=np.float32), HW)
    assert np.abs(motion.from_x - x - 4)[inner].max() < 0.5
    assert motion.trusted[inner].mean() > 0.98
    assert not motion.trusted[:, -4:].any()
    assert np.array_equal(motion.warp(split(60))[inner], split(56)[inner])


def test_large_frames_give_the_same_motion_in_their_own_pixels() -> None:
    picture = texture(1)
    older, newer = (
        np.asarray(cv2.resize(view(picture, left), None, fx=5, fy=5, interpolation=cv2.INTER_CUBIC), np.uint8)
        for left in (0, 3)
    )
    motion = motion_between(older, newer)
    x = np.broadcast_to(np.arange(older.shape[1], dtype=np.float32), older.shape[:2])
    assert np.median((motion.from_x - x)[40:-40, 40:-80]) == pytest.approx(15, abs=0.5)


def test_labels_that_move_with_the_scene_do_not_flicker() -> None:
    picture = texture(0)
    moving, standing = Flicker(AB), Flicker(AB)
    for step in range(3):
        moving.update_frame(view(picture, 4 * step), split(60 - 4 * step))
        standing.update_frame(view(picture, 4 * step), split(60))
    result = moving.result()
    assert (result.pairs, result.cuts, result.truth) == (2, 0, None)
    assert result.compared is not None
    assert result.compared > 0.8
    assert result.prediction.flicker == pytest.approx(0, abs=0.002)
    assert result.prediction.mtc == pytest.approx(1, abs=0.005)
    assert result.prediction.raw_change == pytest.approx(4 / HW[1])
    # Labels that stay where they are while the scene moves are wrong in the 4 columns it moved by.
    still = standing.result().prediction
    assert still.raw_change == 0
    assert still.flicker == pytest.approx(4 / (HW[1] - 4), rel=0.25)


def test_by_hand_on_a_still_picture() -> None:
    """Nothing moves, so every pixel is compared: a quarter of a becomes b, b stays; the truth never changes."""
    frame = view(texture(2), 0)
    before, after = split(60), split(45)
    truth = split(60)
    truth[:, :20] = 255
    metric = Flicker(AB)
    for said in (before, after):
        metric.update(Sample("x", frame, truth), said)
    result = metric.result()
    # 100 columns have a truth: a from 20 to 59, of which 15 change, b from 60 on.
    assert result.compared == pytest.approx(100 / 120)
    assert result.prediction.flicker == pytest.approx(15 / 100)
    assert result.prediction.flicker_of == pytest.approx({"a": 15 / 40, "b": 0.0})
    assert result.prediction.mtc == pytest.approx((25 / 40 + 60 / 75) / 2)
    assert result.prediction.raw_change == pytest.approx(15 / 100)
    assert result.truth is not None
    assert (result.truth.flicker, result.truth.raw_change, result.truth.mtc) == (0.0, 0.0, 1.0)
    assert json.loads(json.dumps(result.to_dict()))["truth"]["flicker"] == 0.0
    assert result.table().rows[0] == ("flicker", "15.00", "0.00")


def test_a_cut_counts_as_one_and_nowhere_else() -> None:
    metric = Flicker(AB)
    for seed in (5, 6):
        metric.update_frame(view(texture(seed), 0), split(30 * (seed - 4)))
    result = metric.result()
    assert (result.pairs, result.cuts, result.prediction.flicker, result.compared) == (0, 1, None, None)


def test_another_frame_size_starts_a_new_clip_and_parts_lose_the_pair_between() -> None:
    frame, labels = view(texture(7), 0), split(60)
    metric = Flicker(AB)
    for picture, said in ((frame, labels), (frame, labels), (frame[:60], labels[:60]), (frame[:60], labels[:60])):
        metric.update_frame(np.ascontiguousarray(picture), np.ascontiguousarray(said))
    assert (metric.frames, metric.result().pairs) == (4, 2)
    total = metric + metric
    assert (total.frames, total.result().pairs, total.result().prediction.flicker) == (8, 4, 0.0)


def test_a_clip_through_a_model() -> None:
    frame = view(texture(8), 0)
    answers = iter([split(60), split(45), split(45)])
    result = measure_flicker([frame] * 3, lambda _: next(answers), AB)
    assert result.prediction.flicker == pytest.approx(15 / 120 / 2)
    with pytest.raises(DataError, match=r"1 frame\(s\): flicker is a change from one frame to the next"):
        measure_flicker([frame] * 3, lambda _: split(60), AB, limit=1)


def test_labels_that_do_not_fit() -> None:
    metric = Flicker(AB)
    with pytest.raises(DataError, match=r"labels of shape \(80, 119\) for a frame of \(80, 120\)"):
        metric.update_frame(view(texture(1), 0), split(60)[:, 1:])
    with pytest.raises(DataError, match="prediction has id 2"):
        metric.update_frame(view(texture(1), 0), split(60) + np.uint8(1))
    assert metric.frames == 0
