"""The sealed I/O contract: what a camera gives goes in, what a screen needs comes out.

    frame uint8 (1, H, W, 3) BGR → resize · RGB · normalise · network · argmax · resize → labels uint8 (1, H, W)
                                                                    └ softmax · resize → confidence uint8 (1, H, W)

Preprocessing exists here once: training, evaluation, calibration and the exported graph all run this code, so a model
cannot be fed differently from how it was trained.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn
from torch.fx.experimental.symbolic_shapes import statically_known_true

from edgeseg.errors import ConfigError, InputError

_WHITE = 255.0
"""Largest grey level of a uint8 frame; mean and std are given on the scale where it is 1. As a confidence it is 1."""


class Preprocess(nn.Module):
    """BGR uint8 frames (N, H, W, 3) → RGB float32 (N, 3, h, w), normalised, at the network's size.

    `size_hw` is the network's height and width in pixels; `mean` and `std` are per channel in RGB order on the scale
    0..1, as torchvision gives them with its weights. Frames of another size are resized bilinearly with half-pixel
    centres and without antialiasing, because that is what ONNX Resize does in every runtime.
    """

    mean_grey: torch.Tensor
    std_grey: torch.Tensor

    def __init__(self, size_hw: tuple[int, int], mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(size_hw) != 2 or min(size_hw) < 1:
            raise ConfigError(f"size_hw={size_hw}: expected a height and a width in pixels.")
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ConfigError(f"mean={tuple(mean)}, std={tuple(std)}: expected three RGB values each, std above 0.")
        self.size_hw = (int(size_hw[0]), int(size_hw[1]))
        self.mean = tuple(float(value) for value in mean)
        self.std = tuple(float(value) for value in std)
        # (x − 255·mean) / (255·std) is (x/255 − mean)/std with one operation less, and subtracting first keeps black
        # exact. Mean and std stay out of the first convolution: folded in, they would turn its zero padding into grey.
        self.register_buffer("mean_grey", _channels(self.mean), persistent=False)
        self.register_buffer("std_grey", _channels(self.std), persistent=False)

    def forward(self, frames_bgr: torch.Tensor) -> torch.Tensor:
        """uint8 (N, H, W, 3) BGR → float32 (N, 3, h, w) RGB."""
        # Cast comes first: TensorRT takes a uint8 input but no other uint8 tensor.
        image = frames_bgr.to(torch.float32).permute(0, 3, 1, 2).contiguous()
        image = _resize(image, self.size_hw, "bilinear")
        # flip exports as a Slice; indexing with [2, 1, 0] would become a GatherND.
        return (image.flip(1) - self.mean_grey) / self.std_grey


class SealedNetwork(nn.Module):
    """BGR uint8 frame (1, H, W, 3) → class ids uint8 (1, H, W): preprocessing, network and argmax in one module.

    `network` maps a normalised image to {"out": logits (1, C, h, w)} at the preprocessing's size, as torchvision's
    segmentation models do; an auxiliary head is dropped. Argmax happens at network size and the ids are then brought
    to the frame's size by nearest neighbour (half-pixel centres): resizing logits costs several times the network on a
    CPU. `camera_hw` fixes the frame's size; with None every frame is answered at its own.
    """

    def __init__(self, network: nn.Module, preprocess: Preprocess, camera_hw: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.network = network
        self.preprocess = preprocess
        self.camera_hw = camera_hw

    def logits(self, frame_bgr: torch.Tensor) -> torch.Tensor:
        """uint8 (1, H, W, 3) BGR → float32 logits (1, C, h, w) at network size."""
        if self.camera_hw is not None and tuple(frame_bgr.shape[1:3]) != self.camera_hw:
            raise InputError(
                f"frame of {tuple(frame_bgr.shape[1:3])} pixels; this model is sealed for {self.camera_hw}."
            )
        logits: torch.Tensor = self.network(self.preprocess(frame_bgr))["out"]
        if tuple(logits.shape[-2:]) != self.preprocess.size_hw:
            raise ConfigError(
                f"the network gives logits of {tuple(logits.shape[-2:])} for an image of {self.preprocess.size_hw}; "
                "they must have the same height and width. Upsample or crop inside the network."
            )
        return logits

    def forward(self, frame_bgr: torch.Tensor) -> torch.Tensor:
        """uint8 (1, H, W, 3) BGR → uint8 (1, H, W) class ids."""
        return self.labels(self.logits(frame_bgr), frame_bgr.shape[1:3])

    def labels(self, logits: torch.Tensor, frame_hw: Sequence[int]) -> torch.Tensor:
        """float32 logits (1, C, h, w) → uint8 (1, H, W) class ids at the frame's height and width."""
        # ids travel as float between ArgMax and the output, again because TensorRT has no uint8 inside a graph.
        labels = logits.argmax(1, keepdim=True).to(torch.float32)
        return _resize(labels, frame_hw, "nearest-exact").squeeze(1).to(torch.uint8)

    def confidence(self, logits: torch.Tensor, frame_hw: Sequence[int]) -> torch.Tensor:
        """float32 logits (1, C, h, w) → uint8 (1, H, W), 255 times the softmax probability of the largest logit.

        That is 1 / Σ exp(logit − largest): each term is at most 1 and one of them is 1, so nothing overflows. It is
        taken and resized where `labels` takes and resizes its class, so each pixel has the confidence of its own label.
        """
        above = logits - logits.amax(1, keepdim=True)
        levels = (_WHITE / above.exp().sum(1, keepdim=True)).round()
        return _resize(levels, frame_hw, "nearest-exact").squeeze(1).to(torch.uint8)


def _channels(values: Sequence[float]) -> torch.Tensor:
    return torch.tensor([_WHITE * value for value in values], dtype=torch.float32).reshape(1, -1, 1, 1)


def _resize(image: torch.Tensor, size_hw: Sequence[int], mode: str) -> torch.Tensor:
    """float (N, C, H, W) → (N, C, *size_hw); nothing where the size already fits.

    A size known only at run time (dynamic export) is always resized, which changes nothing where it fits.
    """
    height, width = size_hw
    if statically_known_true(image.shape[-2] == height) and statically_known_true(image.shape[-1] == width):
        return image
    if mode == "bilinear":
        return F.interpolate(image, size=(height, width), mode=mode, align_corners=False, antialias=False)
    return F.interpolate(image, size=(height, width), mode=mode)
