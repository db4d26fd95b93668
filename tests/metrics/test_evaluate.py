"""Evaluation of a model over a dataset."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseg.data import Sample
from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import CAMVID, LabelMap, distinct_palette
from edgeseg.metrics.confusion import ConfusionMatrix, FrameScore
from edgeseg.metrics.evaluate import evaluate
from edgeseg.types import Frame, Labels

TWO = LabelMap(("a", "b"), distinct_palette(2), void=255)
HW = (4, 5)


class FewFrames:
    """Frames whose truth is in the first channel and what the model shall say in the second."""

    name = "few frames"
    label_map = TWO

    def __init__(self, wrong_pixels: list[int], *, void: tuple[int, ...] = ()) -> None:
        self.wrong_pixels, self.void = wrong_pixels, void

    def __len__(self) -> int:
        return len(self.wrong_pixels)

    def __getitem__(self, index: int) -> Sample:
        truth = np.arange(HW[0] * HW[1], dtype=np.uint8).reshape(HW) % 2
        said = truth.copy()
        said.flat[: self.wrong_pixels[index]] ^= 1
        if index in self.void:
            truth[:] = 255
        return Sample(f"frame{index}", np.dstack([truth, said, said]), truth)


def second_channel(frame_bgr: Frame) -> Labels:
    return frame_bgr[..., 1]


def test_all_pixels_count_together() -> None:
    dataset = FewFrames([0, 20, 3])
    matrix = ConfusionMatrix(TWO)
    for index in range(3):
        matrix.update(dataset[index].labels, second_channel(dataset[index].image_bgr))
    result = evaluate(dataset, second_channel, TWO)
    assert result.to_dict() == matrix.result().to_dict()
    assert result.pixel_accuracy == pytest.approx(37 / 60)
    assert result.frames == 3


def test_the_worst_frames_come_first_and_void_ones_have_no_score() -> None:
    result = evaluate(FewFrames([0, 20, 3, 9, 5, 1, 2], void=(3,)), second_channel, TWO)
    assert [score.name for score in result.worst] == ["frame1", "frame4", "frame2", "frame6", "frame5"]
    assert result.worst[0].miou == 0.0
    # 5 wrong of 20, frame4: 3 of class a taken for b, 2 of b for a; IoU 7/12 and 8/13
    assert result.worst[1].miou == pytest.approx((7 / 12 + 8 / 13) / 2)


def test_the_callbacks_see_every_frame() -> None:
    progress: list[tuple[int, int]] = []
    seen: list[tuple[FrameScore, str, bool]] = []

    def look(score: FrameScore, sample: Sample, prediction: Labels) -> None:
        seen.append((score, sample.name, np.array_equal(prediction, sample.image_bgr[..., 1])))

    evaluate(
        FewFrames([0, 20, 4], void=(2,)),
        second_channel,
        TWO,
        progress=lambda done, total: progress.append((done, total)),
        on_sample=look,
    )
    assert progress == [(1, 3), (2, 3), (3, 3)]
    assert seen == [
        (FrameScore(0, "frame0", 1.0), "frame0", True),
        (FrameScore(1, "frame1", 0.0), "frame1", True),
        (FrameScore(2, "frame2", None), "frame2", True),
    ]


@pytest.mark.parametrize(("limit", "frames"), [(1, 1), (2, 2), (99, 3)])
def test_a_limit_takes_the_first_frames(limit: int, frames: int) -> None:
    result = evaluate(FewFrames([0, 0, 20]), second_channel, TWO, limit=limit)
    assert (result.frames, result.pixel_accuracy == 1.0) == (frames, frames < 3)


def test_a_limit_of_nothing() -> None:
    with pytest.raises(ConfigError, match="limit=0: evaluate at least 1 frame"):
        evaluate(FewFrames([0]), second_channel, TWO, limit=0)


def test_other_classes_are_refused_before_the_first_frame() -> None:
    def never(frame_bgr: Frame) -> Labels:
        pytest.fail("a frame was segmented")

    swapped = LabelMap(("b", "a"), distinct_palette(2))
    with pytest.raises(ConfigError, match=r"model's 2 classes \(b, a\) are not the 2 of few frames \(a, b\)"):
        evaluate(FewFrames([0]), never, swapped)
    with pytest.raises(ConfigError, match=r"model's 11 classes \(sky, building"):
        evaluate(FewFrames([0]), never, CAMVID)


def test_another_void_id_of_the_model_is_fine() -> None:
    model = LabelMap(TWO.names, TWO.palette, void=2)
    assert evaluate(FewFrames([0, 1], void=(1,)), second_channel, model).frames == 2


def test_bad_labels_name_the_frame() -> None:
    with pytest.raises(DataError, match=r"few frames, frame frame0: labels of shape \(2, 3\) for a truth of \(4, 5\)"):
        evaluate(FewFrames([0]), lambda frame_bgr: frame_bgr[:2, :3, 1], TWO)
