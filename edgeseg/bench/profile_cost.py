"""What a kernel has to do at least: multiplications, by its operator's definition, and bytes to read and write."""

from __future__ import annotations

from collections.abc import Sequence

from edgeseg.bench.profile_trace import Tensor

_CONVOLUTIONS = {"Conv": 1, "FusedConv": 1, "NhwcFusedConv": 1, "ConvInteger": 1, "QLinearConv": 3}
_PRODUCTS = {
    "MatMul": 0,
    "FusedMatMul": 0,
    "Gemm": 0,
    "FusedGemm": 0,
    "MatMulInteger": 0,
    "MatMulIntegerToFloat": 0,
    "QLinearMatMul": 0,
    "QGemm": 0,
}
_TRANSPOSED = "ConvTranspose"
"""Operator → which of its inputs says how many multiplications an output needs (ONNX operators, opset 20, and ONNX
Runtime's own in com.microsoft): the weights of a convolution, the left matrix of a product."""

_VIEWS = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"})
"""The same bytes under another shape."""


def macs(operator: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> int:
    """Multiply-accumulates; 0 for other operators than convolutions and products, and where weights are not listed.

    Convolution: each output sums over its filter, weights (M, C / groups, kernel): outputs × weights / M, wherever the
    channels lie. Where ONNX Runtime fills channels up to whole vectors, those count, because they are computed.
    Transposed: each input is multiplied with its filters, weights (C, M / groups, kernel): inputs × weights / C, what
    is cropped off included. Product of matrices (…, M, K) × (K, N): outputs × K.
    """
    if operator in _CONVOLUTIONS:
        weights = inputs[_CONVOLUTIONS[operator]]
        if len(weights.shape) < 3:  # a scale is in their place
            return 0
        return outputs[0].elements * weights.elements // weights.shape[0]
    if operator == _TRANSPOSED:
        return inputs[0].elements * inputs[1].elements // inputs[1].shape[0]
    if operator in _PRODUCTS:
        left, product = inputs[_PRODUCTS[operator]], outputs[0]
        # By elements, because Gemm may take the left matrix as (K, M).
        return left.elements * product.shape[-1] if product.shape else left.elements
    return 0


def moved_bytes(operator: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> int:
    """Bytes of all inputs and outputs, each once: less cannot be moved. 0 where only a shape changes."""
    if operator in _VIEWS:
        return 0
    return sum(tensor.bytes for tensor in (*inputs, *outputs))


def in_int8(inputs: Sequence[Tensor]) -> bool:
    """Whether a kernel multiplies integers of eight bits."""
    return bool(inputs) and inputs[0].dtype in ("uint8", "int8")
