"""Every rule of the INT8 dialects, with the fault that it is there for planted into a written graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper
from tiny_int8 import SIZE_HW, conv, residual, residual_table, sealed, table_of, upsampled, weights

from edgeseg.errors import ConfigError, GateError
from edgeseg.graph.contract import IMAGE, LOGITS
from edgeseg.quantize.dialects import quantize
from edgeseg.quantize.lint import check_int8
from edgeseg.quantize.placement import CPU, TRT

Fault = Callable[[ModelProto], None]


@lru_cache(maxsize=3)
def _written(dialect: str, fp16: bool) -> bytes:
    model = quantize(residual(), residual_table(), dialect=dialect, method="min-max", fp16=fp16).model
    return bytes(model.SerializeToString())


def _sound(dialect: str, *, fp16: bool = True) -> ModelProto:
    return ModelProto.FromString(_written(dialect, fp16))


def _node(model: ModelProto, name: str) -> NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def _values(model: ModelProto, name: str) -> NDArray[Any]:
    return np.array(numpy_helper.to_array(next(each for each in model.graph.initializer if each.name == name)))


def _set(model: ModelProto, name: str, values: NDArray[Any]) -> None:
    tensor = next(each for each in model.graph.initializer if each.name == name)
    tensor.CopyFrom(numpy_helper.from_array(values, name))


def _add_pair(model: ModelProto, tensor: str, scale: NDArray[Any], zero: NDArray[Any], readers: list[str]) -> None:
    """Write a pair behind `tensor` and let `readers` read it."""
    graph = model.graph
    graph.initializer.extend(
        [numpy_helper.from_array(scale, f"{tensor}.s"), numpy_helper.from_array(zero, f"{tensor}.z")]
    )
    parameters = [f"{tensor}.s", f"{tensor}.z"]
    position = next(index for index, node in enumerate(graph.node) if tensor in node.output) + 1
    for index, name in enumerate(node.name for node in graph.node):
        if name in readers:
            node = graph.node[index]
            node.input[list(node.input).index(tensor)] = f"{tensor}.dq"
    graph.node.insert(
        position, helper.make_node("QuantizeLinear", [tensor, *parameters], [f"{tensor}.q"], name=f"{tensor}.q")
    )
    graph.node.insert(
        position + 1,
        helper.make_node("DequantizeLinear", [f"{tensor}.q", *parameters], [f"{tensor}.dq"], name=f"{tensor}.dq"),
    )


# Faults of both dialects.


def _per_tensor_weights(model: ModelProto) -> None:
    for suffix in ("scale", "zero_point"):
        _set(model, f"first.weight.{suffix}", _values(model, f"first.weight.{suffix}").max())


def _wrong_axis(model: ModelProto) -> None:
    # Eight channels in and out, so only the attribute tells.
    _node(model, "first.weight.dq").attribute[0].i = 1


def _weights_cut_off(model: ModelProto) -> None:
    values = _values(model, "first.weight.q").astype(np.int32) * 3
    _set(model, "first.weight.q", np.clip(values, -127, 127).astype(np.int8))


def _zero_scale(model: ModelProto) -> None:
    _set(model, "stem_relu.scale", np.zeros_like(_values(model, "stem_relu.scale")))


def _denormal_scale(model: ModelProto) -> None:
    values = _values(model, "first.weight.scale")
    values[3] = np.nextafter(values.dtype.type(0), values.dtype.type(1))
    _set(model, "first.weight.scale", values)


def _infinite_scale(model: ModelProto) -> None:
    _set(model, "stem_relu.scale", np.full_like(_values(model, "stem_relu.scale"), np.inf))


def _pair_disagrees(model: ModelProto) -> None:
    scale = _values(model, "first_relu.scale")
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(scale * 2, scale.dtype), "other"))
    _node(model, "first_relu.dq").input[1] = "other"


def _input_not_quantised(model: ModelProto) -> None:
    node = _node(model, "third")
    node.input[0] = "sum_relu"


def _old_opset(model: ModelProto) -> None:
    model.opset_import[0].version = 18


BOTH: list[tuple[Fault, str]] = [
    (_per_tensor_weights, r"first: 1 scales for 8 output channels"),
    (_wrong_axis, r"first: scales along axis 1 of the weights, expected 0"),
    (_weights_cut_off, r"first: \d+% of its weights are cut off at ±127"),
    (_zero_scale, r"stem_relu.q: a scale of 0, expected positive"),
    (_denormal_scale, r"first.weight.dq: a scale of .*, expected positive, normal"),
    (_infinite_scale, r"stem_relu.q: a scale of inf"),
    (_pair_disagrees, r"first_relu.dq: its scale or zero-point is not that of its Q"),
    (_input_not_quantised, r"third: int8 weights, but its input sum_relu is not quantised"),
    (_old_opset, r"expected ONNX 19 or above"),
]


@pytest.mark.parametrize("dialect", [CPU, TRT])
@pytest.mark.parametrize(("fault", "message"), BOTH, ids=lambda value: getattr(value, "__name__", ""))
def test_faults_of_both(dialect: str, fault: Fault, message: str) -> None:
    model = _sound(dialect, fp16=False)
    check_int8(model, dialect)
    fault(model)
    with pytest.raises(GateError, match=message):
        check_int8(model, dialect)


# Faults of TensorRT's dialect.


def _zero_point(model: ModelProto) -> None:
    _set(model, "stem_relu.zero_point", np.array(5, np.int8))


def _unsigned(model: ModelProto) -> None:
    _set(model, "stem_relu.zero_point", np.array(0, np.uint8))


def _int32_bias(model: ModelProto) -> None:
    bias = _node(model, "first").input[2]
    _set(model, bias, np.rint(_values(model, bias) / 0.01).astype(np.int32))
    model.graph.initializer.append(numpy_helper.from_array(np.array(0.01, np.float32), "bias.scale"))
    model.graph.node.insert(0, helper.make_node("DequantizeLinear", [bias, "bias.scale"], ["bias.dq"], name="bias.dq"))
    _node(model, "first").input[2] = "bias.dq"


def _skip_in_float(model: ModelProto) -> None:
    node = _node(model, "add")
    node.input[list(node.input).index("stem_relu.dq")] = "stem_relu"


def _both_branches(model: ModelProto) -> None:
    _add_pair(model, "second_out", np.array(0.1, np.float32), np.array(0, np.int8), ["add"])


def _scale_too_small_for_fp16(model: ModelProto) -> None:
    _set(model, "stem_relu.scale", np.array(1e-8, np.float32))


TENSORRT: list[tuple[Fault, str]] = [
    (_zero_point, r"stem_relu.q: zero-point int8 5, expected int8 0"),
    (_unsigned, r"stem_relu.q: zero-point uint8 0, expected int8 0"),
    (_unsigned, r"QuantizeLinear stem_relu.q works on uint8"),
    (_int32_bias, r"first: a quantised bias, expected float"),
    (_skip_in_float, r"add: the skip of the sum is not quantised"),
    (_both_branches, r"add: both branches of the sum are quantised"),
    (_scale_too_small_for_fp16, r"stem_relu.q: a scale of 1e-08, which float16 cannot hold"),
]


@pytest.mark.parametrize(("fault", "message"), TENSORRT, ids=lambda value: getattr(value, "__name__", ""))
def test_faults_of_trt(fault: Fault, message: str) -> None:
    model = _sound(TRT, fp16=False)
    fault(model)
    with pytest.raises(GateError, match=message):
        check_int8(model, TRT)


def test_a_scale_that_float16_rounds_to_zero() -> None:
    model = _sound(TRT)
    check_int8(model, TRT)
    _set(model, "stem_relu.scale", np.array(1e-9, np.float16))
    with pytest.raises(GateError, match=r"stem_relu.q: a scale of 0, expected positive"):
        check_int8(model, TRT)


def test_a_quantised_transposed_convolution() -> None:
    graph = upsampled()
    model = quantize(graph, table_of(graph, SIZE_HW), dialect=TRT, method="min-max", fp16=False).model
    _add_pair(model, "features", np.array(0.05, np.float32), np.array(0, np.int8), ["up"])
    with pytest.raises(GateError, match=r"up: a quantised transposed convolution"):
        check_int8(model, TRT)


# Faults of the CPU dialect.


def _signed(model: ModelProto) -> None:
    _set(model, "stem_relu.zero_point", np.array(0, np.int8))


def _float_bias(model: ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(8, np.float32), "plain"))
    _node(model, "first").input[2] = "plain"


def _bias_of_another_scale(model: ModelProto) -> None:
    _set(model, "first.bias.scale", _values(model, "first.bias.scale") * np.float32(1.01))


def _result_in_float(model: ModelProto) -> None:
    node = _node(model, "classifier")
    node.input[0] = "third_relu"


def _sum_in_float(model: ModelProto) -> None:
    node = _node(model, "add")
    node.input[list(node.input).index("second_out.dq")] = "second_out"


ONNX_RUNTIME: list[tuple[Fault, str]] = [
    (_signed, r"stem_relu.q: activations of int8, expected uint8"),
    (_float_bias, r"first: a bias that is not int32"),
    (_bias_of_another_scale, r"first: the bias has not the scale of input times weights"),
    (_result_in_float, r"third: its result is not quantised"),
    (_sum_in_float, r"add: a sum of integers and reals"),
]


@pytest.mark.parametrize(("fault", "message"), ONNX_RUNTIME, ids=lambda value: getattr(value, "__name__", ""))
def test_faults_of_cpu(fault: Fault, message: str) -> None:
    model = _sound(CPU)
    fault(model)
    with pytest.raises(GateError, match=message):
        check_int8(model, CPU)


def test_bytes_that_change_their_scale_on_the_way() -> None:
    nodes = [
        conv("stem", IMAGE, "stem_out"),
        helper.make_node("MaxPool", ["stem_out"], ["pooled"], name="pool", kernel_shape=[3, 3], pads=[1] * 4),
        conv("body", "pooled", "body_out"),
        conv("classifier", "body_out", LOGITS, kernel=1),
    ]
    constants = [*weights("stem", (4, 3, 3, 3)), *weights("body", (4, 4, 3, 3)), *weights("classifier", (3, 4, 1, 1))]
    graph = sealed(nodes, constants)
    model = quantize(graph, table_of(graph, SIZE_HW), dialect=CPU, method="min-max").model
    _set(model, "pooled.scale", _values(model, "pooled.scale") * np.float32(1.5))
    with pytest.raises(GateError, match=r"pool: bytes go in at one scale and come out at another"):
        check_int8(model, CPU)


# The head, in both.


@pytest.mark.parametrize(("dialect", "zero"), [(CPU, np.array(128, np.uint8)), (TRT, np.array(0, np.int8))])
def test_quantised_logits(dialect: str, zero: NDArray[Any]) -> None:
    model = _sound(dialect, fp16=False)
    _node(model, "classifier").output[0] = "scores"
    _add_pair(model, "scores", np.array(0.1, np.float32), zero, [])
    _node(model, "scores.dq").output[0] = LOGITS
    with pytest.raises(GateError, match=r"class scores are quantised: logits"):
        check_int8(model, dialect)


@pytest.mark.parametrize("dialect", [CPU, TRT])
def test_a_head_of_int8_weights(dialect: str) -> None:
    model = _sound(dialect, fp16=False)
    weight = _values(model, "classifier.weight")
    scales = (np.abs(weight).max((1, 2, 3)) / 127).astype(np.float32)
    _set(model, "classifier.weight", np.rint(weight / scales.reshape(-1, 1, 1, 1)).astype(np.int8))
    model.graph.initializer.extend(
        [numpy_helper.from_array(scales, "head.scale"), numpy_helper.from_array(np.zeros(3, np.int8), "head.zero")]
    )
    parameters = ["classifier.weight", "head.scale", "head.zero"]
    model.graph.node.insert(0, helper.make_node("DequantizeLinear", parameters, ["head.dq"], name="head.dq", axis=0))
    _node(model, "classifier").input[1] = "head.dq"
    with pytest.raises(GateError, match=r"class scores are made by int8 weights: classifier"):
        check_int8(model, dialect)


def test_an_interpolation_may_hold_its_largest_weight_often() -> None:
    up = weights("up", (8, 8, 3, 3), bias=False)
    up[0].CopyFrom(numpy_helper.from_array(np.ones((8, 8, 3, 3), np.float32), "up.weight"))
    nodes = [conv("up", IMAGE, "features", bias=False), conv("classifier", "features", LOGITS, kernel=1)]
    up[0].CopyFrom(numpy_helper.from_array(np.ones((8, 3, 3, 3), np.float32), "up.weight"))
    graph = sealed(nodes, [*up, *weights("classifier", (3, 8, 1, 1))])
    check_int8(quantize(graph, table_of(graph, SIZE_HW), dialect=TRT, method="min-max").model, TRT)


def test_a_graph_without_int8_and_an_invalid_one() -> None:
    with pytest.raises(GateError, match=r"no convolution has int8 weights"):
        check_int8(residual(), TRT)
    broken = _sound(CPU)
    _node(broken, "first").input[0] = "nowhere"
    with pytest.raises(GateError, match=r"not valid ONNX"):
        check_int8(broken, CPU)
    with pytest.raises(ConfigError, match=r"dialect 'dla'"):
        check_int8(residual(), "dla")


def test_a_message_of_the_wrong_dialect_stays_readable() -> None:
    with pytest.raises(GateError, match=r"; and \d+ more\.$") as told:
        check_int8(_sound(TRT), CPU)
    assert "\n" not in str(told.value)
