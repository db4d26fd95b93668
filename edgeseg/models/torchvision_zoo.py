"""torchvision's own segmentation networks, part by part, so that the weights it publishes load by name.

Only what comes after their heads is ours: the upsampling is a choice, and an auxiliary head answers while training
alone; torchvision computes it always. With their own upsampling, bilinear, the logits are torchvision's to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torchvision.models import segmentation

from edgeseg.models.family import HeadNetwork
from edgeseg.models.registry import ModelSpec
from edgeseg.models.upsampling import UPSAMPLINGS

_STRIDES = {
    "fcn_resnet50": 8,
    "fcn_resnet101": 8,
    "deeplabv3_resnet50": 8,
    "deeplabv3_resnet101": 8,
    "deeplabv3_mobilenet_v3_large": 16,
    "lraspp_mobilenet_v3_large": 8,
}
"""Network → pixels of the image for one of its class scores."""


class LiteReducedAspp(nn.Module):
    """LR-ASPP (Howard et al. 2019, section 6.3): scores of a fine and a gated coarse map, summed at stride 8.

    float32 (N, 3, H, W), any size → {"out": logits (N, classes, H, W)}. There is no auxiliary head.
    """

    def __init__(self, backbone: nn.Module, classifier: nn.Module, upsample: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier
        self.upsample = upsample

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """float32 (N, 3, H, W) → {"out": logits (N, classes, H, W)}."""
        maps: Mapping[str, torch.Tensor] = self.backbone(images)
        return {"out": self.upsample(self.classifier(maps), images.shape[-2:])}


def build(spec: ModelSpec) -> nn.Module:
    """The network of `spec`, under torchvision's own name."""
    constructor: Any = getattr(segmentation, spec.name)
    upsample = UPSAMPLINGS[spec.upsampling](spec.num_classes, _STRIDES[spec.name])
    if spec.name.startswith("lraspp"):
        theirs = constructor(weights=None, weights_backbone=None, num_classes=spec.num_classes)
        return LiteReducedAspp(theirs.backbone, theirs.classifier, upsample)
    theirs = constructor(weights=None, weights_backbone=None, num_classes=spec.num_classes, aux_loss=spec.auxiliary)
    return HeadNetwork(theirs.backbone, theirs.classifier, theirs.aux_classifier, upsample)
