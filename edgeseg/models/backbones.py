"""Backbones: the ImageNet classifiers' trunks, giving the feature maps that decoders skip to.

Parameter names stay torchvision's, so that ImageNet weights load by name.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torchvision.models import mobilenet_v2, resnet18

_HEAD_LAYER = 18
"""torchvision's MobileNetV2 ends with a 1×1 convolution to 1280 channels, made for the classifier; it is left out."""


class MobileNetV2(nn.Module):
    """torchvision's MobileNetV2 up to 320 channels at stride 32, giving one feature map per stride.

    float32 (N, 3, H, W) → features at strides 4, 8, 16 and 32. With `expanded`, the first three are taken inside the
    block that leaves that stride, after its 1×1 expansion: 144, 192 and 576 channels that have passed a ReLU6, instead
    of 24, 32 and 96 of the linear bottleneck before it (as SSDLite taps it: Sandler et al. 2018, section 6.2).
    """

    def __init__(self, *, expanded: bool = False) -> None:
        super().__init__()
        self.features = nn.Sequential(*list(mobilenet_v2().features)[:_HEAD_LAYER])
        self.expanded = expanded
        # Blocks 4, 7 and 14 are the ones that halve the map from stride 4, 8 and 16.
        self.leaving = (4, 7, 14)
        self.channels = (144, 192, 576, 320) if expanded else (24, 32, 96, 320)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """float32 (N, 3, H, W) → four feature maps, finest first."""
        maps = []
        value = images
        for index, block in enumerate(self.features):
            if index not in self.leaving:
                value = block(value)
            elif self.expanded:
                # A block that changes the stride has no residual path, so it is the plain sequence of its parts.
                expand, *rest = cast(nn.Sequential, block.conv)
                value = expand(value)
                maps.append(value)
                for part in rest:
                    value = part(value)
            else:
                maps.append(value)
                value = block(value)
        return [*maps, value]


class ResNet18(nn.Module):
    """torchvision's ResNet-18 without pooling and classifier: float32 (N, 3, H, W) → (N, 512, H/32, W/32)."""

    def __init__(self) -> None:
        super().__init__()
        trunk = resnet18()
        self.conv1, self.bn1, self.relu, self.maxpool = trunk.conv1, trunk.bn1, trunk.relu, trunk.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4
        self.channels = 512

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """float32 (N, 3, H, W) → float32 (N, 512, ceil(H/32), ceil(W/32))."""
        value = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        value = self.layer4(self.layer3(self.layer2(self.layer1(value))))
        return torch.as_tensor(value)


def conv_bn_relu(channels_in: int, channels_out: int, kernel: int) -> nn.Sequential:
    """Convolution that keeps the size, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )
