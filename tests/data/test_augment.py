"""Joint augmentation: labels go where the image goes, and the seed alone decides where."""

from __future__ import annotations

import random
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgeseg.data import Sample
from edgeseg.data.augment import Augment, AugmentConfig
from edgeseg.errors import ConfigError
from edgeseg.types import Frame, Labels

VOID = 11
PADDING_BGR = [104, 116, 124]
CLASSES = 6
PLAIN = AugmentConfig(crop_hw=(48, 64), scale=(1.0, 1.0), flip=0.0, brightness=0.0, contrast=0.0, saturation=0.0)


def colour_of(labels: Labels) -> Frame:
    """Blue 40·(id + 1), so that neighbours differ clearly; green and red constant, to tell from the padding."""
    image = np.full((*labels.shape, 3), (0, 10, 20), np.uint8)
    image[..., 0] = 40 * (labels + 1)
    return image


def blocks(size_hw: tuple[int, int], seed: int = 0, block: int = 20) -> Sample:
    """Random class ids in blocks, in an image whose colour says the id."""
    coarse = np.random.default_rng(seed).integers(0, CLASSES, (size_hw[0] // block + 1, size_hw[1] // block + 1))
    labels = np.kron(coarse, np.ones((block, block), int))[: size_hw[0], : size_hw[1]].astype(np.uint8)
    return Sample("blocks", colour_of(labels), labels)


def test_nothing_to_vary_gives_the_frame_itself() -> None:
    sample = blocks((48, 64))
    frame, labels = Augment(PLAIN, (48, 64), VOID)(sample, 0)
    np.testing.assert_array_equal(frame.numpy(), sample.image_bgr)
    np.testing.assert_array_equal(labels.numpy(), sample.labels)
    assert (frame.dtype, labels.dtype) == (torch.uint8, torch.int64)
    assert frame.is_contiguous()


@pytest.mark.parametrize("seed", range(12))
def test_the_label_is_the_one_whose_colour_the_pixel_has(seed: int) -> None:
    config = replace(PLAIN, scale=(0.5, 2.0), flip=0.5)
    frame, labels = (value.numpy() for value in Augment(config, (72, 96), VOID)(blocks((60, 90), seed), seed))
    assert frame.shape == (48, 64, 3)
    assert labels.shape == (48, 64)
    assert set(np.unique(labels)) <= {*range(CLASSES), VOID}
    padded = labels == VOID
    np.testing.assert_array_equal(padded, (frame == PADDING_BGR).all(2))
    # Inside a block nothing is interpolated; the edges between blocks are left out.
    inside = ~padded & ~near_edges(labels)
    assert inside.mean() > 0.15
    np.testing.assert_array_equal(frame[inside], colour_of(labels.astype(np.uint8))[inside])


def near_edges(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Pixels with another label among the 5×5 around them, or less than 2 pixels from where the crop was cut off."""
    values = labels.astype(np.uint8)
    kernel = np.ones((5, 5), np.uint8)
    near = np.asarray(cv2.dilate(values, kernel) != cv2.erode(values, kernel))
    near[:2] = near[-2:] = near[:, :2] = near[:, -2:] = True
    return near


def test_labels_do_not_slide_against_the_image() -> None:
    """The edge between two halves, to a fraction of a pixel, over many scales: torchvision's masks slide by 0.4."""
    augment = Augment(replace(PLAIN, crop_hw=(32, 400), scale=(0.75, 1.75)), (32, 200), VOID)
    slides = []
    for seed in range(120):
        labels = np.zeros((32, 200), np.uint8)
        labels[:, 60 + seed % 80 :] = 1
        image = np.repeat(labels[..., None] * np.uint8(255), 3, axis=2)
        frame, moved = augment(Sample("edge", image, labels), seed)
        row = int((moved != VOID).any(1).nonzero()[0])
        inside = moved[row] != VOID
        slides.append(float(frame[row, inside, 0].float().sum() / 255) - float(moved[row, inside].sum()))
    assert abs(np.mean(slides)) < 0.1
    assert max(abs(slide) for slide in slides) < 0.75


@pytest.mark.parametrize("frame_hw", [(60, 80), (120, 160), (80, 60)])
def test_scales_are_relative_to_the_frame_that_fits_the_networks_size(frame_hw: tuple[int, int]) -> None:
    """A frame that is all one class covers, of a crop larger than it, exactly its scaled size."""
    augment = Augment(replace(PLAIN, crop_hw=(200, 240), scale=(0.75, 1.75)), (60, 80), VOID)
    sample = Sample("flat", np.zeros((*frame_hw, 3), np.uint8), np.zeros(frame_hw, np.uint8))
    heights, widths = [], []
    for seed in range(60):
        covered = augment(sample, seed)[1] == 0
        heights.append(int(covered.any(1).sum()))
        widths.append(int(covered.any(0).sum()))
    fitting = min(60 / frame_hw[0], 80 / frame_hw[1])
    factors = np.array(heights) / (frame_hw[0] * fitting)
    assert 0.74 < factors.min() < 0.85
    assert 1.6 < factors.max() < 1.77
    assert abs(factors.mean() - 1.25) < 0.12
    np.testing.assert_allclose(np.array(widths) / np.array(heights), frame_hw[1] / frame_hw[0], rtol=0.03)


def test_half_of_the_frames_are_mirrored() -> None:
    sample, augment = blocks((48, 64)), Augment(replace(PLAIN, flip=0.5), (48, 64), VOID)
    mirrored = 0
    for seed in range(40):
        frame, labels = (value.numpy() for value in augment(sample, seed))
        flipped = not np.array_equal(labels, sample.labels)
        mirrored += flipped
        np.testing.assert_array_equal(labels, sample.labels[:, ::-1] if flipped else sample.labels)
        np.testing.assert_array_equal(frame, sample.image_bgr[:, ::-1] if flipped else sample.image_bgr)
    assert 10 <= mirrored <= 30


def test_colours_vary_and_labels_do_not() -> None:
    sample = blocks((48, 64))
    augment = Augment(replace(PLAIN, brightness=0.3, contrast=0.3, saturation=0.3), (48, 64), VOID)
    frames = [augment(sample, seed) for seed in range(5)]
    assert len({frame.numpy().tobytes() for frame, _ in frames}) == 5
    for _, labels in frames:
        np.testing.assert_array_equal(labels.numpy(), sample.labels)


def test_colour_channels_keep_their_order() -> None:
    """Saturation 0 is a weighted grey in which green counts most (ITU-R BT.601): it tells red from blue."""
    blue = Sample("blue", np.full((48, 64, 3), (255, 0, 0), np.uint8), np.zeros((48, 64), np.uint8))
    red = Sample("red", np.full((48, 64, 3), (0, 0, 255), np.uint8), np.zeros((48, 64), np.uint8))
    augment = Augment(replace(PLAIN, saturation=1.0), (48, 64), VOID)
    greys = [min(int(augment(sample, seed)[0].min()) for seed in range(40)) for sample in (blue, red)]
    ranges = [max(int(augment(sample, seed)[0][..., 1].max()) for seed in range(40)) for sample in (blue, red)]
    assert greys == [0, 0]
    # Grey of blue is 0.114, of red 0.299 of white.
    assert ranges[0] <= 30 < ranges[1] <= 77


def test_the_seed_alone_decides() -> None:
    sample = blocks((60, 90))
    one, other = (Augment(AugmentConfig(crop_hw=(48, 64)), (60, 90), VOID) for _ in range(2))
    torch.manual_seed(1)
    first = [one(sample, seed) for seed in range(4)]
    torch.manual_seed(2)
    second = [other(sample, seed) for seed in reversed(range(4))]
    for (frame, labels), (frame_again, labels_again) in zip(first, reversed(second), strict=True):
        assert torch.equal(frame, frame_again)
        assert torch.equal(labels, labels_again)
    assert len({frame.numpy().tobytes() for frame, _ in first}) == 4


def test_global_random_states_stay_as_they_were() -> None:
    torch.manual_seed(5)
    before = (torch.get_rng_state(), random.getstate(), str(np.random.get_state()))  # noqa: NPY002 (that very one)
    Augment(AugmentConfig(crop_hw=(48, 64)), (60, 90), VOID)(blocks((60, 90)), 3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), str(np.random.get_state())) == before[1:]  # noqa: NPY002


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"crop_hw": (31, 64)}, "below 32 pixels"),
        ({"scale": (0.0, 1.0)}, "two positive factors"),
        ({"scale": (2.0, 1.0)}, "the smaller first"),
        ({"flip": -0.1}, "probability"),
        ({"flip": 1.1}, "probability"),
        ({"saturation": -1.0}, "cannot be negative"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, float], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        replace(PLAIN, **change)  # type: ignore[arg-type]
