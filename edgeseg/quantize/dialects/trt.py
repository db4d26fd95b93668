"""TensorRT: symmetric int8 with zero-point 0, weights per output channel, bias in float, the rest of the graph FP16.

TensorRT 10 and 11 read precision from the graph alone. A convolution between DQ and the next Q becomes an int8 kernel;
its bias, and the sum that it takes in, stay in float. Scales have the type of the tensors around them, FP16 in an FP16
graph, and TensorRT refuses those that are zero after rounding.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto

from edgeseg.graph.lint import tensor_types
from edgeseg.quantize.dialects.qdq import INT8_MAX, Affine, Writer, convolutions, round_weights, weight_scales
from edgeseg.quantize.placement import Placement
from edgeseg.quantize.ranges import RangeTable

SMALLEST_SCALE = 2.0**-14
"""Smallest normal float16 (IEEE 754 binary16). Below it a scale loses bits, and hardware may take it for zero."""

_HALF_COPY = ".fp16"
_SINGLE_COPY = ".fp32"
"""Suffixes that the FP16 pass gives to casts of a tensor."""


def write_trt(model: ModelProto, base: ModelProto, placement: Placement, table: RangeTable, method: str) -> ModelProto:
    """FP32 sealed graph `model` → Q/DQ graph for TensorRT, written into `base`: the same graph, in FP16 or FP32."""
    writer = Writer(base)
    exact = Writer(model).weights
    types = tensor_types(base)
    known = tensor_types(model)

    def plain(name: str) -> str:
        """The name that a tensor has in the FP32 graph."""
        if name in known:
            return name
        return name.removesuffix(_HALF_COPY).removesuffix(_SINGLE_COPY)

    def type_of(name: str) -> type[np.floating]:
        return np.float16 if types.get(name) == TensorProto.FLOAT16 or name.endswith(_HALF_COPY) else np.float32

    def affine(name: str) -> Affine:
        found = table.of(placement.range_of(plain(name)), method)
        return symmetric(found.low, found.high, type_of(name))

    written: set[str] = set()
    for node in convolutions(writer.model, placement, plain):
        kernel = plain(node.input[1])
        axis, kind = placement.weights[kernel], type_of(node.input[1])
        if kernel not in written:
            scales = np.maximum(weight_scales(exact[kernel], axis), SMALLEST_SCALE).astype(kind)
            quantised = round_weights(exact[kernel], scales, axis)
            writer.dequantised_constant(kernel, quantised, Affine(scales, np.zeros(len(scales), np.int8)), axis)
            written.add(kernel)
        node.input[1] = writer.dequantised_name(kernel)
    writer.write_pairs(placement, affine, plain)
    return writer.model


def symmetric(low: float, high: float, kind: type[np.floating] = np.float32) -> Affine:
    """A range, mirrored around zero, on int8: the larger magnitude becomes 127. `kind` is the type of the scale."""
    scale = max(abs(low), abs(high)) / INT8_MAX
    return Affine(np.array(max(scale, SMALLEST_SCALE), kind), np.array(0, np.int8))
