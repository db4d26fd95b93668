"""FCN-2s on VGG16: five doublings back to the image's size, adding the features of every block on the way.

The widespread variant of FCN-8s that leaves out fc6 and fc7 and sums features instead of class scores, down to pool1 at
stride 2: each step up is a transposed convolution (kernel 4, stride 2), started as bilinear interpolation, and a 3×3
convolution that mends its seams; then the block's map is added. The class scores are made last, at the image's size.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from edgeseg.models.backbones import conv_bn_relu
from edgeseg.models.registry import ModelSpec
from edgeseg.models.upsampling import crop_to, transposed_upsample
from edgeseg.models.vgg16 import Vgg16

_FINEST_WIDTH = 32
"""Channels at the image's size, where there is no block whose width to take."""


class Double(nn.Module):
    """One step: float (N, C_in, h, w) → (N, C_out, H, W) with H ≤ 2h, W ≤ 2w."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.up = transposed_upsample(channels_in, channels_out, stride=2)
        self.blend = conv_bn_relu(channels_out, channels_out, 3)

    def forward(self, coarse: torch.Tensor, size_hw: torch.Size) -> torch.Tensor:
        """float (N, C_in, h, w), (H, W) → (N, C_out, H, W)."""
        return torch.as_tensor(self.blend(crop_to(self.up(coarse), size_hw)))


class Fcn2sVgg16(nn.Module):
    """float32 (N, 3, H, W), any size → {"out": logits (N, classes, H, W)}."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.backbone = Vgg16()
        widths = (*reversed(self.backbone.channels), _FINEST_WIDTH)
        self.steps = nn.ModuleList(Double(wide, narrow) for wide, narrow in pairwise(widths))
        self.classifier = nn.Conv2d(_FINEST_WIDTH, num_classes, 1)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """float32 (N, 3, H, W) → {"out": logits (N, classes, H, W)}."""
        *skips, value = self.backbone(images)
        *steps, last = self.steps
        for step, skip in zip(steps, reversed(skips), strict=True):
            value = step(value, skip.shape[-2:]) + skip
        return {"out": self.classifier(last(value, images.shape[-2:]))}


def build(spec: ModelSpec) -> nn.Module:
    """The network of `spec`; the skips supervise the trunk already, so `spec.auxiliary` changes nothing."""
    return Fcn2sVgg16(spec.num_classes)
