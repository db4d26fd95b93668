"""VGG16's trunk (Simonyan and Zisserman 2015, configuration D): five blocks of 3×3 convolutions, each ending in a 2×2
max-pooling. Parameter names stay torchvision's, so that ImageNet weights load by name.
"""

from __future__ import annotations

import torch
from torch import nn

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of the 13 convolutions, block by block."""

FULLY_CONNECTED = 4096
"""Width of the classifier's layers fc6 and fc7."""

_LAST_MAP = 7
"""Side of the last map for the classifier's image of 224×224 pixels, and so the kernel of fc6 as a convolution."""


def vgg16_features(*, batch_norm: bool) -> nn.Sequential:
    """The layers of torchvision's `vgg16().features`, or with `batch_norm` of `vgg16_bn().features`.

    Poolings round up, as Caffe's do, for which the network was made: at an odd size no row or column is lost, and a
    map that was doubled again is never smaller than the one it is added to.
    """
    layers: list[nn.Module] = []
    channels = 3
    for widths in BLOCKS:
        for width in widths:
            convolution = nn.Conv2d(channels, width, 3, padding=1)
            layers += [start_for_relu(convolution)]
            layers += [nn.BatchNorm2d(width)] if batch_norm else []
            layers += [nn.ReLU(inplace=True)]
            channels = width
        layers += [nn.MaxPool2d(2, ceil_mode=True)]
    return nn.Sequential(*layers)


def start_for_relu(convolution: nn.Conv2d) -> nn.Conv2d:
    """Random weights that keep the magnitude of what passes through a ReLU (He et al. 2015), and no bias.

    PyTorch's own start halves it at every layer, and behind sixteen without batch norm nothing would be left.
    """
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution


class Vgg16(nn.Module):
    """float32 (N, 3, H, W) → the maps behind the five poolings, at strides 2, 4, 8, 16 and 32, finest first.

    With `hidden`, the classifier's two hidden layers follow as convolutions of so many channels, and the last map is
    theirs: fc6 with a kernel of 7×7, fc7 of 1×1 (Long, Shelhamer, Darrell 2015, section 3.1). They are called as
    torchvision calls them, `classifier.0` and `classifier.3`.

    The original pads the image by 100 pixels, so that fc6, unpadded, still fits on a small one, and cuts the scores out
    of the middle by offsets counted by hand. Here fc6 pads by 3: any size fits, every map stays aligned with the image,
    and no time goes into convolving zeros.
    """

    def __init__(self, *, hidden: int | None = None) -> None:
        super().__init__()
        self.features = vgg16_features(batch_norm=False)
        self.channels = tuple(widths[-1] for widths in BLOCKS)
        self.classifier = None
        if hidden is not None:
            self.classifier = nn.Sequential(
                start_for_relu(nn.Conv2d(self.channels[-1], hidden, _LAST_MAP, padding=_LAST_MAP // 2)),
                nn.ReLU(inplace=True),
                nn.Dropout(),
                start_for_relu(nn.Conv2d(hidden, hidden, 1)),
                nn.ReLU(inplace=True),
                nn.Dropout(),
            )
            self.channels = (*self.channels[:-1], hidden)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """float32 (N, 3, H, W) → five maps, each half as high and wide as the one before, rounded up."""
        maps = []
        value = images
        for layer in self.features:
            value = layer(value)
            if isinstance(layer, nn.MaxPool2d):
                maps.append(value)
        if self.classifier is not None:
            maps[-1] = self.classifier(maps[-1])
        return maps
