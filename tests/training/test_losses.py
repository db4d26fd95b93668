"""Every loss against its published formula, written out slowly in numpy, pixel by pixel."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from edgeseg.training.losses.boundary import boundary_cross_entropy, boundary_weights
from edgeseg.training.losses.config import FACTORS, LossConfig
from edgeseg.training.losses.cross_entropy import cross_entropy
from edgeseg.training.losses.dice import soft_dice
from edgeseg.training.losses.focal import focal
from edgeseg.training.losses.jaccard import soft_jaccard
from edgeseg.training.losses.lovasz import lovasz_softmax
from edgeseg.training.losses.pixels import Pixels
from edgeseg.training.losses.segmentation import TERMS
from edgeseg.training.losses.weights import class_weights

VOID = 9
CLASSES = 4
WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 3.0], dtype=torch.float64)
SEEDS = range(5)


def batch(seed: int = 0, size_hw: tuple[int, int] = (5, 7)) -> tuple[torch.Tensor, torch.Tensor]:
    """float64 logits (2, 4, H, W) and labels with void among them; class 2 occurs nowhere."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 2, (2, CLASSES, *size_hw)))
    return logits, torch.from_numpy(rng.choice([0, 1, 3, VOID], (2, *size_hw)))


def pixels(seed: int = 0, weights: torch.Tensor | None = None, size_hw: tuple[int, int] = (5, 7)) -> Pixels:
    return Pixels(*batch(seed, size_hw), VOID, weights)


def labelled(given: Pixels) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities (P, C) and classes (P,) of the labelled pixels, in row order."""
    exponents = np.exp(given.logits.detach().numpy())
    probability = np.moveaxis(exponents / exponents.sum(1, keepdims=True), 1, -1)
    truth = given.labels.numpy()
    return probability[truth != VOID], truth[truth != VOID]


def factors_of(weights: torch.Tensor | None) -> list[float]:
    return [1.0] * CLASSES if weights is None else weights.tolist()


def test_class_weights_follow_the_formula() -> None:
    shares = np.array([0.7, 0.25, 0.05, 0.0])
    weights = class_weights(shares, 1.1).numpy()
    raw = [1 / math.log(1.1 + share) for share in shares]
    np.testing.assert_allclose(weights, [4 * value / sum(raw) for value in raw], rtol=1e-6)
    assert weights.mean() == pytest.approx(1.0)
    assert list(weights) == sorted(weights)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("fraction", [1.0, 0.3, 1e-6])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_counts_the_hardest_pixels(
    weights: torch.Tensor | None, fraction: float, smoothing: float
) -> None:
    for seed in SEEDS:
        given, factors = pixels(seed, weights), factors_of(weights)
        losses = [
            (1 - smoothing) * -math.log(row[k]) + smoothing / CLASSES * sum(-math.log(p) for p in row)
            for row, k in zip(*labelled(given), strict=True)
        ]
        ranked = sorted(
            ((factors[k] * loss, factors[k]) for loss, k in zip(losses, labelled(given)[1], strict=True)), reverse=True
        )
        kept = ranked[: max(1, int(fraction * len(ranked)))]
        expected = sum(loss for loss, _ in kept) / sum(factor for _, factor in kept)
        assert float(cross_entropy(given, smoothing=smoothing, fraction=fraction)) == pytest.approx(expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_pytorchs(smoothing: float) -> None:
    logits, labels = batch(size_hw=(40, 50))
    expected = F.cross_entropy(logits, labels, ignore_index=VOID, label_smoothing=smoothing)
    assert float(cross_entropy(Pixels(logits, labels, VOID), smoothing=smoothing)) == pytest.approx(float(expected))


def test_taking_nearly_all_pixels_is_nearly_the_plain_mean() -> None:
    given = pixels(0, WEIGHTS, (40, 50))
    assert float(cross_entropy(given, fraction=0.9999)) == pytest.approx(float(cross_entropy(given)), rel=1e-3)


def test_pixels_that_tie_for_the_last_place_share_it() -> None:
    # Losses ln 2 (three pixels alike) and less (one): half of four pixels is two, shared by three.
    logits = torch.tensor([[0.0, 0.0, 0.0, 5.0], [0.0, 0.0, 0.0, 0.0]]).reshape(1, 2, 1, 4).requires_grad_()
    loss = cross_entropy(Pixels(logits, torch.zeros(1, 1, 4, dtype=torch.int64), VOID), fraction=0.5)
    torch.autograd.backward(loss)
    assert float(loss.detach()) == pytest.approx(math.log(2))
    assert logits.grad is not None
    assert logits.grad[0, 0, 0].tolist() == pytest.approx([-0.5 / 3] * 3 + [0.0])


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_follows_the_formula(weights: torch.Tensor | None, gamma: float) -> None:
    for seed in SEEDS:
        given, factors = pixels(seed, weights), factors_of(weights)
        total = count = 0.0
        for row, k in zip(*labelled(given), strict=True):
            total += factors[k] * (1 - row[k]) ** gamma * -math.log(row[k])
            count += factors[k]
        assert float(focal(given, gamma=gamma)) == pytest.approx(total / count)


def test_focal_of_a_sure_pixel_has_a_finite_gradient() -> None:
    logits = torch.tensor([200.0, 0.0]).reshape(1, 2, 1, 1).requires_grad_()
    for gamma in (0.5, 1.0, 2.0):
        torch.autograd.backward(focal(Pixels(logits, torch.zeros(1, 1, 1, dtype=torch.int64), VOID), gamma=gamma))
        assert logits.grad is not None
        assert logits.grad.abs().max() < 1e-3


def other_class_within(labels: NDArray[np.int64], y: int, x: int) -> int | None:
    """Chebyshev distance less 1 from a pixel to the nearest one of another class, void aside."""
    rows, columns = np.nonzero((labels != labels[y, x]) & (labels != VOID))
    if not len(rows):
        return None
    return int(np.maximum(abs(rows - y), abs(columns - x)).min()) - 1


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_boundary_weights_fall_with_the_distance_to_another_class(sigma: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(3):
        # Patches of 5 pixels, so that there are distances, with single void pixels in and between them.
        labels = rng.choice([0, 1, 3], (5, 6)).repeat(5, 0).repeat(5, 1)
        labels[rng.random(labels.shape) < 0.1] = VOID
        weights = boundary_weights(torch.from_numpy(labels)[None], VOID, 10.0, sigma)[0]
        for y, x in np.argwhere(labels != VOID):
            distance = other_class_within(labels, y, x)
            seen = distance is not None and distance <= math.ceil(3 * sigma)
            expected = 1 + 10 * math.exp(-(distance**2) / (2 * sigma**2)) if seen and distance is not None else 1.0
            assert float(weights[y, x]) == pytest.approx(expected)


def test_boundary_weights_by_hand() -> None:
    labels = torch.tensor([[[0, 0, 0, 0, 3, 3, VOID, VOID]], [[254, 254, 254, VOID, VOID, 0, 0, 0]]])
    near = [1 + 10 * math.exp(-(distance**2) / 2) for distance in range(4)]
    one, two = boundary_weights(labels, VOID, 10.0, 1.0)[:, 0].tolist()
    assert one[:6] == pytest.approx([near[3], near[2], near[1], near[0], near[0], near[1]])
    assert [*two[:3], *two[5:]] == pytest.approx([1.0, near[3], near[2], near[2], near[3], 1.0])


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_boundary_cross_entropy_is_the_weighted_mean(weights: torch.Tensor | None) -> None:
    given, factors = pixels(1, weights), factors_of(weights)
    near = boundary_weights(given.labels, VOID, 10.0, 2.0).numpy()[given.labels.numpy() != VOID]
    total = count = 0.0
    for row, k, weight in zip(*labelled(given), near, strict=True):
        total += weight * factors[k] * -math.log(row[k])
        count += weight * factors[k]
    assert float(boundary_cross_entropy(given, weight=10.0, sigma=2.0)) == pytest.approx(total / count)


def test_soft_jaccard_and_dice_equal_the_one_hot_definitions() -> None:
    for seed in SEEDS:
        given = pixels(seed)
        probability, truth = labelled(given)
        jaccard, dice = [], []
        for k in sorted(set(truth)):
            p, y = probability[:, k], (truth == k).astype(float)
            jaccard.append((p * y).sum() / (p + y - p * y).sum())
            dice.append(2 * (p * y).sum() / (p + y).sum())
        assert len(jaccard) == 3
        assert float(soft_jaccard(given)) == pytest.approx(1 - np.mean(jaccard))
        assert float(soft_dice(given)) == pytest.approx(1 - np.mean(dice))


def jaccard_loss(wrong: set[int], of_class: set[int]) -> float:
    """1 − IoU of a class where exactly the pixels `wrong` are wrong (Berman et al. 2018, equation 6)."""
    return len(wrong) / len(of_class | wrong) if of_class | wrong else 0.0


def test_lovasz_softmax_equals_the_extension_of_the_set_function() -> None:
    for seed in SEEDS:
        given = pixels(seed)
        probability, truth = labelled(given)
        losses = []
        for k in sorted(set(truth)):
            of_class = set(np.flatnonzero(truth == k).tolist())
            errors = [1 - p if i in of_class else p for i, p in enumerate(probability[:, k])]
            order = sorted(range(len(errors)), key=lambda i: -errors[i])
            value = 0.0
            for place, i in enumerate(order):
                step = jaccard_loss(set(order[: place + 1]), of_class) - jaccard_loss(set(order[:place]), of_class)
                value += errors[i] * step
            losses.append(value)
        assert float(lovasz_softmax(given)) == pytest.approx(np.mean(losses))


@pytest.mark.parametrize("loss", [soft_jaccard, soft_dice, lovasz_softmax])
def test_region_losses_of_sure_answers(loss: Callable[[Pixels], torch.Tensor]) -> None:
    labels = torch.tensor([[[0, 1, 1], [3, 0, VOID]]])
    answers = labels.clone()
    answers[0, 0, 2] = 0
    answers[0, 1, 2] = 2
    sure = torch.full((1, CLASSES, 2, 3), -50.0, dtype=torch.float64)
    right = sure.scatter(1, torch.where(labels == VOID, 2, labels)[:, None], 50.0)
    assert float(loss(Pixels(right, labels, VOID))) == pytest.approx(0.0, abs=1e-9)
    # Sure but wrong in one pixel: IoU 2/3, 1/2 and 1; F1 4/5, 2/3 and 1. At such corners the relaxation is exact.
    expected = 1 - (4 / 5 + 2 / 3 + 1) / 3 if loss is soft_dice else 1 - (2 / 3 + 1 / 2 + 1) / 3
    assert float(loss(Pixels(sure.scatter(1, answers[:, None], 50.0), labels, VOID))) == pytest.approx(expected)


@pytest.mark.parametrize("name", TERMS)
def test_gradients_by_finite_differences(name: str) -> None:
    logits, labels = batch(size_hw=(2, 3))
    config = LossConfig(ohem_fraction=0.5, label_smoothing=0.1, boundary_sigma=0.5)

    def term(value: torch.Tensor) -> torch.Tensor:
        return TERMS[name](Pixels(value, labels, VOID, WEIGHTS), config)

    assert torch.autograd.gradcheck(term, logits.requires_grad_())


@pytest.mark.parametrize("name", TERMS)
def test_void_pixels_change_nothing(name: str) -> None:
    logits, labels = batch()
    config = LossConfig(ohem_fraction=0.5, label_smoothing=0.1)
    before = TERMS[name](Pixels(logits.requires_grad_(), labels, VOID, WEIGHTS), config)
    torch.autograd.backward(before)
    gradient = logits.grad
    assert gradient is not None
    void = (labels == VOID)[:, None].expand_as(logits)
    assert not bool(gradient[void].any())
    assert bool(gradient[~void].any())
    changed = torch.where(void, 100.0, logits.detach())
    assert float(TERMS[name](Pixels(changed, labels, VOID, WEIGHTS), config)) == pytest.approx(float(before.detach()))


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_half_precision_is_summed_in_single(name: str, dtype: torch.dtype) -> None:
    logits, labels = batch(size_hw=(60, 80))
    config = LossConfig(ohem_fraction=0.5)
    rounded = logits.to(dtype)
    loss = TERMS[name](Pixels(rounded, labels, VOID, WEIGHTS), config)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(TERMS[name](Pixels(rounded.double(), labels, VOID, WEIGHTS), config)))


def test_every_term_has_its_factor_in_the_recipe() -> None:
    assert tuple(TERMS) == FACTORS
    assert {field.name for field in fields(LossConfig)} >= set(FACTORS)
