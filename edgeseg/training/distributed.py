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

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from edgeseg.errors import EdgesegError, UnavailableError

T = TypeVar("T")

PATIENCE = timedelta(minutes=5)
"""How long a process waits for the others: longer than a slow disk takes, far shorter than PyTorch's 30 minutes."""


class PeerFailed(Exception):  # noqa: N818 (what happened, and not here)
    """Another process failed, and has said why; this one has only to end, with the same exit code."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"another process failed with exit code {exit_code}")
        self.exit_code = exit_code


@contextmanager
def process_group(init_method: str = "env://") -> Iterator[None]:
    """Join the processes that torchrun started, for the time inside; nothing where it did not start this one.

    GPUs talk by NCCL, everything on the CPU, small messages included, by gloo. Raises `UnavailableError` where the
    others cannot be reached, or are lost while inside.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield
        return
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    try:
        dist.init_process_group(backend, init_method=init_method, rank=rank, world_size=count, timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise UnavailableError(
            f"process {rank} of {count} cannot reach the others ({_reason(error)}). Start them all with torchrun."
        ) from error
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        raise UnavailableError(
            f"process {rank} of {count} lost the others ({_reason(error)}). Start all again with --resume."
        ) from error
    finally:
        dist.destroy_process_group()


def own_device(name: str | None) -> str | None:
    """The device that `name` means for this process: every process on a machine has a GPU of its own.

    Raises `UnavailableError` where processes would share a GPU, which NCCL refuses.
    """
    if not _together() or not torch.cuda.is_available():
        return name
    if name not in (None, "cuda"):
        if name.startswith("cuda:") and int(os.environ.get("LOCAL_WORLD_SIZE", "1")) > 1:
            raise UnavailableError(f"--device {name} is one GPU for several processes. Give --device cuda.")
        return name
    number, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if number >= gpus:
        raise UnavailableError(
            f"process {number + 1} on a machine with {gpus} GPUs. Start at most {gpus} there, or give --device cpu."
        )
    torch.cuda.set_device(number)
    return f"cuda:{number}"


def process_count() -> int:
    """Processes that train together; 1 without a process group."""
    return dist.get_world_size() if _together() else 1


def process_rank() -> int:
    """This process's number, from 0; the first one writes and talks."""
    return dist.get_rank() if _together() else 0


def highest(value: int) -> int:
    """The largest value that any process gave: how they agree to stop."""
    if process_count() == 1:
        return value
    tensor = torch.tensor(value)
    dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return int(tensor)


def gather(value: T) -> list[T]:
    """Every process's value, in their order; for small plain objects."""
    if process_count() == 1:
        return [value]
    values: list[Any] = [None] * process_count()
    dist.all_gather_object(values, value)
    return values


def from_first(value: T) -> T:
    """The first process's value, on every process."""
    if process_count() == 1:
        return value
    box = [value if process_rank() == 0 else None]
    dist.broadcast_object_list(box)
    return box[0]  # type: ignore[return-value]


@contextmanager
def all_or_none() -> Iterator[None]:
    """Where the block raises an `EdgesegError` on any process, none goes on; every process must come through here.

    The first process that failed raises its error, the others `PeerFailed`: one message for one failure.
    """
    failure = None
    try:
        yield
    except EdgesegError as error:
        failure = error
    raise_together(failure)


def raise_together(failure: EdgesegError | None) -> None:
    """The end of `all_or_none`: every process tells its failure, or that it has none."""
    codes = gather(None if failure is None else failure.exit_code)
    failed = [rank for rank, code in enumerate(codes) if code is not None]
    if not failed:
        return
    if failure is None or failed[0] != process_rank():
        raise PeerFailed(codes[failed[0]] or 1)
    raise failure


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


def _reason(error: Exception) -> str:
    """The first sentence of it, without the place in gloo's source."""
    return re.sub(r"^\[\S+\]\s*", "", str(error).strip().splitlines()[0]).split(". ")[0].rstrip(".")


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
