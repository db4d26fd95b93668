"""A network with all that makes an export difficult, small enough to export in a second."""

from __future__ import annotations

import torch
from torch import nn

from edgeseg.labels import LabelMap
from edgeseg.models.checkpoint import TrainedModel
from edgeseg.models.registry import ModelSpec
from edgeseg.models.upsampling import transposed_upsample

LABEL_MAP = LabelMap(("dark", "grey", "bright"), ((0, 0, 0), (128, 128, 128), (255, 255, 255)))
SIZE_HW = (50, 70)
"""Halved twice: 25 × 35, then 13 × 18, so that every transposed convolution needs a crop."""


class TinyNetwork(nn.Module):
    """Skips, a global pool, batch normalisation of a sum, transposed convolutions with crops, an auxiliary head.

    Its features saturate, as those of a trained network do: most pixels are far from the border between two classes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.down1 = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
        self.down2 = nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU6())
        self.overall = nn.Conv2d(12, 12, 1)
        self.up2 = transposed_upsample(12, 8, stride=2)
        self.skip = nn.Conv2d(8, 8, 1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.classifier = nn.Conv2d(8, 3, 1)
        self.up1 = transposed_upsample(3, 3, stride=2)
        self.aux_classifier = nn.Conv2d(12, 3, 1)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        height, width = images.shape[-2:]
        half = self.down1(images)
        quarter = self.down2(half)
        quarter = quarter + self.overall(quarter.mean((2, 3), keepdim=True))
        summed = self.up2(quarter)[..., : half.shape[-2], : half.shape[-1]] + self.skip(half)
        logits = self.up1(self.classifier(torch.relu(self.norm(summed)).clamp(max=6)))
        return {"out": logits[..., :height, :width], "aux": self.aux_classifier(quarter)}


def tiny_model() -> TrainedModel:
    """The same weights every time, in eval mode."""
    torch.manual_seed(3)
    network = TinyNetwork()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(2.0, 4.0)
                module.bias.uniform_(-1.0, 2.0)
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.1, 0.5)
    spec = ModelSpec("fcn8s_mobilenet_v2", len(LABEL_MAP))
    return TrainedModel(network.eval(), spec, LABEL_MAP, SIZE_HW, sha256="ab" * 32, source="folder/tiny.safetensors")
