"""FCN-4s on MobileNetV2, the default network: skips down to stride 4, fused as features instead of class scores.

FCN-8s sums class scores, so what a skip may add is one number per class; poles and pedestrians, a few pixels wide at
stride 4, vanish there. Here each step up is a learned transposed convolution of features (kernel 4, stride 2), the
skip joins through a 1×1 convolution, and a 3×3 convolution mends the seam, the ladder of SwiftNet (Oršić et al. 2019).
A global-pool branch at stride 32 gives the whole scene as context (ParseNet, Liu et al. 2015). The class scores are
made at stride 4 and reach the input's size through one transposed convolution (kernel 8, stride 4).
"""

from __future__ import annotations

import torch
from torch import nn

from edgeseg.models.backbones import MobileNetV2, conv_bn_relu
from edgeseg.models.registry import ModelSpec
from edgeseg.models.upsampling import crop_to, transposed_upsample

_WIDTHS = (64, 96, 96, 128)
"""Channels of the decoder at strides 4, 8, 16 and 32: multiples of 32, which vector units and tensor cores like."""

_NARROW_WIDTHS = (32, 64, 96, 128)
"""The same, narrower where a channel costs most: stride 4 has sixteen times the pixels of stride 16."""


class GlobalContext(nn.Module):
    """1×1 convolution of the map plus one of its mean over the whole frame: (N, C_in, h, w) → (N, C_out, h, w)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.local = nn.Conv2d(channels_in, channels_out, 1, bias=False)
        self.overall = nn.Conv2d(channels_in, channels_out, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """float32 (N, C_in, h, w) → (N, C_out, h, w)."""
        overall = self.overall(features.mean((2, 3), keepdim=True))
        return torch.relu(self.norm(self.local(features) + overall))


class UpFuse(nn.Module):
    """One rung: the coarse map doubled by a transposed convolution, the skip added, a 3×3 convolution over both."""

    def __init__(self, channels_in: int, channels_skip: int, channels_out: int) -> None:
        super().__init__()
        self.up = transposed_upsample(channels_in, channels_out, stride=2)
        self.skip = nn.Conv2d(channels_skip, channels_out, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)
        self.blend = conv_bn_relu(channels_out, channels_out, 3)
        # Bilinear alone maps channel i to channel i; a little noise lets the channels mix from the first step.
        with torch.no_grad():
            self.up.weight.add_(torch.randn_like(self.up.weight) * (2 / (channels_in * 4)) ** 0.5 * 0.3)

    def forward(self, coarse: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """float32 (N, C_in, h, w) and (N, C_skip, H, W) with H ≤ 2h, W ≤ 2w → (N, C_out, H, W)."""
        value = crop_to(self.up(coarse), skip.shape[-2:]) + self.skip(skip)
        return torch.as_tensor(self.blend(torch.relu(self.norm(value))))


class Fcn4sMobileNetV2(nn.Module):
    """float32 (N, 3, H, W), any size → {"out": logits (N, classes, H, W), while training also "aux" at stride 8}."""

    def __init__(self, num_classes: int, *, auxiliary: bool, widths: tuple[int, int, int, int] = _WIDTHS) -> None:
        super().__init__()
        self.backbone = MobileNetV2(expanded=True)
        skip4, skip8, skip16, top = self.backbone.channels
        width4, width8, width16, width32 = widths
        self.context = GlobalContext(top, width32)
        self.fuse16 = UpFuse(width32, skip16, width16)
        self.fuse8 = UpFuse(width16, skip8, width8)
        self.fuse4 = UpFuse(width8, skip4, width4)
        self.classifier = nn.Conv2d(width4, num_classes, 1)
        self.upsample = transposed_upsample(num_classes, num_classes, stride=4)
        self.aux_classifier = nn.Conv2d(width8, num_classes, 1) if auxiliary else None

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """float32 (N, 3, H, W) → {"out": logits (N, classes, H, W)}."""
        map4, map8, map16, map32 = self.backbone(images)
        middle = self.fuse8(self.fuse16(self.context(map32), map16), map8)
        fine = self.fuse4(middle, map4)
        result = {"out": crop_to(self.upsample(self.classifier(fine)), images.shape[-2:])}
        if self.training and self.aux_classifier is not None:
            result["aux"] = self.aux_classifier(middle)
        return result


def build(spec: ModelSpec) -> nn.Module:
    """The network of `spec`."""
    return Fcn4sMobileNetV2(spec.num_classes, auxiliary=spec.auxiliary)


def build_narrow(spec: ModelSpec) -> nn.Module:
    """The network of `spec` with half the channels at stride 4 and two thirds at stride 8."""
    return Fcn4sMobileNetV2(spec.num_classes, auxiliary=spec.auxiliary, widths=_NARROW_WIDTHS)
