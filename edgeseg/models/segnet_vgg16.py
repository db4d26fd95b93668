"""SegNet (Badrinarayanan, Kendall, Cipolla 2017): VGG16 with batch norm, and its mirror image back to full size.

The decoder upsamples by max-unpooling: each value goes to where the encoder found the maximum of that window, which
keeps boundaries without a learned upsampling and without storing features. Thirteen convolutions follow in reverse
order; the last makes the class scores.
"""

from __future__ import annotations

import torch
from torch import nn

from edgeseg.models.backbones import conv_bn_relu
from edgeseg.models.registry import ModelSpec
from edgeseg.models.unpooling import Places, pool_with_places, unpool
from edgeseg.models.vgg16 import BLOCKS, vgg16_features


class Encoder(nn.Module):
    """torchvision's `vgg16_bn().features`, by its names, giving also where each pooling found its maxima."""

    def __init__(self) -> None:
        super().__init__()
        self.features = vgg16_features(batch_norm=True)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, list[tuple[Places, torch.Size]]]:
        """float32 (N, 3, H, W) → (N, 512, H/32, W/32), rounded up; for each pooling its places and the size before."""
        value, poolings = images, []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                size_hw = value.shape[-2:]
                value, places = pool_with_places(value)
                poolings.append((places, size_hw))
            else:
                value = layer(value)
        return value, poolings


class SegNetVgg16(nn.Module):
    """float32 (N, 3, H, W), any size → {"out": logits (N, classes, H, W)}."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.backbone = Encoder()
        self.decoder = nn.ModuleList()
        for index in reversed(range(len(BLOCKS))):
            width, *rest = BLOCKS[index]
            # Backwards a block ends in the width of the one before it; the first one, before the image, in the classes.
            widths = [*rest, BLOCKS[index - 1][-1]] if index else rest
            self.decoder.append(nn.Sequential(*(conv_bn_relu(width, narrower, 3) for narrower in widths)))
        self.classifier = nn.Conv2d(BLOCKS[0][0], num_classes, 3, padding=1)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """float32 (N, 3, H, W) → {"out": logits (N, classes, H, W)}."""
        value, poolings = self.backbone(images)
        for block, (places, size_hw) in zip(self.decoder, reversed(poolings), strict=True):
            value = block(unpool(value, places, size_hw))
        return {"out": self.classifier(value)}


def build(spec: ModelSpec) -> nn.Module:
    """The network of `spec`; the paper has no auxiliary head, so `spec.auxiliary` changes nothing."""
    return SegNetVgg16(spec.num_classes)
