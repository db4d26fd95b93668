"""torchvision's own FCN and DeepLabv3 on ResNet-50 and ResNet-101, untouched, so that their weights load by name."""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision.models import segmentation

from edgeseg.models.registry import ModelSpec


def _build(constructor: Any, spec: ModelSpec) -> nn.Module:
    network: nn.Module = constructor(
        weights=None, weights_backbone=None, num_classes=spec.num_classes, aux_loss=spec.auxiliary
    )
    return network


def fcn_resnet50(spec: ModelSpec) -> nn.Module:
    """FCN at output stride 8 on ResNet-50."""
    return _build(segmentation.fcn_resnet50, spec)


def fcn_resnet101(spec: ModelSpec) -> nn.Module:
    """FCN at output stride 8 on ResNet-101."""
    return _build(segmentation.fcn_resnet101, spec)


def deeplabv3_resnet50(spec: ModelSpec) -> nn.Module:
    """DeepLabv3 at output stride 8 on ResNet-50."""
    return _build(segmentation.deeplabv3_resnet50, spec)


def deeplabv3_resnet101(spec: ModelSpec) -> nn.Module:
    """DeepLabv3 at output stride 8 on ResNet-101."""
    return _build(segmentation.deeplabv3_resnet101, spec)
