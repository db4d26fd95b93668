"""Multiplications by hand, and those that the profiler's shapes give for real graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeseg.bench.profile_cost import in_int8, macs, moved_bytes
from edgeseg.bench.profile_trace import Kernel, Tensor, trace

F, U8, I8 = "float", "uint8", "int8"


def graph(operator: str, shape: tuple[int, ...], weights: tuple[int, ...], gives: tuple[int, ...], **how: Any) -> bytes:
    """y = operator(x, w), in FP32."""
    constant = numpy_helper.from_array(np.ones(weights, np.float32), "w")
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node(operator, ["x", "w"], ["y"], name="layer", **how)],
            "one",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, gives)],
            [constant],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def only(model: bytes, shape: tuple[int, ...], operator: str, dtype: Any = np.float32) -> Kernel:
    """The kernel of that operator, with its weights listed."""
    kernels = trace(model, [{"x": np.ones(shape, dtype)}], threads=1, packed=False, skip=0).kernels
    (kernel,) = (kernel for kernel in kernels if kernel.operator == operator)
    return kernel


@pytest.mark.parametrize(
    ("operator", "shape", "weights", "gives", "how", "expected"),
    [
        ("Conv", (1, 3, 8, 10), (16, 3, 3, 3), (1, 16, 6, 8), {}, 6 * 8 * 16 * 3 * 9),
        (
            "Conv",
            (1, 4, 9, 9),
            (6, 2, 3, 3),
            (1, 6, 5, 5),
            {"group": 2, "strides": [2, 2], "pads": [1] * 4},
            25 * 6 * 2 * 9,
        ),
        ("Conv", (1, 7, 6, 6), (7, 1, 3, 3), (1, 7, 4, 4), {"group": 7}, 16 * 7 * 9),
        (
            "ConvTranspose",
            (1, 4, 5, 6),
            (4, 3, 4, 4),
            (1, 3, 10, 12),
            {"strides": [2, 2], "pads": [1] * 4},
            30 * 4 * 3 * 16,
        ),
        ("ConvTranspose", (1, 4, 5, 6), (4, 1, 3, 3), (1, 4, 7, 8), {"group": 4}, 30 * 4 * 9),
        ("Gemm", (3, 5), (5, 7), (3, 7), {}, 3 * 5 * 7),
        ("Gemm", (5, 3), (5, 7), (3, 7), {"transA": 1}, 3 * 5 * 7),
        ("Gemm", (3, 5), (7, 5), (3, 7), {"transB": 1}, 3 * 5 * 7),
        ("MatMul", (2, 3, 5), (5, 7), (2, 3, 7), {}, 2 * 3 * 5 * 7),
    ],
)
def test_multiplications_of_a_real_kernel(
    operator: str,
    shape: tuple[int, ...],
    weights: tuple[int, ...],
    gives: tuple[int, ...],
    how: dict[str, Any],
    expected: int,
) -> None:
    kernel = only(graph(operator, shape, weights, gives, **how), shape, operator)
    assert macs(operator, kernel.inputs, kernel.outputs) == expected
    assert not in_int8(kernel.inputs)
    elements = np.prod(shape) + np.prod(weights) + np.prod(gives)
    assert moved_bytes(operator, kernel.inputs, kernel.outputs) == 4 * elements


def quantised() -> bytes:
    """A quantised convolution with two groups and stride 2."""
    constants = [
        numpy_helper.from_array(np.float32(0.5), "s"),
        numpy_helper.from_array(np.uint8(3), "z"),
        numpy_helper.from_array(np.ones((6, 2, 3, 3), np.int8), "w"),
        numpy_helper.from_array(np.full(6, 0.1, np.float32), "ws"),
        numpy_helper.from_array(np.zeros(6, np.int8), "wz"),
    ]
    node = helper.make_node(
        "QLinearConv", ["x", "s", "z", "w", "ws", "wz", "s", "z"], ["y"], group=2, strides=[2, 2], pads=[1] * 4
    )
    model = helper.make_model(
        helper.make_graph(
            [node],
            "one",
            [helper.make_tensor_value_info("x", TensorProto.UINT8, (1, 4, 9, 9))],
            [helper.make_tensor_value_info("y", TensorProto.UINT8, (1, 6, 5, 5))],
            constants,
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    return bytes(model.SerializeToString())


def test_multiplications_of_a_quantised_convolution_wherever_its_channels_lie() -> None:
    kernel = only(quantised(), (1, 4, 9, 9), "QLinearConv", np.uint8)
    assert macs("QLinearConv", kernel.inputs, kernel.outputs) == 25 * 6 * 2 * 9
    assert in_int8(kernel.inputs)
    # ONNX Runtime's form with channels last, as its profiler lists it.
    last = (Tensor(U8, (1, 9, 9, 4)), Tensor(F, ()), Tensor(U8, ()), Tensor(I8, (6, 2, 3, 3)))
    assert macs("QLinearConv", last, (Tensor(U8, (1, 5, 5, 6)),)) == 25 * 6 * 2 * 9
    packed = (*last[:3], Tensor(F, (6,)), Tensor(I8, (6,)))
    assert macs("QLinearConv", packed, (Tensor(U8, (1, 5, 5, 6)),)) == 0


def test_what_only_moves() -> None:
    levels, floats = Tensor(U8, (1, 4, 6, 3)), Tensor(F, (1, 4, 6, 3))
    assert macs("Cast", (levels,), (floats,)) == 0
    assert moved_bytes("Cast", (levels,), (floats,)) == 5 * 72
    assert moved_bytes("Reshape", (floats, Tensor("int64", (2,))), (floats,)) == 0
    sizes = {"bool": 1, "float16": 2, "int32": 4, "uint64": 8, "int64": 8, "double": 8, "int8": 1}
    assert {dtype: Tensor(dtype, (3,)).bytes // 3 for dtype in sizes} == sizes
    assert not in_int8(())
