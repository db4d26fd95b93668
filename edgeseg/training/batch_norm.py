"""Batch normalisation over the whole batch, when every process holds a part of it."""

from __future__ import annotations

import torch
from torch import nn

from edgeseg.training.distributed import all_sum, process_count


def synchronise(network: nn.Module, device: torch.device) -> nn.Module:
    """`network` with statistics over all processes; names and state dict stay as they are. Alone nothing changes.

    On a GPU PyTorch's own SyncBatchNorm, which refuses CPU tensors; on a CPU the class below.
    """
    if process_count() == 1:
        return network
    if device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return converted
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            # The very module, so that whatever holds it or its parameters keeps them; only `forward` differs.
            module.__class__ = SyncBatchNorm2d
    return network


class SyncBatchNorm2d(nn.BatchNorm2d):
    """float (n, C, H, W) on every process, n alike → normalised by mean and variance over all processes (Ioffe 2015).

    Two passes, mean and then squared distances from it, in double precision: the variance of E[x²] − E[x]² cancels.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """float (n, C, H, W) → the same shape and dtype."""
        if not self.training:
            return super().forward(input)
        count = input.numel() // input.shape[1] * process_count()
        values = input.float()
        mean = all_sum(values.sum((0, 2, 3), dtype=torch.float64)) / count
        centred = values - mean.float()[:, None, None]
        variance = all_sum(centred.square().sum((0, 2, 3), dtype=torch.float64)) / count
        if self.track_running_stats:
            self._follow(mean.detach(), variance.detach() * count / max(1, count - 1))
        scaled = centred * torch.rsqrt(variance + self.eps).float()[:, None, None]
        if self.affine:
            scaled = scaled * self.weight[:, None, None] + self.bias[:, None, None]
        return scaled.to(input.dtype)

    def _follow(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.float(), momentum)
        self.running_var.lerp_(variance.float(), momentum)
