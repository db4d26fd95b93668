"""The loss against values by hand and against slow, literal implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgeseg.training.losses import SegmentationLoss, class_weights, coarser_labels, cross_entropy, soft_jaccard
from edgeseg.training.recipe import LossConfig

VOID = 9
CLASSES = 4


def batch(seed: int = 0, size_hw: tuple[int, int] = (5, 7)) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (2, 4, H, W) and labels with void among them; class 2 occurs nowhere."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 2, (2, CLASSES, *size_hw)).astype(np.float32))
    return logits, torch.from_numpy(rng.choice([0, 1, 3, VOID], (2, *size_hw)))


def softmax(logits: torch.Tensor) -> NDArray[np.float64]:
    exponents = np.exp(logits.detach().numpy().astype(np.float64))
    return np.asarray(exponents / exponents.sum(1, keepdims=True))


def pixel_losses(logits: torch.Tensor, labels: torch.Tensor) -> list[tuple[float, int]]:
    """(−ln p, class) of every labelled pixel."""
    probability, truth = softmax(logits), labels.numpy()
    return [
        (-math.log(probability[n, truth[n, y, x], y, x]), int(truth[n, y, x]))
        for n, y, x in np.ndindex(*truth.shape)
        if truth[n, y, x] != VOID
    ]


def test_class_weights_follow_the_formula() -> None:
    shares = np.array([0.7, 0.25, 0.05, 0.0])
    weights = class_weights(shares, 1.1).numpy()
    raw = [1 / math.log(1.1 + share) for share in shares]
    np.testing.assert_allclose(weights, [4 * value / sum(raw) for value in raw], rtol=1e-6)
    assert weights.mean() == pytest.approx(1.0)
    assert list(weights) == sorted(weights)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fraction", [1.0, 0.3, 1e-6])
def test_cross_entropy_counts_the_hardest_pixels(weighted: bool, fraction: float) -> None:
    logits, labels = batch()
    weight = torch.tensor([0.5, 2.0, 1.0, 3.0]) if weighted else None
    factors = [1.0] * CLASSES if weight is None else weight.tolist()
    ranked = sorted(((factors[k] * loss, factors[k]) for loss, k in pixel_losses(logits, labels)), reverse=True)
    kept = ranked[: max(1, int(fraction * len(ranked)))]
    expected = sum(loss for loss, _ in kept) / sum(factor for _, factor in kept)
    assert float(cross_entropy(logits, labels, VOID, weight, fraction)) == pytest.approx(expected, rel=1e-5)


def test_taking_nearly_all_pixels_is_nearly_the_plain_mean() -> None:
    logits, labels = batch(size_hw=(40, 50))
    weight = torch.tensor([0.2, 3.0, 1.0, 0.4])
    whole = float(cross_entropy(logits, labels, VOID, weight))
    assert float(cross_entropy(logits, labels, VOID, weight, 0.9999)) == pytest.approx(whole, rel=1e-3)


def test_soft_jaccard_equals_the_one_hot_definition() -> None:
    logits, labels = batch()
    probability = np.moveaxis(softmax(logits), 1, -1)[labels.numpy() != VOID]
    truth = np.eye(CLASSES)[labels.numpy()[labels.numpy() != VOID]]
    scores = []
    for k in range(CLASSES):
        p, y = probability[:, k], truth[:, k]
        if y.any():
            scores.append((p * y).sum() / (p + y - p * y).sum())
    assert len(scores) == 3
    assert float(soft_jaccard(logits, labels, VOID)) == pytest.approx(1 - np.mean(scores), rel=1e-5)


def test_soft_jaccard_of_a_sure_and_right_answer_is_zero_and_of_a_wrong_one_is_one() -> None:
    labels = torch.tensor([[[0, 1], [3, VOID]]])
    sure = torch.full((1, CLASSES, 2, 2), -50.0).scatter_(1, torch.where(labels == VOID, 2, labels)[:, None], 50.0)
    assert float(soft_jaccard(sure, labels, VOID)) == pytest.approx(0.0, abs=1e-6)
    assert float(soft_jaccard(-sure, labels, VOID)) > 0.8


def test_gradients_by_finite_differences() -> None:
    logits, labels = batch(size_hw=(2, 3))
    double = logits.detach().double().requires_grad_()
    config = LossConfig(jaccard=0.5, auxiliary=0.4)
    loss = SegmentationLoss(config, void=VOID, shares=None)
    assert torch.autograd.gradcheck(lambda value: cross_entropy(value, labels, VOID, None, 0.5), double)
    single = logits.detach().requires_grad_()
    loss({"out": single, "aux": single[..., ::2, ::2]}, labels).backward()
    assert single.grad is not None
    for index in ((0, 0, 0, 0), (1, 3, 1, 2), (0, 2, 1, 1)):
        step = torch.zeros_like(single)
        step[index] = 1e-2
        with torch.no_grad():
            plus, minus = (
                loss({"out": single + sign * step, "aux": (single + sign * step)[..., ::2, ::2]}, labels)
                for sign in (1, -1)
            )
        assert float(plus - minus) / 2e-2 == pytest.approx(float(single.grad[index]), abs=2e-3)


def test_void_pixels_change_nothing() -> None:
    logits, labels = batch()
    logits.requires_grad_()
    loss = SegmentationLoss(LossConfig(jaccard=0.5, ohem_fraction=0.5), void=VOID, shares=None)
    before = loss({"out": logits}, labels)
    before.backward()
    logits, gradient = logits.detach(), logits.grad
    assert gradient is not None
    void = (labels == VOID)[:, None].expand_as(logits)
    assert not bool(gradient[void].any())
    assert bool(gradient[~void].any())
    changed = torch.where(void, 100.0 * torch.ones_like(logits), logits)
    assert loss({"out": changed}, labels).item() == pytest.approx(before.item())


@pytest.mark.parametrize(
    "config",
    [
        LossConfig(),
        LossConfig(jaccard=0.5),
        LossConfig(ohem_fraction=0.2),
        LossConfig(class_weight_offset=1.1, jaccard=0.5, ohem_fraction=0.2),
    ],
)
def test_an_all_void_batch_is_zero_with_zero_gradient(config: LossConfig) -> None:
    logits, _ = batch()
    logits.requires_grad_()
    shares = np.full(CLASSES, 1 / CLASSES) if config.class_weight_offset else None
    loss = SegmentationLoss(config, void=VOID, shares=shares)
    value = loss({"out": logits, "aux": logits[..., ::2, ::2]}, torch.full((2, 5, 7), VOID))
    value.backward()
    assert value.item() == 0.0
    assert logits.grad is not None
    assert not bool(logits.grad.any())


def test_labels_that_a_coarse_auxiliary_head_never_sees_are_no_nan() -> None:
    labels = torch.full((1, 8, 8), VOID)
    labels[0, 0, 0] = 1
    outputs = {"out": torch.zeros(1, CLASSES, 8, 8), "aux": torch.zeros(1, CLASSES, 2, 2)}
    loss = SegmentationLoss(LossConfig(auxiliary=0.4), void=VOID, shares=None)
    assert float(loss(outputs, labels)) == pytest.approx(math.log(CLASSES))


def test_the_terms_are_added_with_their_factors() -> None:
    logits, labels = batch(size_hw=(8, 8))
    auxiliary = torch.randn(2, CLASSES, 4, 4, generator=torch.Generator().manual_seed(3))
    shares = np.array([0.5, 0.2, 0.0, 0.3])
    config = LossConfig(class_weight_offset=1.1, jaccard=0.5, auxiliary=0.4)
    loss = SegmentationLoss(config, void=VOID, shares=shares)
    weight = class_weights(shares, 1.1)
    # Rows and columns 1, 3, 5, 7: pixel 2i + 1 holds the middle of cell i.
    expected = (
        cross_entropy(logits, labels, VOID, weight)
        + 0.5 * soft_jaccard(logits, labels, VOID)
        + 0.4 * cross_entropy(auxiliary, labels[:, 1::2, 1::2], VOID, weight)
    )
    assert float(loss({"out": logits, "aux": auxiliary}, labels)) == pytest.approx(float(expected), rel=1e-6)
    without = SegmentationLoss(LossConfig(auxiliary=0.0), void=VOID, shares=None)
    assert float(without({"out": logits, "aux": auxiliary}, labels)) == pytest.approx(
        float(cross_entropy(logits, labels, VOID, None))
    )


@pytest.mark.parametrize("size_hw", [(4, 6), (3, 5), (8, 12)])
def test_coarser_labels_are_picked_never_mixed(size_hw: tuple[int, int]) -> None:
    labels = torch.from_numpy(np.random.default_rng(0).choice([0, 200, 255], (1, 8, 12)))
    coarse = coarser_labels(labels, torch.Size(size_hw))
    assert coarse.shape == (1, *size_hw)
    assert coarse.dtype == torch.int64
    rows = [int((y + 0.5) * 8 / size_hw[0]) for y in range(size_hw[0])]
    columns = [int((x + 0.5) * 12 / size_hw[1]) for x in range(size_hw[1])]
    assert torch.equal(coarse[0], labels[0][rows][:, columns])
