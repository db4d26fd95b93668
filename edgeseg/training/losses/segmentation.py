"""The training loss: the terms of the recipe with their factors, and the auxiliary head's cross entropy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from edgeseg.training.losses.boundary import boundary_cross_entropy
from edgeseg.training.losses.config import LossConfig
from edgeseg.training.losses.cross_entropy import cross_entropy
from edgeseg.training.losses.dice import soft_dice
from edgeseg.training.losses.focal import focal
from edgeseg.training.losses.jaccard import soft_jaccard
from edgeseg.training.losses.lovasz import lovasz_softmax
from edgeseg.training.losses.pixels import Pixels
from edgeseg.training.losses.weights import class_weights

TERMS: Mapping[str, Callable[[Pixels, LossConfig], torch.Tensor]] = {
    "cross_entropy": lambda pixels, config: cross_entropy(
        pixels, smoothing=config.label_smoothing, fraction=config.ohem_fraction
    ),
    "focal": lambda pixels, config: focal(pixels, gamma=config.focal_gamma),
    "boundary": lambda pixels, config: boundary_cross_entropy(
        pixels, weight=config.boundary_weight, sigma=config.boundary_sigma
    ),
    "jaccard": lambda pixels, _: soft_jaccard(pixels),
    "dice": lambda pixels, _: soft_dice(pixels),
    "lovasz": lambda pixels, _: lovasz_softmax(pixels),
}
"""Key of its factor in `LossConfig` → scalar loss. A new loss is one file, one line here and one key there."""


class SegmentationLoss(nn.Module):
    """{"out", "aux"?: logits (N, C, H, W)} and labels int64 (N, H, W) with `void` → scalar loss.

    `shares` (C,) is each class's share of the labelled pixels, for the class weights; None weighs all classes alike.
    Where a batch is split over processes, each gets the loss of the whole batch, and the mean over processes of its
    gradients is the whole batch's gradient, as `DistributedDataParallel` averages them.
    """

    weight: torch.Tensor | None

    def __init__(self, config: LossConfig, *, void: int, shares: NDArray[np.float64] | None) -> None:
        super().__init__()
        self._config = config
        self._void = void
        weight = None if shares is None else class_weights(shares, config.class_weight_offset)
        self.register_buffer("weight", weight)

    def forward(self, outputs: Mapping[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        """Scalar float32; 0 where every pixel is void."""
        config = self._config
        pixels = Pixels(outputs["out"], labels, self._void, self.weight)
        factors = {name: getattr(config, name) for name in TERMS}
        loss = sum(
            (factor * TERMS[name](pixels, config) for name, factor in factors.items() if factor),
            start=pixels.logits.new_zeros(()),
        )
        if "aux" in outputs and config.auxiliary:
            coarse = coarser_labels(labels, outputs["aux"].shape[-2:])
            loss = loss + config.auxiliary * cross_entropy(Pixels(outputs["aux"], coarse, self._void, self.weight))
        return loss

    def labelled_weight(self, labels: torch.Tensor) -> torch.Tensor:
        """What these labels int64 (N, H, W) weigh in a mean over pixels: float32 scalar, Σ of the class weights."""
        labelled = labels[labels != self._void]
        if self.weight is None:
            return torch.tensor(float(labelled.numel()), device=labels.device)
        return self.weight[labelled].sum()


def coarser_labels(labels: torch.Tensor, size_hw: torch.Size) -> torch.Tensor:
    """int64 (N, H, W) → int64 (N, h, w), the label in the middle of each cell; unchanged where the size fits.

    Cheaper than upsampling an auxiliary head's logits, which took a tenth of a training step on a CPU.
    """
    if labels.shape[-2:] == size_hw:
        return labels
    return F.interpolate(labels[:, None].float(), size=tuple(size_hw), mode="nearest-exact")[:, 0].long()
