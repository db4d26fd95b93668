"""Logits and labels of a batch, and what several losses want of them, each computed once."""

from __future__ import annotations

from functools import cached_property

import torch
import torch.nn.functional as F

from edgeseg.training import distributed


class Pixels:
    """Logits (N, C, H, W), labels int64 (N, H, W) with `void`, and class weights (C,), all 1 where None.

    `class_pixels`, `overlap_and_mass` and `ratio` speak of the whole batch: where it is split over processes, they add
    up over all of them, so that every loss and its gradient are what one process would get from all of the batch.
    """

    def __init__(
        self, logits: torch.Tensor, labels: torch.Tensor, void: int, weights: torch.Tensor | None = None
    ) -> None:
        # Half precision would not count the pixels of one frame.
        self.logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
        self.labels = labels
        self.void = void
        self.classes: int = logits.shape[1]
        self.weights = self.logits.new_ones(self.classes) if weights is None else weights.to(self.logits.dtype)

    @cached_property
    def labelled(self) -> torch.Tensor:
        """bool (N, H, W)."""
        return self.labels != self.void

    @cached_property
    def truth(self) -> torch.Tensor:
        """int64 (N, H, W): labels with 0 in place of void, to index with."""
        return self.labels.masked_fill(~self.labelled, 0)

    @cached_property
    def log_probability(self) -> torch.Tensor:
        """(N, C, H, W)."""
        return self.logits.log_softmax(1)

    @cached_property
    def probability(self) -> torch.Tensor:
        """(N, C, H, W)."""
        return self.log_probability.exp()

    @cached_property
    def nll(self) -> torch.Tensor:
        """(N, H, W): −ln p of the true class, without its weight; 0 at void."""
        return F.nll_loss(self.log_probability, self.labels, ignore_index=self.void, reduction="none")

    def summed_nll(self) -> torch.Tensor:
        """Scalar: Σ −w·ln p of the true class over this process's labelled pixels, w its weight."""
        return F.nll_loss(self.log_probability, self.labels, self.weights, ignore_index=self.void, reduction="sum")

    @cached_property
    def pixel_weights(self) -> torch.Tensor:
        """(N, H, W): the weight of the true class; 0 at void."""
        return self.weights[self.truth] * self.labelled

    @cached_property
    def class_pixels(self) -> torch.Tensor:
        """(C,): labelled pixels of each class in the whole batch, as floats."""
        ids = self.labels.masked_fill(~self.labelled, self.classes).flatten()
        own = torch.bincount(ids, minlength=self.classes)[: self.classes]
        return distributed.all_sum(own.to(self.logits.dtype))

    @cached_property
    def overlap_and_mass(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(C,) and (C,): Σ p·y and Σ p of each class over the labelled pixels of the whole batch."""
        mask = self.labelled.to(self.logits.dtype)
        mass = (self.probability.flatten(2) @ mask.flatten(1)[..., None]).sum((0, 2))
        # No one-hot tensor of the logits' size: only the true class's probability meets y = 1.
        hit = self.probability.gather(1, self.truth[:, None])[:, 0] * mask
        overlap = hit.new_zeros(self.classes).index_add(0, self.truth.flatten(), hit.flatten())
        overlap, mass = distributed.all_sum(torch.stack([overlap, mass]))
        return overlap, mass

    def mean(self, losses: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Σ losses / Σ weights over the whole batch, both (N, H, W) and 0 at void."""
        return self.ratio(losses.sum(), distributed.all_sum(weights.sum()))

    def ratio(self, total: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        """This process's `total`, summed over all, by the whole batch's `count`; 0, not NaN, where all is void."""
        return distributed.all_sum(total) / count.clamp_min(torch.finfo(count.dtype).tiny)
