"""Dropout over the whole batch, when every process holds a part of it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from edgeseg.training.distributed import process_count, process_rank


def share_dropout(network: nn.Module) -> nn.Module:
    """`network` that leaves out what one process with the whole batch would; alone nothing changes.

    For processes whose random states are equal, and stay so. Names and state dict stay as they are.
    """
    if process_count() > 1:
        for module in network.modules():
            if type(module) is nn.Dropout:
                module.__class__ = SharedDropout
    return network


class SharedDropout(nn.Dropout):
    """float (n, ...) on every process, n alike → its part of dropout over all of them (Srivastava et al. 2014).

    Each process draws for the whole batch, in the layout that one process would, and keeps its own part.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """float (n, ...) → the same shape and dtype."""
        if not self.training:
            return super().forward(input)
        whole = input.new_ones((process_count() * input.shape[0], *input.shape[1:]))
        if input.ndim == 4 and input.is_contiguous(memory_format=torch.channels_last):
            whole = whole.contiguous(memory_format=torch.channels_last)
        factors = F.dropout(whole, self.p, training=True).chunk(process_count())
        return input * factors[process_rank()]
