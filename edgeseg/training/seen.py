"""How well a network does on the batches that it learns from, as it learns: a figure beside validation's."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from edgeseg.training import distributed

STRIDE = 4
"""Every fourth pixel of every fourth row is looked at: enough for a percentage, a sixteenth of the cost."""


class Seen:
    """Confusion matrix and cross entropy of an epoch's batches, as the network answered each before it changed.

    So these are figures of varied crops, with dropout and the batch's own statistics; against validation's they tell
    whether a network only remembers. Cross entropy is plain, in nats per pixel, whatever the recipe's loss is.
    """

    def __init__(self, classes: int, void: int, device: torch.device) -> None:
        self._classes, self._void, self._device = classes, void, device
        self.reset()

    def reset(self) -> None:
        """Forget everything: a new epoch."""
        self._matrix = torch.zeros(self._classes, self._classes, dtype=torch.int64, device=self._device)
        self._nll = torch.zeros((), device=self._device)

    @torch.no_grad()
    def add(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Logits (N, C, H, W) of any float dtype and labels int64 (N, H, W), of this process's part of a batch."""
        some = logits.detach()[..., ::STRIDE, ::STRIDE].float().movedim(1, -1).reshape(-1, self._classes)
        truth = labels[..., ::STRIDE, ::STRIDE].reshape(-1)
        self._nll += F.cross_entropy(some, truth, ignore_index=self._void, reduction="sum")
        # Void, outside the classes, in a bucket beyond the matrix.
        pairs = torch.where(truth == self._void, self._classes, truth) * self._classes + some.argmax(1)
        cells = self._classes**2
        self._matrix += torch.bincount(pairs, minlength=cells)[:cells].view_as(self._matrix)

    def row(self) -> dict[str, float]:
        """`training_miou` and `training_cross_entropy` of what all processes saw; nothing where all of it was void."""
        values = torch.cat([self._matrix.flatten().double().cpu(), self._nll.double().cpu()[None]])
        values = distributed.all_sum(values)
        matrix = values[:-1].view(self._classes, self._classes)
        if not matrix.any():
            return {}
        hit = matrix.diagonal()
        union = matrix.sum(0) + matrix.sum(1) - hit
        return {
            "training_miou": float((hit[union > 0] / union[union > 0]).mean()),
            "training_cross_entropy": float(values[-1] / matrix.sum()),
        }

    def state(self) -> list[dict[str, Any]]:
        """What every process has seen so far, to go on in the middle of an epoch."""
        return distributed.gather({"matrix": self._matrix.cpu(), "nll": self._nll.cpu()})

    def load_state(self, states: list[dict[str, Any]]) -> None:
        """The inverse of `state`; fewer processes than before share out what the others had seen."""
        self.reset()
        for state in states[distributed.process_rank() :: distributed.process_count()]:
            self._matrix += state["matrix"].to(self._device)
            self._nll += state["nll"].to(self._device)
