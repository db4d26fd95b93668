"""Rounding that gradients pass: PyTorch's fake quantisation with the scales that the dialects write.

Forward it is what a Q/DQ pair does. Backward its gradient is 1 within the range and 0 beyond: the straight-through
estimator (Bengio et al. 2013; Jacob et al. 2018, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from edgeseg.quantize.dialects.cpu import SMALLEST_SPAN
from edgeseg.quantize.dialects.qdq import INT8_MAX
from edgeseg.quantize.dialects.trt import SMALLEST_SCALE

_UINT8_MAX = 255


def round_asymmetric(values: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Values on the 256 steps of uint8 from `low` to `high`, scalars with 0 between them: the CPU dialect's pair."""
    scale = (high - low).clamp_min(SMALLEST_SPAN) / _UINT8_MAX
    zero_point = (-low / scale).round().clamp(0, _UINT8_MAX).to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(values, scale, zero_point, 0, _UINT8_MAX)


def round_symmetric(values: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Values on the steps of int8, the larger magnitude of `low` and `high` at 127: the TensorRT dialect's pair."""
    scale = (torch.maximum(-low, high) / INT8_MAX).clamp_min(SMALLEST_SCALE)
    zero_point = torch.zeros((), dtype=torch.int32, device=values.device)
    return torch.fake_quantize_per_tensor_affine(values, scale, zero_point, -INT8_MAX - 1, INT8_MAX)


def round_channels(weights: torch.Tensor) -> torch.Tensor:
    """float (channels, n) → the same in int8 steps, the largest magnitude of each channel at 127: both dialects."""
    peaks = weights.detach().abs().amax(1)
    scales = torch.where(peaks > 0, peaks / INT8_MAX, 1.0)
    zero_points = torch.zeros_like(scales, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weights, scales, zero_points, 0, -INT8_MAX, INT8_MAX)


def phases_first(weight: torch.Tensor, groups: int, stride: int) -> torch.Tensor:
    """Weights of a transposed convolution (C_in, C_out/groups, k, k) → (C_out·stride², C_in/groups, T, T).

    What one phase of one output channel reads, as in the convolution that `split_transposed_conv` makes of it, where it
    has a scale of its own. Kernels are filled up with zeros to whole multiples T of the stride.
    """
    missing = [-size % stride for size in weight.shape[2:]]
    whole = F.pad(weight, (0, missing[1], 0, missing[0]))
    inside, per_group, height, width = whole.shape
    split = whole.reshape(groups, inside // groups, per_group, height // stride, stride, width // stride, stride)
    return split.permute(0, 2, 4, 6, 1, 3, 5).flatten(0, 3)


def phases_last(phases: torch.Tensor, groups: int, stride: int, shape: Sequence[int]) -> torch.Tensor:
    """The inverse of `phases_first`, for weights of `shape`."""
    split = phases.reshape(groups, shape[1], stride, stride, *phases.shape[1:])
    whole = split.permute(0, 4, 1, 5, 2, 6, 3)
    rows, columns = phases.shape[2] * stride, phases.shape[3] * stride
    return whole.reshape(shape[0], shape[1], rows, columns)[:, :, : shape[2], : shape[3]]
