"""DeepLabv3 on MobileNetV2 at output stride 16 (Chen et al. 2017; Sandler et al. 2018, section 6.3)."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models.segmentation.deeplabv3 import DeepLabHead
from torchvision.models.segmentation.fcn import FCNHead

from edgeseg.models.backbones import MobileNetV2
from edgeseg.models.registry import ModelSpec

_RATES = (6, 12, 18)
"""Dilations of the ASPP branches for output stride 16 (Chen et al. 2017, section 4.1)."""


def _dilate(module: nn.Module) -> None:
    """Turn a stride of 2 into none and dilate every 3×3 depthwise convolution by 2, which keeps its field of view."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
            layer.stride, layer.dilation, layer.padding = (1, 1), (2, 2), (2, 2)


class DeepLabV3MobileNetV2(nn.Module):
    """float32 (N, 3, H, W), any size → {"out": logits (N, classes, H, W), while training also "aux"}."""

    def __init__(self, num_classes: int, *, auxiliary: bool) -> None:
        super().__init__()
        self.backbone = MobileNetV2()
        first, *later = self.backbone.features[14:]
        # Block 14 would halve the map; it keeps it, undilated, and the blocks after it look twice as far.
        for layer in first.modules():
            if isinstance(layer, nn.Conv2d):
                layer.stride = (1, 1)
        for block in later:
            _dilate(block)
        _, _, channels_16, channels_top = self.backbone.channels
        self.classifier = DeepLabHead(channels_top, num_classes, _RATES)
        self.aux_classifier = FCNHead(channels_16, num_classes) if auxiliary else None

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """float32 (N, 3, H, W) → {"out": logits (N, classes, H, W)}."""
        _, _, map16, top = self.backbone(images)
        size = images.shape[-2:]
        heads = {"out": self.classifier(top)}
        if self.training and self.aux_classifier is not None:
            heads["aux"] = self.aux_classifier(map16)
        return {
            name: nn.functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)
            for name, logits in heads.items()
        }


def build(spec: ModelSpec) -> nn.Module:
    """The network of `spec`."""
    return DeepLabV3MobileNetV2(spec.num_classes, auxiliary=spec.auxiliary)
