"""Training in less memory: the backbone's blocks forget what they computed and compute it again on the way back."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from edgeseg.errors import ConfigError

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def checkpoint_activations(network: nn.Module) -> int:
    """Make the backbone's blocks keep their inputs alone while training (Chen et al. 2016); returns how many.

    Loss and gradients stay what they were, dropout included, and batch statistics count every batch once. Names and
    state dict stay too. Not for a network that is still to be copied: the copy would run this one's blocks. Raises
    `ConfigError` for a backbone without blocks, as VGG's.
    """
    blocks = list(_blocks(network.get_submodule("backbone")))
    if not blocks:
        raise ConfigError(
            f"model.checkpoint_activations: the backbone of {type(network).__name__} is a plain chain of layers, "
            "without blocks to compute again. Raise schedule.accumulate instead."
        )
    for block in blocks:
        block.forward = functools.partial(_forward, block, block.forward)
    return len(blocks)


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The modules with convolutions and a `forward` of their own, nearest to the root: residual blocks, say."""
    for child in module.children():
        # The exact types: torchvision's blocks of convolution, norm and activation derive from Sequential.
        if type(child) in _CONTAINERS:
            yield from _blocks(child)
        elif not isinstance(child, nn.Conv2d) and any(isinstance(layer, nn.Conv2d) for layer in child.modules()):
            yield child


def _forward(block: nn.Module, forward: Any, *values: torch.Tensor) -> Any:
    if not (block.training and torch.is_grad_enabled()):
        return forward(*values)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_kept(block)

    return checkpoint(forward, *values, use_reentrant=False, preserve_rng_state=True, context_fn=contexts)


@contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    """The second pass normalises by the batch, as the first one did, but the running statistics have it already.

    It writes into copies. To turn the statistics off instead would save other tensors than the first pass, which
    `checkpoint` refuses.
    """
    layers = [layer for layer in block.modules() if isinstance(layer, _BatchNorm) and layer.training]
    kept = [dict(layer.named_buffers(recurse=False)) for layer in layers]
    for layer, buffers in zip(layers, kept, strict=True):
        for name, value in buffers.items():
            setattr(layer, name, value.clone())
    try:
        yield
    finally:
        for layer, buffers in zip(layers, kept, strict=True):
            for name, value in buffers.items():
                setattr(layer, name, value)
