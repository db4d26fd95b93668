"""Partial loading that says exactly what was taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from edgeseg.errors import CheckpointError

StateDict = dict[str, torch.Tensor]


@dataclass(frozen=True)
class LoadReport:
    """What became of every tensor on both sides."""

    taken: tuple[str, ...]
    missing: tuple[str, ...]
    """In the network, not in the file: left as initialised."""
    unexpected: tuple[str, ...]
    """In the file, not in the network: ignored."""
    mismatched: tuple[str, ...]
    """In both, with another shape: left as initialised."""

    def __str__(self) -> str:
        parts = [f"{len(self.taken)} tensors taken"]
        for title in ("missing", "unexpected", "mismatched"):
            names = getattr(self, title)
            if names:
                parts.append(f"{len(names)} {title} ({_grouped(names)})")
        return "; ".join(parts)


def load_partial(network: nn.Module, state: Mapping[str, torch.Tensor]) -> LoadReport:
    """Copy into `network` every tensor of `state` that has its name and shape; raises if that is none at all."""
    own = network.state_dict()
    taken = tuple(name for name in state if name in own and own[name].shape == state[name].shape)
    report = LoadReport(
        taken=taken,
        missing=tuple(name for name in own if name not in state),
        unexpected=tuple(name for name in state if name not in own),
        mismatched=tuple(
            f"{name} {_shape(state[name])} instead of {_shape(own[name])}"
            for name in state
            if name in own and own[name].shape != state[name].shape
        ),
    )
    if not taken:
        raise CheckpointError(
            f"none of the {len(state)} tensors in the weights fits {type(network).__name__}; "
            f"expected names such as {next(iter(own))}, found {next(iter(state), 'nothing')}."
        )
    network.load_state_dict({name: state[name] for name in taken}, strict=False)
    return report


def as_convolutions(network: nn.Module, state: Mapping[str, torch.Tensor]) -> StateDict:
    """`state` with each linear layer's matrix in the shape of the convolution of `network` that has its name.

    A linear layer over a flattened (C, k, k) map is a k×k convolution that fits there once (Long, Shelhamer, Darrell
    2015, section 3.1), so its (out, C·k·k) matrix, read in the same order, is that kernel, (out, C, k, k). What fits no
    convolution stays as it is.
    """
    own = network.state_dict()

    def fits(name: str, value: torch.Tensor) -> bool:
        kernel = own.get(name)
        return (
            kernel is not None
            and (value.ndim, kernel.ndim) == (2, 4)
            and (len(value), value.numel()) == (len(kernel), kernel.numel())
        )

    return {name: value.reshape(own[name].shape) if fits(name, value) else value for name, value in state.items()}


def _shape(tensor: torch.Tensor) -> str:
    return "×".join(str(size) for size in tensor.shape) or "scalar"


def _grouped(names: tuple[str, ...]) -> str:
    """The modules' names at two levels, each once, so that a report fits on a line."""
    groups = dict.fromkeys(".".join(name.split(".")[:2]) for name in names)
    shown = list(groups)[:4]
    return ", ".join(shown) + (", …" if len(groups) > len(shown) else "")
