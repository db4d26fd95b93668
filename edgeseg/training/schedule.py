"""Learning rate and weight averaging as functions of the iteration."""

from __future__ import annotations

import copy

import torch
from torch import nn


def poly_with_warmup(iteration: int, *, total: int, warmup: int, power: float) -> float:
    """Factor of the learning rate: linear from 1/warmup to 1, then (1 − t/T)^power down to 0 at `total`."""
    if iteration < warmup:
        return (iteration + 1) / warmup
    progress = (iteration - warmup) / max(1, total - warmup)
    return float(max(0.0, 1.0 - progress) ** power)


class WeightAverage:
    """Exponential moving average of a network's parameters; buffers (batch statistics) are averaged alike.

    The decay rises as (1 + t)/(10 + t) up to its limit, so that the first, random weights are soon forgotten
    (TensorFlow's ExponentialMovingAverage, `num_updates`).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.updates = 0
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the weights after one iteration."""
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for average, current in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if average.is_floating_point():
                average.lerp_(current, 1 - decay)
            else:
                average.copy_(current)
