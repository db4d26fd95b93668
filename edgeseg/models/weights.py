"""Partial loading that says exactly what was taken, what was dropped and what is new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from edgeseg.errors import CheckpointError

StateDict = dict[str, torch.Tensor]

_SHOWN = 6
"""Layers that a report names; of a whole backbone the first ones tell which it is."""


@dataclass(frozen=True)
class LoadReport:
    """What became of every tensor on both sides. As text, layers with the shape of their weight."""

    taken: tuple[str, ...]
    dropped: Mapping[str, torch.Size]
    """In the file and not used: the network has no such tensor, or one of another shape. Name → shape in the file."""
    new: Mapping[str, torch.Size]
    """In the network and left as initialised: the file has no such tensor, or one of another shape. Name → shape."""

    @property
    def whole(self) -> bool:
        """Whether both sides have the same tensors."""
        return not self.dropped and not self.new

    def misfit(self) -> str:
        """Where the sides differ, for a file that should have been the network's own."""
        sides = (("the file alone", self.dropped), ("the network alone", self.new))
        return "; ".join(f"in {side}: {_layers(shapes)}" for side, shapes in sides if shapes)

    def __str__(self) -> str:
        parts = [f"{len(self.taken)} tensors taken"]
        if self.dropped:
            parts.append(f"dropped: {_layers(self.dropped)}")
        if self.new:
            parts.append(f"new, as initialised: {_layers(self.new)}")
        return "; ".join(parts)


def load_partial(network: nn.Module, state: Mapping[str, torch.Tensor]) -> LoadReport:
    """Copy into `network` every tensor of `state` that has its name and shape; raises if that is none at all."""
    own = network.state_dict()
    taken = tuple(name for name in state if name in own and own[name].shape == state[name].shape)
    fitting = set(taken)
    report = LoadReport(
        taken=taken,
        dropped={name: value.shape for name, value in state.items() if name not in fitting},
        new={name: value.shape for name, value in own.items() if name not in fitting},
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


def _layers(shapes: Mapping[str, torch.Size]) -> str:
    """`classifier 5×256×1×1, upsample 5×5×8×8`: each layer once, with its largest tensor: a report fits on a line."""
    layers: dict[str, torch.Size] = {}
    for name, shape in shapes.items():
        layer = name.rpartition(".")[0] or name
        if layer not in layers or shape.numel() > layers[layer].numel():
            layers[layer] = shape
    shown = [f"{name} {_shape(shape)}" for name, shape in list(layers.items())[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(layers) - _SHOWN} more layers" if len(layers) > _SHOWN else "")


def _shape(shape: torch.Size) -> str:
    return "×".join(str(size) for size in shape) or "scalar"
