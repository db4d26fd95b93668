"""The optimiser of a recipe: which parameters learn how fast, and which decay."""

from __future__ import annotations

import torch
from torch import nn

from edgeseg.errors import ConfigError
from edgeseg.training.recipe import OptimiserConfig


def build_optimiser(network: nn.Module, config: OptimiserConfig) -> torch.optim.Optimizer:
    """AdamW in four groups: backbone or not, decayed or not (vectors, that is norms and biases, are not).

    Each group keeps its peak learning rate under "peak". Raises `ConfigError` where every parameter is frozen.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith("backbone."), parameter.ndim > 1), []).append(parameter)
    if not groups:
        raise ConfigError("model.freeze leaves nothing to train. Freeze fewer modules.")
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "peak": config.learning_rate * (config.backbone_factor if backbone else 1.0),
                "weight_decay": config.weight_decay if decayed else 0.0,
            }
            for (backbone, decayed), parameters in groups.items()
        ],
        lr=config.learning_rate,
    )


def set_learning_rate(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's learning rate to `factor` of its peak."""
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * factor


def freeze(network: nn.Module, names: tuple[str, ...]) -> list[nn.Module]:
    """Take the gradient from the modules called `names`; returns them, to be kept in eval mode by who trains.

    Raises `ConfigError` for a name that the network does not have.
    """
    modules = dict(network.named_modules())
    for name in names:
        if name not in modules:
            raise ConfigError(f"model.freeze names {name!r}, which the network does not have.")
    return [modules[name].requires_grad_(False) for name in names]
