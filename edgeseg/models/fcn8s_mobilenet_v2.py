"""FCN-8s on MobileNetV2: class scores at strides 32, 16 and 8, summed on the way up (Long, Shelhamer, Darrell 2015).

Each step up is a learned transposed convolution between class scores, started as bilinear interpolation; the last one
(kernel 16, stride 8) reaches the input's size.
"""

from __future__ import annotations

import torch
from torch import nn

from edgeseg.models.backbones import MobileNetV2
from edgeseg.models.registry import ModelSpec
from edgeseg.models.upsampling import crop_to, transposed_upsample


class Fcn8sMobileNetV2(nn.Module):
    """float32 (N, 3, H, W), any size → {"out": logits (N, classes, H, W)}."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.backbone = MobileNetV2()
        _, channels_8, channels_16, channels_32 = self.backbone.channels
        self.score32 = nn.Conv2d(channels_32, num_classes, 1)
        self.score16 = nn.Conv2d(channels_16, num_classes, 1)
        self.score8 = nn.Conv2d(channels_8, num_classes, 1)
        self.up32 = transposed_upsample(num_classes, num_classes, stride=2)
        self.up16 = transposed_upsample(num_classes, num_classes, stride=2)
        self.up8 = transposed_upsample(num_classes, num_classes, stride=8)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """float32 (N, 3, H, W) → {"out": logits (N, classes, H, W)}."""
        _, map8, map16, map32 = self.backbone(images)
        scores = crop_to(self.up32(self.score32(map32)), map16.shape[-2:]) + self.score16(map16)
        scores = crop_to(self.up16(scores), map8.shape[-2:]) + self.score8(map8)
        return {"out": crop_to(self.up8(scores), images.shape[-2:])}


def build(spec: ModelSpec) -> nn.Module:
    """The network of `spec`; the skips supervise the trunk already, so `spec.auxiliary` changes nothing."""
    return Fcn8sMobileNetV2(spec.num_classes)
