"""The training loss: cross entropy with class weights or hard pixels, soft Jaccard, and the auxiliary head."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from edgeseg.training.recipe import LossConfig


def class_weights(shares: NDArray[np.float64], offset: float) -> torch.Tensor:
    """float32 (classes,) weights 1/ln(offset + share), scaled to mean 1 (ENet, Paszke et al. 2016, section 5.2)."""
    weights = 1.0 / np.log(offset + shares)
    return torch.from_numpy((weights / weights.mean()).astype(np.float32))


class SegmentationLoss(nn.Module):
    """{"out", "aux"?: logits (N, C, H, W)} and labels int64 (N, H, W) with `void` → scalar loss.

    `shares` (C,) is each class's share of the labelled pixels, for the class weights; None weighs all classes alike.
    """

    weight: torch.Tensor | None

    def __init__(self, config: LossConfig, *, void: int, shares: NDArray[np.float64] | None) -> None:
        super().__init__()
        self._config = config
        self._void = void
        weight = None if shares is None else class_weights(shares, config.class_weight_offset)
        self.register_buffer("weight", weight)

    def forward(self, outputs: dict[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        """Scalar float32."""
        config = self._config
        loss = cross_entropy(outputs["out"], labels, self._void, self.weight, config.ohem_fraction)
        if config.jaccard:
            loss = loss + config.jaccard * soft_jaccard(outputs["out"], labels, self._void)
        if "aux" in outputs and config.auxiliary:
            coarse = coarser_labels(labels, outputs["aux"].shape[-2:])
            loss = loss + config.auxiliary * cross_entropy(outputs["aux"], coarse, self._void, self.weight)
        return loss


def cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, void: int, weight: torch.Tensor | None, fraction: float = 1.0
) -> torch.Tensor:
    """Weighted mean of the cross entropy over labelled pixels, or over the `fraction` of them with the largest loss.

    Logits (N, C, H, W), labels (N, H, W), weight (C,) → scalar; 0 where every pixel is void, not PyTorch's NaN.
    """
    labelled = labels != void
    if not bool(labelled.any()):
        return logits.sum() * 0.0
    if fraction == 1:
        return F.cross_entropy(logits, labels, weight, ignore_index=void)
    losses = F.cross_entropy(logits, labels, weight, ignore_index=void, reduction="none")[labelled]
    hardest = losses.topk(max(1, int(losses.numel() * fraction)), sorted=False)
    if weight is None:
        return hardest.values.mean()
    # Divided by the weights, as PyTorch's own mean is, so that the fraction 1 is no special case.
    return hardest.values.sum() / weight[labels[labelled][hardest.indices]].sum()


def coarser_labels(labels: torch.Tensor, size_hw: torch.Size) -> torch.Tensor:
    """int64 (N, H, W) → int64 (N, h, w), the label in the middle of each cell; unchanged where the size fits.

    Cheaper than upsampling an auxiliary head's logits, which took a tenth of a training step on a CPU.
    """
    if labels.shape[-2:] == size_hw:
        return labels
    return F.interpolate(labels[:, None].float(), size=tuple(size_hw), mode="nearest-exact")[:, 0].long()


def soft_jaccard(logits: torch.Tensor, labels: torch.Tensor, void: int) -> torch.Tensor:
    """1 − mean over the batch's classes of Σp·y / Σ(p + y − p·y), with softmax p and one-hot y; void pixels left out.

    The relaxed IoU of Rahman and Wang 2016, over the whole batch at once, so that a class absent from one crop but
    present in another keeps a stable value. Logits (N, C, H, W), labels (N, H, W) → scalar; 0 where all is void.
    """
    labelled = labels != void
    probability = logits.float().softmax(1) * labelled[:, None]
    truth = torch.where(labelled, labels, 0)
    classes = logits.shape[1]
    # Sums by class without a one-hot tensor of the logits' size: only the true class's probability meets y = 1.
    hit = probability.gather(1, truth[:, None])[:, 0]
    flat = truth[labelled]
    overlap = torch.zeros(classes, device=logits.device).index_add_(0, flat, hit[labelled])
    size = torch.bincount(flat, minlength=classes).to(overlap.dtype)
    union = probability.sum((0, 2, 3)) + size - overlap
    present = size > 0
    if not bool(present.any()):
        return logits.sum() * 0.0
    return 1.0 - (overlap[present] / union[present]).mean()
