"""The whole loss: terms with their factors, auxiliary head, batches without labels, batches split over processes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from test_losses import CLASSES, VOID, batch

from edgeseg.errors import ConfigError
from edgeseg.training import distributed
from edgeseg.training.losses import LossConfig, SegmentationLoss
from edgeseg.training.losses.config import FACTORS
from edgeseg.training.losses.pixels import Pixels
from edgeseg.training.losses.segmentation import TERMS, coarser_labels
from edgeseg.training.losses.weights import class_weights

SHARES = np.array([0.5, 0.2, 0.0, 0.3])
EVERYTHING = LossConfig(
    class_weight_offset=1.1,
    label_smoothing=0.1,
    ohem_fraction=0.2,
    jaccard=0.5,
    dice=0.3,
    lovasz=0.7,
    focal=0.2,
    boundary=0.6,
)
Join = Callable[[list[torch.Tensor]], torch.Tensor]


def only(name: str, **settings: float) -> LossConfig:
    return LossConfig(**(dict.fromkeys(FACTORS, 0.0) | {name: 1.0} | settings), class_weight_offset=1.1)


def test_the_terms_are_added_with_their_factors() -> None:
    logits, labels = batch(size_hw=(8, 8))
    auxiliary = torch.randn(2, CLASSES, 4, 4, generator=torch.Generator().manual_seed(3)).double()
    loss = SegmentationLoss(EVERYTHING, void=VOID, shares=SHARES)
    weights = class_weights(SHARES, 1.1)
    pixels = Pixels(logits, labels, VOID, weights)
    expected = sum(getattr(EVERYTHING, name) * TERMS[name](pixels, EVERYTHING) for name in FACTORS)
    # Rows and columns 1, 3, 5, 7: pixel 2i + 1 holds the middle of cell i.
    head = TERMS["cross_entropy"](Pixels(auxiliary, labels[:, 1::2, 1::2], VOID, weights), LossConfig())
    assert float(loss({"out": logits, "aux": auxiliary}, labels)) == pytest.approx(float(expected + 0.4 * head))
    assert float(loss({"out": logits}, labels)) == pytest.approx(float(expected))
    plain = SegmentationLoss(LossConfig(auxiliary=0.0), void=VOID, shares=None)
    assert float(plain({"out": logits, "aux": auxiliary}, labels)) == pytest.approx(
        float(TERMS["cross_entropy"](Pixels(logits, labels, VOID), LossConfig()))
    )


def test_a_term_whose_factor_is_zero_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, labels = batch()
    monkeypatch.delattr(Pixels, "probability")
    assert math.isfinite(SegmentationLoss(LossConfig(), void=VOID, shares=None)({"out": logits}, labels))


@pytest.mark.parametrize(
    "config", [LossConfig(), EVERYTHING, *map(only, FACTORS)], ids=["plain", "everything", *FACTORS]
)
def test_an_all_void_batch_is_zero_with_zero_gradient(config: LossConfig) -> None:
    logits = batch()[0].float().requires_grad_()
    loss = SegmentationLoss(config, void=VOID, shares=SHARES if config.class_weight_offset else None)
    value = loss({"out": logits, "aux": logits[..., ::2, ::2]}, torch.full((2, 5, 7), VOID))
    torch.autograd.backward(value)
    assert value.item() == 0.0
    assert logits.grad is not None
    assert not bool(logits.grad.any())


def test_labels_that_a_coarse_auxiliary_head_never_sees_are_no_nan() -> None:
    labels = torch.full((1, 8, 8), VOID)
    labels[0, 0, 0] = 1
    outputs = {"out": torch.zeros(1, CLASSES, 8, 8), "aux": torch.zeros(1, CLASSES, 2, 2)}
    loss = SegmentationLoss(LossConfig(auxiliary=0.4), void=VOID, shares=None)
    assert float(loss(outputs, labels)) == pytest.approx(math.log(CLASSES))


@pytest.mark.parametrize("shares", [None, SHARES])
def test_cross_entropies_of_parts_add_up_by_their_labelled_weight(shares: NDArray[np.float64] | None) -> None:
    logits, labels = batch()
    labels[0, :4] = VOID
    loss = SegmentationLoss(LossConfig(class_weight_offset=1.1), void=VOID, shares=shares)
    weights = [float(loss.labelled_weight(part)) for part in labels]
    parts = [float(loss({"out": logits[i : i + 1]}, labels[i : i + 1])) for i in range(2)]
    assert weights[0] < weights[1]
    assert np.average(parts, weights=weights) == pytest.approx(float(loss({"out": logits}, labels)))
    assert float(loss.labelled_weight(torch.full((1, 2, 2), VOID))) == 0


@pytest.mark.parametrize("size_hw", [(4, 6), (3, 5), (8, 12)])
def test_coarser_labels_are_picked_never_mixed(size_hw: tuple[int, int]) -> None:
    labels = torch.from_numpy(np.random.default_rng(0).choice([0, 200, 255], (1, 8, 12)))
    coarse = coarser_labels(labels, torch.Size(size_hw))
    assert coarse.shape == (1, *size_hw)
    assert coarse.dtype == torch.int64
    rows = [int((y + 0.5) * 8 / size_hw[0]) for y in range(size_hw[0])]
    columns = [int((x + 0.5) * 12 / size_hw[1]) for x in range(size_hw[1])]
    assert torch.equal(coarse[0], labels[0][rows][:, columns])


class Paused(BaseException):
    """A process waits for what the others bring."""


def in_processes(
    work: Callable[[int], torch.Tensor], count: int, monkeypatch: pytest.MonkeyPatch
) -> list[torch.Tensor]:
    """`work(rank)` of every rank, as if in processes that meet in each sum, but all in one autograd graph.

    Each round runs all of them up to the first exchange whose outcome is not known yet, and adds that outcome.
    """
    known: list[torch.Tensor] = []
    while True:
        brought: list[torch.Tensor] = []
        finished: list[torch.Tensor] = []
        joins: set[Join] = set()
        for rank in range(count):
            outcomes = iter(known)

            def exchange(tensor: torch.Tensor, join: Join, outcomes: Iterator[torch.Tensor] = outcomes) -> torch.Tensor:
                for outcome in outcomes:
                    return outcome
                brought.append(tensor)  # noqa: B023 (called within this round)
                joins.add(join)  # noqa: B023
                raise Paused

            monkeypatch.setattr(distributed, "all_sum", lambda tensor, do=exchange: do(tensor, summed))
            monkeypatch.setattr(distributed, "all_gather_values", lambda values, do=exchange: do(values, torch.cat))
            with contextlib.suppress(Paused):
                finished.append(work(rank))
        if len(finished) == count:
            return finished
        assert (len(brought), len(joins)) == (count, 1), "some processes went another way and would wait for ever"
        known.append(joins.pop()(brought))


def summed(tensors: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(tensors).sum(0)


@pytest.mark.parametrize(
    "config", [*map(only, FACTORS), only("cross_entropy", ohem_fraction=0.3)], ids=[*FACTORS, "hardest"]
)
@pytest.mark.parametrize("emptied", [0, 1])
def test_a_batch_split_over_processes_has_the_loss_of_the_whole(
    config: LossConfig, emptied: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three shares of one, two and one pictures; with `emptied`, the first share has no label at all."""
    logits, labels = (torch.cat(pair) for pair in zip(batch(1), batch(2), strict=True))
    labels[:emptied] = VOID
    loss = SegmentationLoss(config, void=VOID, shares=SHARES)
    whole = logits.clone().requires_grad_()
    expected = loss({"out": whole}, labels)
    torch.autograd.backward(expected)

    shares = [slice(0, 1), slice(1, 3), slice(3, 4)]
    parts = [logits[share].clone().requires_grad_() for share in shares]
    losses = in_processes(lambda rank: loss({"out": parts[rank]}, labels[shares[rank]]), 3, monkeypatch)
    assert [float(value.detach()) for value in losses] == pytest.approx([float(expected.detach())] * 3)
    torch.autograd.backward(losses[0])
    assert whole.grad is not None
    for part, share in zip(parts, shares, strict=True):
        assert part.grad is not None
        torch.testing.assert_close(part.grad, whole.grad[share])


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"dice": -1.0}, "dice=-1.0: expected at least 0."),
        ({"focal_gamma": -0.5}, "focal_gamma=-0.5: expected at least 0."),
        ({"cross_entropy": 0.0}, "every term is 0; give at least one of cross_entropy, focal, "),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0: expected 0 up to, but not including, 1."),
        ({"boundary_sigma": 0.0}, "boundary_sigma=0.0: expected above 0, at most 20 pixels."),
        ({"boundary_sigma": 21.0}, "boundary_sigma=21.0: expected above 0, at most 20 pixels."),
    ],
)
def test_settings_without_sense_are_refused(settings: dict[str, float], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        LossConfig(**settings)
    assert str(caught.value).startswith(problem)
