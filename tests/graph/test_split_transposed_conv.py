"""Transposed convolution as convolution and DepthToSpace: what becomes of the graph around it, and what is left alone.

That the values are the same, over kernels, strides, paddings, dilations, groups and sizes, is shown in
tests/conformance/test_transposed_conv.py.
"""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgeseg.graph.lint import tensor_types
from edgeseg.graph.passes.split_transposed_conv import split_transposed_conv

CHANNELS_IN, CHANNELS_OUT = 4, 6
SHAPE = (1, CHANNELS_IN, 5, 7)


def _model(
    *,
    kernel: tuple[int, ...] = (4, 4),
    shape: tuple[int | str, ...] = SHAPE,
    bias: bool = True,
    dtype: type[np.floating[Any]] = np.float32,
    weights_are: str = "constant",
    **attributes: Any,
) -> ModelProto:
    rng = np.random.default_rng(sum(kernel))
    groups = attributes.get("group", 1)
    constants = {"w": rng.normal(size=(CHANNELS_IN, CHANNELS_OUT // groups, *kernel)).astype(dtype)}
    if bias:
        constants["b"] = rng.normal(size=CHANNELS_OUT).astype(dtype)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    inputs = [helper.make_tensor_value_info("x", kind, shape)]
    if weights_are != "constant":
        inputs.append(helper.make_tensor_value_info("w", kind, constants["w"].shape))
    node = helper.make_node("ConvTranspose", ["x", *constants], ["y"], name="up", **attributes)
    kept = {name: values for name, values in constants.items() if weights_are != "input" or name != "w"}
    graph = helper.make_graph(
        [node],
        "one layer",
        inputs,
        [helper.make_tensor_value_info("y", kind, [None] * len(shape))],
        [numpy_helper.from_array(values, name) for name, values in kept.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _run(model: ModelProto, **feeds: NDArray[Any]) -> NDArray[Any]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, feeds)[0])


def _image(*shape: int, dtype: type[np.floating[Any]] = np.float32) -> NDArray[Any]:
    return np.random.default_rng(7).normal(size=shape).astype(dtype)


def _split(model: ModelProto) -> ModelProto:
    """A copy that is rewritten and still valid."""
    copy = ModelProto.FromString(model.SerializeToString())
    assert split_transposed_conv(copy) == 1
    onnx.checker.check_model(copy, full_check=True)
    return copy


@pytest.mark.parametrize(
    ("attributes", "operators"),
    [
        ({"strides": [2, 2], "pads": [1, 1, 1, 1]}, ["Conv", "DepthToSpace", "Slice"]),
        ({"strides": [2, 2]}, ["Conv", "DepthToSpace"]),
        ({"strides": [2, 2], "pads": [0, 1, 3, 2]}, ["Conv", "DepthToSpace", "Slice"]),
        ({"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 0]}, ["Conv", "DepthToSpace", "Slice"]),
        ({"strides": [3, 3], "group": 2}, ["Conv", "DepthToSpace", "Slice"]),
        ({"strides": [6, 6]}, ["Conv", "DepthToSpace", "Slice"]),
        ({"strides": [1, 1], "pads": [2, 2, 2, 2]}, ["Conv"]),
        ({"kernel": (3, 5), "strides": [2, 2], "dilations": [2, 1]}, ["Conv", "DepthToSpace", "Slice"]),
        ({"strides": [4, 4], "bias": False}, ["Conv", "DepthToSpace"]),
    ],
    ids=["crop", "whole blocks", "other pads on each side", "output padding", "kernel no multiple of stride, groups",
         "kernel below stride", "stride 1", "dilation, kernel not square", "no bias"],
)  # fmt: skip
def test_it_gives_the_same_with_the_operators_it_needs(attributes: dict[str, Any], operators: list[str]) -> None:
    model = _model(**attributes)
    split = _split(model)
    assert [node.op_type for node in split.graph.node] == operators
    image = _image(*SHAPE)
    expected = _run(model, x=image)
    np.testing.assert_allclose(_run(split, x=image), expected, rtol=0, atol=2e-6 * np.abs(expected).max() + 1e-6)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (12, 3)])
def test_the_size_may_be_open(size: tuple[int, int]) -> None:
    model = _model(shape=(1, CHANNELS_IN, "height", "width"), strides=[2, 2], pads=[1, 1, 1, 1])
    image = _image(1, CHANNELS_IN, *size)
    np.testing.assert_allclose(_run(_split(model), x=image), _run(model, x=image), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_weights_keep_their_type(dtype: type[np.floating[Any]]) -> None:
    split = _split(_model(dtype=dtype, strides=[2, 2], pads=[1, 1, 1, 1]))
    floats = {tensor.data_type for tensor in split.graph.initializer} - {TensorProto.INT64}
    assert floats == {helper.np_dtype_to_tensor_dtype(np.dtype(dtype))}
    types = tensor_types(onnx.shape_inference.infer_shapes(split, strict_mode=True))
    assert {types[name] for node in split.graph.node for name in node.output} == floats


@pytest.mark.parametrize(
    "case",
    [
        {"strides": [2, 1]},
        {"strides": [2, 2], "output_shape": [10, 14]},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "weights_are": "input"},
        {"strides": [2, 2], "weights_are": "default of an input"},
        {"strides": [2, 2], "pads": [5, 0, 0, 0]},
        {"kernel": (4,), "shape": (1, CHANNELS_IN, 9), "strides": [2]},
        {"kernel": (2, 2, 2), "shape": (1, CHANNELS_IN, 3, 4, 5), "strides": [2, 2, 2]},
    ],
    ids=["unequal strides", "output_shape", "auto_pad", "weights given at run time", "weights with a default",
         "pads beyond the kernel", "one axis", "three axes"],
)  # fmt: skip
def test_what_it_does_not_hold_for_is_left_alone(case: dict[str, Any]) -> None:
    model = _model(**case)
    before = model.SerializeToString()
    assert split_transposed_conv(model) == 0
    assert model.SerializeToString() == before


def test_layers_that_share_their_weights_each_get_what_they_need() -> None:
    model = _model(strides=[2, 2], pads=[1, 1, 1, 1])
    graph = model.graph
    # The same weights at another stride, which splits into other phases, and once more by themselves.
    graph.node.append(helper.make_node("ConvTranspose", ["x", "w", "b"], ["z"], strides=[4, 4], name="other"))
    graph.node.append(helper.make_node("ReduceMax", ["w"], ["largest"], keepdims=0))
    for name, rank in (("z", 4), ("largest", 0)):
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank))
    copy = ModelProto.FromString(model.SerializeToString())
    assert split_transposed_conv(copy) == 2
    onnx.checker.check_model(copy, full_check=True)
    assert {"w", "b"} & {tensor.name for tensor in copy.graph.initializer} == {"w"}
    feeds = {"x": _image(*SHAPE)}
    for expected, found in zip(
        *(
            ort.InferenceSession(each.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)
            for each in (model, copy)
        ),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_the_layer_that_a_node_comes_from_is_kept() -> None:
    model = _model(strides=[2, 2], pads=[1, 1, 1, 1])
    model.graph.node[0].metadata_props.add(key="scope", value="network.up")
    split = _split(model)
    assert [node.name for node in split.graph.node] == ["up.phases", "up.shuffled", "up.cropped"]
    assert all(node.metadata_props[0].value == "network.up" for node in split.graph.node)


@pytest.mark.slow
def test_the_node_cases_of_onnx() -> None:
    """Those that the package was published with, weights made constants: as expected, rewritten or left alone."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the cases of other operators, which are made as well
        cases = collect_testcases("ConvTranspose")
    rewritten: Counter[bool] = Counter()
    for case in cases:
        (inputs, (expected,)), model = case.data_sets[0], case.model
        image, *constants = inputs
        names = [value.name for value in model.graph.input]
        del model.graph.input[1:]
        model.graph.initializer.extend(map(numpy_helper.from_array, constants, names[1:]))
        rewritten[split_transposed_conv(model) == 1] += 1
        np.testing.assert_allclose(
            _run(model, **{names[0]: image}), expected, rtol=1e-5, atol=1e-5, err_msg=str(case.name)
        )
    assert rewritten[True] >= 4
    assert sum(rewritten.values()) == len(cases) >= 11
