"""The sealed contract in PyTorch: colour order, normalisation, resizing, label size, refusals."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from edgeseg.errors import ConfigError, InputError
from edgeseg.models.sealed import Preprocess, SealedNetwork

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class BrightestChannel(nn.Module):
    """Logits are the normalised R, G and B themselves, so the label is the channel that wins."""

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": image, "aux": image.mean((2, 3))}


def _frame(height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8))


def test_bgr_becomes_normalised_rgb() -> None:
    frame = torch.tensor([[[[255, 0, 51]]]], dtype=torch.uint8)
    image = Preprocess((1, 1), MEAN, STD)(frame)
    expected = [(0.2 - 0.485) / 0.229, (0.0 - 0.456) / 0.224, (1.0 - 0.406) / 0.225]
    torch.testing.assert_close(image.flatten(), torch.tensor(expected))
    assert image.is_contiguous()


def test_every_grey_level_is_normalised_to_float_accuracy() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(1, 16, 16, 3)
    exact = (levels[0, ..., 0].double()[None] / 255 - torch.tensor(MEAN).double().view(3, 1, 1)) / torch.tensor(
        STD
    ).double().view(3, 1, 1)
    torch.testing.assert_close(Preprocess((16, 16), MEAN, STD)(levels)[0].double(), exact, rtol=0, atol=1e-6)


def test_resize_agrees_with_opencv_within_a_grey_level() -> None:
    frame = _frame(48, 64)
    image = Preprocess((36, 40), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))(frame)[0].permute(1, 2, 0).numpy()[..., ::-1] * 255
    opencv = cv2.resize(frame[0].numpy(), (40, 36), interpolation=cv2.INTER_LINEAR)
    assert np.abs(image - opencv).max() < 1.0


def test_a_batch_is_preprocessed_as_its_frames_one_by_one() -> None:
    preprocess = Preprocess((10, 12), MEAN, STD)
    frames = torch.cat([_frame(20, 30), _frame(20, 30).flip(1)])
    torch.testing.assert_close(preprocess(frames), torch.cat([preprocess(frames[:1]), preprocess(frames[1:])]))


def test_normalisation_is_not_part_of_the_weights() -> None:
    assert not Preprocess((4, 4), MEAN, STD).state_dict()


@pytest.mark.parametrize("camera_hw", [(6, 8), (12, 16), (9, 20)])
def test_labels_have_the_size_of_the_frame(camera_hw: tuple[int, int]) -> None:
    sealed = SealedNetwork(BrightestChannel(), Preprocess((6, 8), MEAN, STD), camera_hw)
    labels = sealed(_frame(*camera_hw))
    assert labels.dtype == torch.uint8
    assert labels.shape == (1, *camera_hw)
    # Nearest with half-pixel centres: label (y, x) is the network's at floor((y + ½)·h/H), floor((x + ½)·w/W).
    small = sealed.logits(_frame(*camera_hw)).argmax(1)[0].numpy()
    rows = (2 * np.arange(camera_hw[0]) + 1) * 6 // (2 * camera_hw[0])
    columns = (2 * np.arange(camera_hw[1]) + 1) * 8 // (2 * camera_hw[1])
    np.testing.assert_array_equal(labels[0].numpy(), small[rows][:, columns])


def test_red_wins_as_class_zero() -> None:
    frame = torch.zeros(1, 4, 4, 3, dtype=torch.uint8)
    frame[..., 2] = 255
    sealed = SealedNetwork(BrightestChannel(), Preprocess((4, 4), MEAN, STD))
    assert bool((sealed(frame) == 0).all())


def test_a_frame_of_another_size_than_sealed_is_refused() -> None:
    sealed = SealedNetwork(BrightestChannel(), Preprocess((4, 4), MEAN, STD), (8, 8))
    with pytest.raises(InputError, match=r"\(8, 8\)"):
        sealed(_frame(4, 4))


def test_a_network_that_shrinks_its_logits_is_refused() -> None:
    class Half(BrightestChannel):
        def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"out": image[..., ::2, ::2]}

    with pytest.raises(ConfigError, match="same height and width"):
        SealedNetwork(Half(), Preprocess((4, 4), MEAN, STD))(_frame(4, 4))


@pytest.mark.parametrize(
    ("size_hw", "mean", "std"), [((0, 4), MEAN, STD), ((4, 4), MEAN[:2], STD), ((4, 4), MEAN, (1.0, 0.0, 1.0))]
)
def test_impossible_preprocessing_is_refused(
    size_hw: tuple[int, int], mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    with pytest.raises(ConfigError):
        Preprocess(size_hw, mean, std)
