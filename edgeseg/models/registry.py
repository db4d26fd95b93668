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
from edgeseg.models.upsampling import UPSAMPLINGS

NETWORKS = {
    "fcn_resnet18": "edgeseg.models.fcn_resnet18:build",
    "fcn8s_mobilenet_v2": "edgeseg.models.fcn8s_mobilenet_v2:build",
    "fcn4s_mobilenet_v2": "edgeseg.models.fcn4s_mobilenet_v2:build",
    "fcn4s_narrow_mobilenet_v2": "edgeseg.models.fcn4s_mobilenet_v2:build_narrow",
    "fcn32s_vgg16": "edgeseg.models.fcn_vgg16:build_32s",
    "fcn16s_vgg16": "edgeseg.models.fcn_vgg16:build_16s",
    "fcn8s_vgg16": "edgeseg.models.fcn_vgg16:build_8s",
    "fcn2s_vgg16": "edgeseg.models.fcn2s_vgg16:build",
    "segnet_vgg16": "edgeseg.models.segnet_vgg16:build",
    "segnet_basic": "edgeseg.models.segnet_basic:build",
    "fcn_resnet34": "edgeseg.models.family:build",
    "fcn_resnet50": "edgeseg.models.torchvision_zoo:build",
    "fcn_resnet101": "edgeseg.models.torchvision_zoo:build",
    "fcn_mobilenet_v2": "edgeseg.models.family:build",
    "fcn_mobilenet_v3_small": "edgeseg.models.family:build",
    "fcn_mobilenet_v3_large": "edgeseg.models.family:build",
    "deeplabv3_resnet18": "edgeseg.models.family:build",
    "deeplabv3_resnet34": "edgeseg.models.family:build",
    "deeplabv3_resnet50": "edgeseg.models.torchvision_zoo:build",
    "deeplabv3_resnet101": "edgeseg.models.torchvision_zoo:build",
    "deeplabv3_mobilenet_v2": "edgeseg.models.family:build",
    "deeplabv3_mobilenet_v3_small": "edgeseg.models.family:build",
    "deeplabv3_mobilenet_v3_large": "edgeseg.models.torchvision_zoo:build",
    "lraspp_mobilenet_v3_large": "edgeseg.models.torchvision_zoo:build",
}
"""Name → "module:function"; the function takes a `ModelSpec`. A new network is one file and one line here."""

ANY_UPSAMPLING = {
    name: "transposed" if name == "fcn_resnet18" else "bilinear"
    for name in NETWORKS
    if name.startswith(("fcn_resnet", "fcn_mobilenet", "deeplabv3_", "lraspp_"))
}
"""Networks whose upsampling is a choice → their own way. Of the others it is the idea: skips, rungs, indices."""


@dataclass(frozen=True)
class ModelSpec:
    """Which network, for how many classes, with an auxiliary head or without, and how it upsamples."""

    name: str
    num_classes: int
    auxiliary: bool = True
    """Deep supervision while training; never part of an exported graph."""
    upsample: str | None = None
    """How class scores reach the image's size, by a name of `UPSAMPLINGS`; None is the network's own way."""

    def __post_init__(self) -> None:
        if self.name not in NETWORKS:
            raise ConfigError(f"unknown network {self.name!r}; known: {', '.join(NETWORKS)}.")
        if type(self.num_classes) is not int or not 2 <= self.num_classes <= MAX_CLASSES:
            raise ConfigError(
                f"num_classes={self.num_classes}: a label is a uint8 with one value for void; use 2 to {MAX_CLASSES}."
            )
        if self.upsample is not None:
            self._check_upsample(self.upsample)

    @property
    def upsampling(self) -> str:
        """The name in `UPSAMPLINGS` of what a network with a choice is built with."""
        return self.upsample or ANY_UPSAMPLING[self.name]

    def _check_upsample(self, upsample: str) -> None:
        if upsample not in UPSAMPLINGS:
            raise ConfigError(f"unknown upsample {upsample!r}; known: {', '.join(UPSAMPLINGS)}.")
        if self.name not in ANY_UPSAMPLING:
            raise ConfigError(
                f"upsample={upsample!r}: {self.name} has its own; leave it out, or take one of: "
                f"{', '.join(ANY_UPSAMPLING)}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint's metadata."""
        return asdict(self)


def build_model(spec: ModelSpec) -> nn.Module:
    """The network of `spec`, randomly initialised (transposed convolutions: bilinear), in training mode."""
    module, _, function = NETWORKS[spec.name].partition(":")
    network: nn.Module = getattr(importlib.import_module(module), function)(spec)
    return network
