"""SegNet-Basic (Badrinarayanan, Kendall, Cipolla 2017, section 3.1): four encoders and four decoders of one layer each.

Every layer is a 7×7 convolution to 64 channels with batch norm and without bias; the decoder has no ReLU. The paper
normalises the image's contrast locally; here the seal normalises it, as for every network.
"""

from __future__ import annotations

import torch
from torch import nn

from edgeseg.models.backbones import conv_bn_relu
from edgeseg.models.registry import ModelSpec
from edgeseg.models.unpooling import pool_with_places, unpool

_WIDTH, _KERNEL, _STAGES = 64, 7, 4


class SegNetBasic(nn.Module):
    """float32 (N, 3, H, W), any size → {"out": logits (N, classes, H, W)}."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.backbone = nn.ModuleList(conv_bn_relu(_WIDTH if index else 3, _WIDTH, _KERNEL) for index in range(_STAGES))
        self.decoder = nn.ModuleList(
            nn.Sequential(nn.Conv2d(_WIDTH, _WIDTH, _KERNEL, padding=_KERNEL // 2, bias=False), nn.BatchNorm2d(_WIDTH))
            for _ in range(_STAGES)
        )
        self.classifier = nn.Conv2d(_WIDTH, num_classes, 1)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """float32 (N, 3, H, W) → {"out": logits (N, classes, H, W)}."""
        value, poolings = images, []
        for encode in self.backbone:
            value = encode(value)
            size_hw = value.shape[-2:]
            value, places = pool_with_places(value)
            poolings.append((places, size_hw))
        for decode, (places, size_hw) in zip(self.decoder, reversed(poolings), strict=True):
            value = decode(unpool(value, places, size_hw))
        return {"out": self.classifier(value)}


def build(spec: ModelSpec) -> nn.Module:
    """The network of `spec`; the paper has no auxiliary head, so `spec.auxiliary` changes nothing."""
    return SegNetBasic(spec.num_classes)
