"""Evaluation at several scales and mirrored: a better answer for several times the time, and no graph for a device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from edgeseg.errors import ConfigError
from edgeseg.models.sealed import Preprocess, SealedNetwork

LEAST_SIDE = 32
"""Pixels: the deepest stride of the networks, below which nothing is left of an image."""


class MultiScaleNetwork(SealedNetwork):
    """A sealed network that looks several times: the softmax probabilities of all looks, averaged, decide.

    Each of `scales` resizes the frame itself, not the network's input, to that multiple of the preprocessing's size, so
    that a larger scale sees the camera's own detail; `flip` adds the mirror image of each. Probabilities are brought to
    the preprocessing's size bilinearly before they are averaged (as the multi-scale inputs of Chen et al. 2018,
    "DeepLab", section 4.1; there the largest decides).
    """

    def __init__(self, network: nn.Module, preprocess: Preprocess, scales: Sequence[float], *, flip: bool) -> None:
        super().__init__(network, preprocess)
        check_scales(scales, preprocess.size_hw)
        self.looks = nn.ModuleList(
            Preprocess(_scaled(preprocess.size_hw, scale), preprocess.mean, preprocess.std) for scale in scales
        )
        self.flip = flip

    def logits(self, frame_bgr: torch.Tensor) -> torch.Tensor:
        """uint8 (1, H, W, 3) BGR → float32 (1, C, h, w): logarithms of the averaged probabilities, at network size."""
        looks = [self._look(look(frame_bgr)) for look in self.looks]
        return torch.stack(looks).mean(0).clamp_min(torch.finfo(torch.float32).tiny).log()

    def _look(self, images: torch.Tensor) -> torch.Tensor:
        """Probabilities at the preprocessing's size, mirrored ones mirrored back."""
        probability = self.network(images)["out"].softmax(1)
        if self.flip:
            probability = (probability + self.network(images.flip(-1))["out"].softmax(1).flip(-1)) / 2
        return F.interpolate(probability, size=self.preprocess.size_hw, mode="bilinear", align_corners=False)


def network_looking(
    network: nn.Module, preprocess: Preprocess, scales: Sequence[float] = (1.0,), *, flip: bool = False
) -> SealedNetwork:
    """The sealed network, as exported, for the one scale 1 without flip; else a `MultiScaleNetwork`."""
    if tuple(scales) == (1.0,) and not flip:
        return SealedNetwork(network, preprocess)
    return MultiScaleNetwork(network, preprocess, scales, flip=flip)


def check_scales(scales: Sequence[float], size_hw: tuple[int, int]) -> None:
    """Raise `ConfigError` for no scale, the same one twice, or one that leaves less than 32 pixels or is above 4."""
    if not scales or len(set(scales)) != len(scales):
        raise ConfigError(f"scales={tuple(scales)}: expected one or more, each once, such as 0.75, 1 and 1.25.")
    for scale in scales:
        if not 0 < scale <= 4 or min(_scaled(size_hw, scale)) < LEAST_SIDE:
            raise ConfigError(
                f"scale {scale} of {size_hw[0]}x{size_hw[1]}: expected at most 4, and at least {LEAST_SIDE} pixels "
                "each way. Scales near 1, such as 0.75 and 1.25, help most."
            )


def _scaled(size_hw: tuple[int, int], scale: float) -> tuple[int, int]:
    return round(size_hw[0] * scale), round(size_hw[1] * scale)
