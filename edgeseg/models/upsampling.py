"""From coarse class scores to the image's size: four ways, all starting out as bilinear interpolation or close to it.

A network chooses by name from `UPSAMPLINGS`. An entry is made with the number of classes and the stride of the scores,
and takes (logits float (N, C, h, w), the image's height and width) to logits (N, C, height, width).

Size of a transposed convolution's output along one axis, for input n, kernel k, stride s and padding p:
n' = (n − 1)·s + k − 2p. A kernel k ≥ s with padding p = (k − s)/2 makes that n' = s·n exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from edgeseg.errors import ConfigError


def bilinear_kernel(kernel: int, stride: int) -> NDArray[np.float32]:
    """float32 (kernel, kernel): the weights with which a transposed convolution of this stride interpolates bilinearly.

    The triangle max(0, 1 − |x|/stride) sampled around the kernel's centre, as in the FCN paper's `upsample_filt`
    (Long, Shelhamer, Darrell 2015), with the stride kept apart from the kernel: for kernel = 2·stride it is theirs.
    The kernel must be long enough to hold the triangle, and of a parity that lets padding (kernel − stride)/2 be whole.
    """
    if stride < 1:
        raise ConfigError(f"stride={stride}: upsampling needs a stride of at least 1.")
    # The open support (−stride, stride) holds 2·stride samples at half-pixel offsets, one fewer at whole ones.
    if kernel < 2 * stride - kernel % 2:
        raise ConfigError(
            f"kernel={kernel} cuts off the bilinear triangle of stride {stride}; use kernel={2 * stride} or more."
        )
    if (kernel - stride) % 2:
        raise ConfigError(
            f"kernel={kernel}, stride={stride}: their difference must be even for a centred output; try {kernel + 1}."
        )
    offset = np.arange(kernel, dtype=np.float64) - (kernel - 1) / 2
    triangle = np.clip(1.0 - np.abs(offset) / stride, 0.0, None)
    return np.outer(triangle, triangle).astype(np.float32)


def transposed_upsample(
    channels_in: int,
    channels_out: int,
    *,
    stride: int,
    kernel: int | None = None,
    groups: int = 1,
    bias: bool = False,
) -> nn.ConvTranspose2d:
    """A learnable ×`stride` upsampling: float (N, channels_in, h, w) → (N, channels_out, stride·h, stride·w).

    `kernel` defaults to 2·stride, one less for an odd stride, so that the padding is whole. The layer starts as
    bilinear interpolation (`F.interpolate`, align_corners=False, away from the border) of channel i into channel i;
    channels without a partner start at zero. At the border the zero padding of the transposed convolution fades the
    outermost stride/2 pixels, which training compensates.
    """
    size = _whole_kernel(stride) if kernel is None else kernel
    # Refuses a kernel that does not fit, before the layer is made.
    weights = bilinear_kernel(size, stride)
    layer = nn.ConvTranspose2d(
        channels_in, channels_out, size, stride=stride, padding=(size - stride) // 2, groups=groups, bias=bias
    )
    _start_bilinear(layer, weights)
    return layer


def crop_to(value: torch.Tensor, size_hw: Sequence[int]) -> torch.Tensor:
    """The top left (h, w) of a map. Odd sizes are rounded up on the way down, so upsampling gives a row too many."""
    return value[..., : size_hw[0], : size_hw[1]]


class BilinearUpsampling(nn.Module):
    """`F.interpolate` with half-pixel centres (align_corners=False); nothing to learn."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        del channels, stride  # the sizes say it all

    def forward(self, logits: torch.Tensor, size_hw: Sequence[int]) -> torch.Tensor:
        """float (N, C, h, w) → (N, C, *size_hw)."""
        return F.interpolate(logits, size=(size_hw[0], size_hw[1]), mode="bilinear", align_corners=False)


class TransposedUpsampling(nn.ConvTranspose2d):
    """One transposed convolution over the whole stride, kernel 2·stride, cropped (Long, Shelhamer, Darrell 2015)."""

    def __init__(self, channels: int, stride: int) -> None:
        size = _whole_kernel(stride)
        super().__init__(channels, channels, size, stride=stride, padding=(size - stride) // 2, bias=False)
        _start_bilinear(self, bilinear_kernel(size, stride))

    def forward(self, input: torch.Tensor, output_size: Sequence[int] | None = None) -> torch.Tensor:
        """float (N, C, h, w) → (N, C, stride·h, stride·w), of which `output_size` takes the top left."""
        whole = super().forward(input)
        return whole if output_size is None else crop_to(whole, output_size)


class SubpixelUpsampling(nn.Module):
    """A 3×3 convolution to stride² values for each class, shuffled into as many pixels (Shi et al. 2016, ESPCN).

    Sub-pixel i of an axis lies (i + ½)/stride − ½ from the centre of its coarse pixel; the bilinear weights of the
    three coarse pixels around it are what the convolution starts with. Class i starts from class i alone.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(channels, channels * stride**2, 3, padding=1)
        centres = (np.arange(stride) + 0.5) / stride - 0.5
        triangle = np.clip(1.0 - np.abs(centres[:, np.newaxis] - np.arange(-1, 2)), 0.0, None)
        # (stride, 1, 3, 1) · (1, stride, 1, 3): the weight of a tap for a sub-pixel is a product over the two axes.
        kernels = triangle[:, np.newaxis, :, np.newaxis] * triangle[np.newaxis, :, np.newaxis, :]
        start = torch.from_numpy(kernels.reshape(stride**2, 3, 3).astype(np.float32))
        _start_from_own_class(self.conv, start)

    def forward(self, logits: torch.Tensor, size_hw: Sequence[int]) -> torch.Tensor:
        """float (N, C, h, w) → (N, C, *size_hw)."""
        return crop_to(F.pixel_shuffle(self.conv(logits), self.stride), size_hw)


class UnpoolUpsampling(nn.Module):
    """Doubled again and again: values spread out with zeros between them, then a 5×5 convolution (Laina et al. 2016).

    Each value goes to the top left of its 2×2 cell. Even pixels then need the values at distance 0 and −2, odd
    ones those at −1 and +1, with ¾ and ¼: one kernel, (¼, ¾, ¾, ¼, 0) along each axis, doubles bilinearly, and is the
    start.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        if stride < 1 or stride & (stride - 1):
            raise ConfigError(f"stride={stride}: unpooling doubles, so it needs a power of 2.")
        taps = torch.tensor([0.25, 0.75, 0.75, 0.25, 0.0])
        self.steps = nn.ModuleList()
        for _ in range(stride.bit_length() - 1):
            conv = nn.Conv2d(channels, channels, 5, padding=2)
            _start_from_own_class(conv, torch.outer(taps, taps)[None])
            self.steps.append(conv)

    def forward(self, logits: torch.Tensor, size_hw: Sequence[int]) -> torch.Tensor:
        """float (N, C, h, w) → (N, C, *size_hw)."""
        for conv in self.steps:
            logits = conv(spread(logits))
        return crop_to(logits, size_hw)


def spread(values: torch.Tensor) -> torch.Tensor:
    """float (N, C, h, w) → (N, C, 2h, 2w): each value in the top left of a 2×2 cell of zeros.

    Written as three channels of zeros after each one and a shuffle, because that is exact and every runtime has it;
    indices, as of MaxUnpool, TensorRT does not take.
    """
    batch, channels, height, width = values.shape
    padded = F.pad(values.reshape(batch * channels, 1, height, width), (0, 0, 0, 0, 0, 3))
    return F.pixel_shuffle(padded, 2).reshape(batch, channels, 2 * height, 2 * width)


UPSAMPLINGS: dict[str, Callable[[int, int], nn.Module]] = {
    "bilinear": BilinearUpsampling,
    "transposed": TransposedUpsampling,
    "subpixel": SubpixelUpsampling,
    "unpool": UnpoolUpsampling,
}
"""Name → (classes, stride) → module. A new way is one class and one line here."""


def _whole_kernel(stride: int) -> int:
    """The kernel that holds the bilinear triangle and lets the padding be whole."""
    return 2 * stride - stride % 2


def _start_bilinear(layer: nn.ConvTranspose2d, weights: NDArray[np.float32]) -> None:
    """Let channel i of a transposed convolution interpolate into channel i; everything else starts at zero."""
    per_group_in, per_group_out = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    with torch.no_grad():
        layer.weight.zero_()
        for channel in range(layer.in_channels):
            # The weight is (channels_in, channels_out / groups, k, k): a group's outputs are counted from its own zero.
            partner = channel % per_group_in
            if partner < per_group_out:
                layer.weight[channel, partner] = torch.from_numpy(weights)
        if layer.bias is not None:
            layer.bias.zero_()


def _start_from_own_class(conv: nn.Conv2d, kernels: torch.Tensor) -> None:
    """Give `conv` the `kernels`, float32 (n, k, k), for the n outputs of each input channel; the rest is zero."""
    with torch.no_grad():
        conv.weight.zero_()
        for channel in range(conv.in_channels):
            conv.weight[channel * len(kernels) : (channel + 1) * len(kernels), channel] = kernels
        assert conv.bias is not None
        conv.bias.zero_()
