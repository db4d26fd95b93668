"""Several processes that train one network together: who is who, and sums over all of them.

Every function here works alone too: without a process group there is one process, and a sum over it is the value
itself. So losses and the trainer are written once.

How a loss becomes that of the whole batch. Each process sees its own slice of the batch; the loss must come out the
same on every one, as if it had seen all slices:

    total = all_sum(losses.sum())            sums over pixels, by class or in all
    count = all_sum(labelled.sum())
    loss = total / count

    values = all_gather_values(losses)       all pixels' values on every process, for ranking (OHEM, Lovász)

Three rules. A branch may hang on what all_sum returned, never on a local count: a process that returns early leaves
the others waiting in their next sum. Counts that are reduced are floats. And no factor for the number of processes:
both functions are differentiable, their gradient is the true adjoint (a sum over processes again), and
DistributedDataParallel averages over processes, so that a value equal on all of them has the whole batch's gradient.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist


def process_count() -> int:
    """Processes that train together; 1 without a process group."""
    return dist.get_world_size() if _together() else 1


def process_rank() -> int:
    """This process's number, from 0; the first one writes and talks."""
    return dist.get_rank() if _together() else 0


def all_sum(tensor: torch.Tensor) -> torch.Tensor:
    """The element-wise sum over all processes of a float tensor of any, but everywhere the same, shape.

    Differentiable; `tensor` itself where there is one process.
    """
    if process_count() == 1:
        return tensor
    summed: torch.Tensor = _AllSum.apply(tensor)
    return summed


def all_gather_values(values: torch.Tensor) -> torch.Tensor:
    """(n,) here → (sum of n over all processes,), in the order of the processes; n may differ, and be 0.

    Differentiable; `values` itself where there is one process.
    """
    if process_count() == 1:
        return values
    gathered: torch.Tensor = _AllGather.apply(values)
    return gathered


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()


class _AllSum(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, tensor: torch.Tensor) -> torch.Tensor:
        summed = tensor.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(_: Any, gradient: torch.Tensor) -> torch.Tensor:
        # Of the sum of all processes' losses: each of them depends on this process's summand.
        summed = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        sizes = torch.zeros(process_count(), dtype=torch.int64, device=values.device)
        sizes[process_rank()] = values.numel()
        dist.all_reduce(sizes)
        counts = [int(size) for size in sizes]
        ctx.start, ctx.count = sum(counts[: process_rank()]), values.numel()
        # Collectives want the same shape everywhere: padded to the longest, and cut again.
        padded = values.new_zeros(max(counts))
        padded[: values.numel()] = values.detach()
        pieces = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(pieces, padded)
        return torch.cat([piece[:count] for piece, count in zip(pieces, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        summed = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed)
        return summed[ctx.start : ctx.start + ctx.count]
