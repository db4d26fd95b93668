"""FCN-32s as in the textbook (Zhang et al., Dive into Deep Learning, "Fully Convolutional Networks").

ResNet-18's trunk, a 1×1 convolution to the classes, and one transposed convolution (kernel 64, stride 32, padding 16)
that starts as bilinear interpolation; or another upsampling in its place.
"""

from __future__ import annotations

import torch
from torch import nn

from edgeseg.models.backbones import ResNet18
from edgeseg.models.registry import ModelSpec
from edgeseg.models.upsampling import UPSAMPLINGS

_STRIDE = 32


class FcnResNet18(nn.Module):
    """float32 (N, 3, H, W), any size → {"out": logits (N, classes, H, W)}."""

    def __init__(self, num_classes: int, *, upsample: str) -> None:
        super().__init__()
        self.backbone = ResNet18()
        self.classifier = nn.Conv2d(self.backbone.channels, num_classes, 1)
        self.upsample = UPSAMPLINGS[upsample](num_classes, _STRIDE)
        nn.init.xavier_uniform_(self.classifier.weight)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """float32 (N, 3, H, W) → {"out": logits (N, classes, H, W)}."""
        return {"out": self.upsample(self.classifier(self.backbone(images)), images.shape[-2:])}


def build(spec: ModelSpec) -> nn.Module:
    """The network of `spec`; the textbook has no auxiliary head, so `spec.auxiliary` changes nothing."""
    return FcnResNet18(spec.num_classes, upsample=spec.upsampling)
