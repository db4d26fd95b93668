"""ONNX Runtime on CPUs: uint8 activations, int8 weights per channel, int32 bias, so that its integer kernels fuse.

A Q/DQ graph is float on paper. ONNX Runtime turns `DQ → Conv → (activation) → Q` into one QLinearConv, `DQ, DQ → Add →
Q` into one QLinearAdd, and so on, if the types are those its kernels have: on x86 unsigned activations times signed
weights. With symmetric signed activations it finds slower kernels.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto

from edgeseg.quantize.dialects.grey_levels import grey_level_affine
from edgeseg.quantize.dialects.layout import BY_PHASE
from edgeseg.quantize.dialects.qdq import Affine, Writer, convolutions, round_weights, weight_scales
from edgeseg.quantize.placement import Placement
from edgeseg.quantize.ranges import RangeTable

_STEPS = 255
"""uint8 has 256 values."""

SMALLEST_SPAN = 1e-6
"""A tensor that is constant zero gets this range: any scale does, but it must be above zero."""

_BIAS_LIMIT = 2.0**30
"""A bias is an int32 of scale input × weights. A channel with a large bias and tiny weights would overflow it."""


def write_cpu(model: ModelProto, placement: Placement, table: RangeTable, method: str) -> ModelProto:
    """FP32 sealed graph → Q/DQ graph for ONNX Runtime on CPUs."""
    writer = Writer(model)
    exact = grey_level_affine(model)

    def affine(tensor: str) -> Affine:
        source = placement.range_of(tensor)
        if source in exact:
            return exact[source]
        found = table.of(source.removesuffix(BY_PHASE), method)
        return asymmetric(found.low, found.high)

    written: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = {}
    for node in convolutions(writer.model, placement):
        kernel, axis = node.input[1], placement.weights[node.input[1]]
        input_scale = float(affine(node.input[0]).scale)
        bias = writer.weights.get(node.input[2]) if len(node.input) > 2 else None
        if kernel not in written:
            written[kernel] = _scales_for_bias(weight_scales(writer.weights[kernel], axis), bias, input_scale)
        scales = written[kernel]
        zeros = Affine(scales, np.zeros(len(scales), np.int8))
        quantised = round_weights(writer.weights[kernel], scales, axis)
        node.input[1] = writer.dequantised_constant(kernel, quantised, zeros, axis)
        if bias is not None:
            bias_scales = (input_scale * scales).astype(np.float32)
            steps = np.clip(np.rint(bias.astype(np.float64) / bias_scales), -(2.0**31), 2.0**31 - 1).astype(np.int32)
            name = f"{node.name}.bias"
            node.input[2] = writer.dequantised_constant(
                name, steps, Affine(bias_scales, np.zeros(len(scales), np.int32)), 0
            )
    writer.write_pairs(placement, affine)
    return writer.model


def asymmetric(low: float, high: float) -> Affine:
    """A range, widened to hold zero exactly, on uint8: zero becomes an integer, as zero padding needs."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32(max(high - low, SMALLEST_SPAN) / _STEPS)
    zero_point = np.uint8(np.clip(np.rint(-low / scale), 0, _STEPS))
    return Affine(np.array(scale, np.float32), np.array(zero_point, np.uint8))


def _scales_for_bias(scales: np.ndarray, bias: np.ndarray | None, input_scale: float) -> np.ndarray:
    """Scales of the weights, raised where the bias would not fit an int32 otherwise."""
    if bias is None:
        return scales
    return np.asarray(np.maximum(scales, np.abs(bias) / (input_scale * _BIAS_LIMIT)), np.float32)
