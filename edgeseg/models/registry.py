"""The table of networks, and the one way to build them.

Every network is an `nn.Module` that takes float32 (N, 3, H, W), RGB, normalised, and returns a dict as torchvision's
segmentation models do: "out", logits float32 (N, classes, H, W) at the input's size, and, while training, "aux" at that
size or a coarser one, where the network has an auxiliary head.
"""

from __future__ import annotations

import importlib
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from edgeseg.errors import ConfigError
from edgeseg.labels import MAX_CLASSES

NETWORKS = {
    "fcn_resnet18": "edgeseg.models.fcn_resnet18:build",
    "fcn8s_mobilenet_v2": "edgeseg.models.fcn8s_mobilenet_v2:build",
    "fcn4s_mobilenet_v2": "edgeseg.models.fcn4s_mobilenet_v2:build",
    "deeplabv3_mobilenet_v2": "edgeseg.models.deeplabv3_mobilenet_v2:build",
    "fcn_resnet50": "edgeseg.models.torchvision_zoo:fcn_resnet50",
    "fcn_resnet101": "edgeseg.models.torchvision_zoo:fcn_resnet101",
    "deeplabv3_resnet50": "edgeseg.models.torchvision_zoo:deeplabv3_resnet50",
    "deeplabv3_resnet101": "edgeseg.models.torchvision_zoo:deeplabv3_resnet101",
}
"""Name → "module:function"; the function takes a `ModelSpec`. A new network is one file and one line here."""


@dataclass(frozen=True)
class ModelSpec:
    """Which network, for how many classes, with an auxiliary head or without."""

    name: str
    num_classes: int
    auxiliary: bool = True
    """Deep supervision while training; never part of an exported graph."""

    def __post_init__(self) -> None:
        if self.name not in NETWORKS:
            raise ConfigError(f"unknown network {self.name!r}; known: {', '.join(NETWORKS)}.")
        if type(self.num_classes) is not int or not 2 <= self.num_classes <= MAX_CLASSES:
            raise ConfigError(
                f"num_classes={self.num_classes}: a label is a uint8 with one value for void; use 2 to {MAX_CLASSES}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint's metadata."""
        return asdict(self)


def build_model(spec: ModelSpec) -> nn.Module:
    """The network of `spec`, randomly initialised (transposed convolutions: bilinear), in training mode."""
    module, _, function = NETWORKS[spec.name].partition(":")
    network: nn.Module = getattr(importlib.import_module(module), function)(spec)
    return network
