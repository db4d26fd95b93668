"""Backbones that keep a finer map than the classifiers they come from: their last stages dilate instead of striding.

A convolution whose stride of 2 is taken away leaves a map twice as fine; those after it look twice as far apart, and so
see what they saw (Chen et al. 2017, section 3.1, "going deeper with atrous convolution"). No weight changes: parameter
names stay torchvision's, so that ImageNet weights load by name.

Each takes float32 (N, 3, H, W) and gives {"aux": the map before the dilated stage, "out": the last map}, both of
(N, channels, ceil(H/stride), ceil(W/stride)) for the backbones at output stride 16.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torchvision import models

from edgeseg.models.backbones import MobileNetV2


@dataclass(frozen=True, slots=True)
class Backbone:
    """A trunk and what a head has to know of it."""

    trunk: nn.Module
    channels: int
    """Of the last map, "out"."""
    aux_channels: int
    """Of the map for an auxiliary head, "aux"."""
    stride: int
    """Output stride: pixels of the image for one of the last map."""


class DilatedResNet(nn.Module):
    """ResNet-18 or -34 at output stride 16: layer4 keeps the size of layer3."""

    def __init__(self, classifier: models.ResNet) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu, self.maxpool = (
            classifier.conv1,
            classifier.bn1,
            classifier.relu,
            classifier.maxpool,
        )
        self.layer1, self.layer2, self.layer3 = classifier.layer1, classifier.layer2, classifier.layer3
        self.layer4 = classifier.layer4
        # torchvision's own switch refuses to dilate basic blocks, so their convolutions are changed themselves.
        dilate(self.layer4)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """float32 (N, 3, H, W) → {"aux": (N, 256, h, w), "out": (N, 512, h, w)} at stride 16."""
        value = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        middle = self.layer3(self.layer2(self.layer1(value)))
        return {"aux": middle, "out": self.layer4(middle)}


class DilatedMobileNet(nn.Module):
    """The `features` of a MobileNetV2 or V3 that were dilated before: the map after block `tap`, and the last one."""

    def __init__(self, features: nn.Sequential, tap: int) -> None:
        super().__init__()
        self.features = features
        self.tap = tap

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """float32 (N, 3, H, W) → {"aux": (N, C_aux, h, w), "out": (N, C, h, w)} at stride 16."""
        middle = value = images
        for index, block in enumerate(self.features):
            value = block(value)
            if index == self.tap:
                middle = value
        return {"aux": middle, "out": value}


def dilate(stage: nn.Module) -> None:
    """Take the stride of 2 away from a stage of a classifier, and dilate the 3×3 convolutions after it by 2."""
    behind = False
    for layer in stage.modules():
        if not isinstance(layer, nn.Conv2d):
            continue
        # In the order of computation; a shortcut's 1×1 convolution comes after those it runs beside.
        if behind and layer.kernel_size == (3, 3):
            layer.dilation, layer.padding = (2, 2), (2, 2)
        if layer.stride == (2, 2):
            layer.stride, behind = (1, 1), True


def _resnet(classifier: Callable[[], models.ResNet]) -> Backbone:
    return Backbone(DilatedResNet(classifier()), 512, 256, 16)


def _mobilenet_v2() -> Backbone:
    features = MobileNetV2().features
    dilate(features[14:])
    return Backbone(DilatedMobileNet(features, tap=13), 320, 96, 16)


def _mobilenet_v3_small() -> Backbone:
    # torchvision dilates the last three blocks itself, the first of them too, whose stride it takes away.
    return Backbone(DilatedMobileNet(models.mobilenet_v3_small(dilated=True).features, tap=8), 576, 48, 16)


def _mobilenet_v3_large() -> Backbone:
    return Backbone(DilatedMobileNet(models.mobilenet_v3_large(dilated=True).features, tap=12), 960, 112, 16)


BACKBONES: dict[str, Callable[[], Backbone]] = {
    "resnet18": lambda: _resnet(models.resnet18),
    "resnet34": lambda: _resnet(models.resnet34),
    "mobilenet_v2": _mobilenet_v2,
    "mobilenet_v3_small": _mobilenet_v3_small,
    "mobilenet_v3_large": _mobilenet_v3_large,
}
"""Name → a dilated backbone. ResNet-50 and -101 are torchvision's own, in `torchvision_zoo`."""
