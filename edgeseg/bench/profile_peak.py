"""What this machine reaches at best in ONNX Runtime: multiplications in a large product of matrices, bytes in a copy.

The three graphs are written here byte by byte, because the device side has no onnx: a protocol buffer of a dozen fields
(onnx.proto3; protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.bench.profile_trace import trace

_ROWS, _SIDE = 1024, 256
"""Of the left matrix, as a layer's pixels and channels; the right is square. 2²⁶ multiplications, a millisecond: longer
runs are seldom left alone by other programs. Larger matrices were no faster (measured: up to 1024 × 1024)."""
_COPIED = 2 << 20
"""Floats that are copied, 8 MiB in and 8 MiB out: more than the caches of a core hold."""
_RUNS = 200
_OPSET = 20
_IR_VERSION = 9

_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6}
"""TensorProto.DataType."""


@dataclass(frozen=True, slots=True)
class Peak:
    """At so many threads as the model had."""

    fp32_gmacs: float
    """10⁹ multiply-accumulates a second, in a product of FP32 matrices, 1024 × 256 by 256 × 256."""
    int8_gmacs: float
    """The same with unsigned activations and signed weights of eight bits, summed in 32."""
    copy_gbytes: float
    """10⁹ bytes a second, read and written, in a change of sign of 8 MiB of floats."""

    def to_dict(self) -> dict[str, float]:
        """Plain data."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


def measure_peak(threads: int | None, *, runs: int = _RUNS) -> Peak:
    """By the fastest of `runs` runs of each graph; one more before them is left out."""
    rng = np.random.default_rng(0)

    def fastest_s(model: bytes, feed: NDArray[Any]) -> float:
        name = "a graph to measure this machine"
        kernels = trace(model, [{"x": feed}] * (runs + 1), threads=threads, name=name).kernels
        return sum(kernel.fastest_ms for kernel in kernels) / 1e3

    left, right = (rng.standard_normal((rows, _SIDE), np.float32) for rows in (_ROWS, _SIDE))
    levels = rng.integers(0, 128, left.shape, np.uint8)
    weights = rng.integers(-64, 64, right.shape, np.int8)
    vector = rng.standard_normal(_COPIED, np.float32)
    product = 1e-9 * _ROWS * _SIDE**2
    return Peak(
        product / fastest_s(peak_graph("MatMul", left, np.float32, right), left),
        product / fastest_s(peak_graph("MatMulInteger", levels, np.int32, weights), levels),
        2e-9 * vector.nbytes / fastest_s(peak_graph("Neg", vector, np.float32), vector),
    )


def peak_graph(operator: str, like: NDArray[Any], gives: type, constant: NDArray[Any] | None = None) -> bytes:
    """y = operator(x), or operator(x, constant): y has the shape of `like`, as x."""
    inputs = ["x"] if constant is None else ["x", "w"]
    node = [_field(1, name.encode()) for name in inputs] + [_field(2, b"y"), _field(4, operator.encode())]
    graph = [_field(1, b"".join(node)), _field(2, b"peak")]
    if constant is not None:
        sizes = b"".join(_number(1, size) for size in constant.shape)
        kind = _number(2, _TYPES[constant.dtype.name])
        graph.append(_field(5, sizes + kind + _field(8, b"w") + _field(9, constant.tobytes())))
    graph.append(_field(11, _value("x", like.dtype.name, like.shape)))
    graph.append(_field(12, _value("y", np.dtype(gives).name, like.shape)))
    opset = _field(8, _number(2, _OPSET))
    return _number(1, _IR_VERSION) + _field(7, b"".join(graph)) + opset


def _value(name: str, dtype: str, shape: Sequence[int]) -> bytes:
    """ValueInfoProto."""
    sizes = b"".join(_field(1, _number(1, size)) for size in shape)
    tensor = _number(1, _TYPES[dtype]) + _field(2, sizes)
    return _field(1, name.encode()) + _field(2, _field(1, tensor))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    coded = bytearray()
    while value > 0x7F:
        coded.append(value & 0x7F | 0x80)
        value >>= 7
    coded.append(value)
    return bytes(coded)
