"""Transposed convolutions that start out as bilinear interpolation.

Size of the output along one axis, for input n, kernel k, stride s and padding p: n' = (n − 1)·s + k − 2p. A kernel
k ≥ s with padding p = (k − s)/2 makes that n' = s·n exactly.
"""

from __future__ import annotations

import numpy as np
import torch
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
    size = 2 * stride - stride % 2 if kernel is None else kernel
    weights = torch.from_numpy(bilinear_kernel(size, stride))
    layer = nn.ConvTranspose2d(
        channels_in, channels_out, size, stride=stride, padding=(size - stride) // 2, groups=groups, bias=bias
    )
    per_group_in, per_group_out = channels_in // groups, channels_out // groups
    with torch.no_grad():
        layer.weight.zero_()
        for channel in range(channels_in):
            # The weight is (channels_in, channels_out / groups, k, k): a group's outputs are counted from its own zero.
            partner = channel % per_group_in
            if partner < per_group_out:
                layer.weight[channel, partner] = weights
        if layer.bias is not None:
            layer.bias.zero_()
    return layer
