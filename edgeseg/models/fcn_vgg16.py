"""FCN-32s, FCN-16s and FCN-8s on VGG16 (Long, Shelhamer, Darrell 2015): the networks that the others are named after.

Class scores are made of fc7 at stride 32 and, in FCN-16s and FCN-8s, of pool4 and pool3, and summed on the way up. Each
step up is a learned transposed convolution between class scores, started as bilinear interpolation.

Scores of skips start at zero, so that training begins with what FCN-32s says (section 4.2 of the paper). The authors'
own FCN-8s that is trained at once multiplies pool4 by 10⁻² and pool3 by 10⁻⁴ besides (voc-fcn8s-atonce in their
repository), to bring the maps to one size: they feed pixels of 0 to 255, and their pool3 is in the thousands. Images
here are normalised, the weights for them keep maps within the same order of magnitude, and such factors would
silence the skips. Weights trained with Caffe carry them in their score layers.
"""

from __future__ import annotations

import torch
from torch import nn

from edgeseg.models.registry import ModelSpec
from edgeseg.models.upsampling import crop_to, transposed_upsample
from edgeseg.models.vgg16 import FULLY_CONNECTED, Vgg16

_STRIDES = (32, 16, 8)


class FcnVgg16(nn.Module):
    """float32 (N, 3, H, W), any size → {"out": logits (N, classes, H, W)}.

    `finest` is the stride of the finest map that is scored: 32, 16 or 8. `hidden` is the width of fc6 and fc7.
    """

    def __init__(self, num_classes: int, *, finest: int, hidden: int = FULLY_CONNECTED) -> None:
        super().__init__()
        self.backbone = Vgg16(hidden=hidden)
        strides = [stride for stride in _STRIDES if stride >= finest]
        self.score = nn.ModuleList()
        self.up = nn.ModuleList()
        for stride, channels in zip(strides, reversed(self.backbone.channels), strict=False):
            score = nn.Conv2d(channels, num_classes, 1)
            nn.init.zeros_(score.bias)  # type: ignore[arg-type]
            if stride == _STRIDES[0]:
                nn.init.xavier_uniform_(score.weight)
            else:
                nn.init.zeros_(score.weight)
            self.score.append(score)
            step = finest if stride == finest else 2
            self.up.append(transposed_upsample(num_classes, num_classes, stride=step))

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """float32 (N, 3, H, W) → {"out": logits (N, classes, H, W)}."""
        coarse_first = self.backbone(images)[::-1]
        scores = self.score[0](coarse_first[0])
        for up, score, skip in zip(self.up, self.score[1:], coarse_first[1:], strict=False):
            scores = crop_to(up(scores), skip.shape[-2:]) + score(skip)
        return {"out": crop_to(self.up[-1](scores), images.shape[-2:])}


def build_32s(spec: ModelSpec) -> nn.Module:
    """FCN-32s; the paper has no auxiliary head, so `spec.auxiliary` changes nothing."""
    return FcnVgg16(spec.num_classes, finest=32)


def build_16s(spec: ModelSpec) -> nn.Module:
    """FCN-16s, likewise."""
    return FcnVgg16(spec.num_classes, finest=16)


def build_8s(spec: ModelSpec) -> nn.Module:
    """FCN-8s, likewise."""
    return FcnVgg16(spec.num_classes, finest=8)
