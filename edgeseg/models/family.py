"""Any head on any dilated backbone: `fcn_*` and `deeplabv3_*`, and the frame that all of them share.

image → backbone → classifier → upsampling → logits
           └→ auxiliary head, while training
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.segmentation.deeplabv3 import DeepLabHead
from torchvision.models.segmentation.fcn import FCNHead

from edgeseg.models.dilated import BACKBONES
from edgeseg.models.registry import ModelSpec
from edgeseg.models.upsampling import UPSAMPLINGS

_RATES = (6, 12, 18)
"""Dilations of the ASPP branches for output stride 16 (Chen et al. 2017, section 4.1)."""

HEADS: dict[str, Callable[[int, int], nn.Module]] = {
    # A 3×3 convolution to a quarter of the channels, then 1×1 to the classes, as torchvision's fcn_resnet50 has it.
    "fcn": FCNHead,
    # Atrous spatial pyramid pooling (Chen et al. 2017).
    "deeplabv3": lambda channels, classes: DeepLabHead(channels, classes, _RATES),
}
"""First part of a network's name → (channels, classes) → head."""


class HeadNetwork(nn.Module):
    """float32 (N, 3, H, W), any size → {"out": logits (N, classes, H, W), while training also "aux" at that size}.

    `backbone` gives the maps "out" and, for an auxiliary head, "aux", as torchvision's do; `upsample` is an entry of
    `UPSAMPLINGS`.
    """

    def __init__(
        self, backbone: nn.Module, classifier: nn.Module, aux_classifier: nn.Module | None, upsample: nn.Module
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier
        self.aux_classifier = aux_classifier
        self.upsample = upsample

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """float32 (N, 3, H, W) → {"out": logits (N, classes, H, W)}."""
        size_hw = images.shape[-2:]
        maps = self.backbone(images)
        result = {"out": self.upsample(self.classifier(maps["out"]), size_hw)}
        if self.training and self.aux_classifier is not None:
            auxiliary = self.aux_classifier(maps["aux"])
            result["aux"] = F.interpolate(auxiliary, size=size_hw, mode="bilinear", align_corners=False)
        return result


def build(spec: ModelSpec) -> nn.Module:
    """The network of `spec`, whose name is HEAD_BACKBONE."""
    head, _, name = spec.name.partition("_")
    backbone = BACKBONES[name]()
    return HeadNetwork(
        backbone.trunk,
        HEADS[head](backbone.channels, spec.num_classes),
        FCNHead(backbone.aux_channels, spec.num_classes) if spec.auxiliary else None,
        UPSAMPLINGS[spec.upsampling](spec.num_classes, backbone.stride),
    )
