"""What a DLA does not take: every restriction at its edge, and releases without a DLA."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from tiny_int8 import residual, residual_table

from edgeseg.engine.lint import LintReport, Target, lint_model, parse_target
from edgeseg.quantize.dialects import quantize

DLA = parse_target("10.3", dla=True)


def one_node(kind: str, shape: tuple[int, ...], *constants: np.ndarray[Any, Any] | None, **settings: Any) -> ModelProto:
    """A graph of one node, FP16, whose first input is the graph's; `constants` are the others."""
    names = ["" if values is None else f"c{index}" for index, values in enumerate(constants)]
    node = helper.make_node(kind, ["x", *names], ["y"], name="node", **settings)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.INT64 if kind == "ArgMax" else TensorProto.FLOAT16, None)],
        [
            numpy_helper.from_array(values, name)
            for values, name in zip(constants, names, strict=True)
            if values is not None
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def half(*shape: int) -> np.ndarray[Any, Any]:
    return np.ones(shape, np.float16)


def whole(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int64)


def fallbacks(report: LintReport) -> dict[str, str]:
    return {finding.node: finding.found for finding in report.findings if finding.rule == "dla-layer"}


IMAGE = (1, 4, 16, 24)
TAKEN: list[tuple[str, ModelProto]] = [
    ("conv", one_node("Conv", IMAGE, half(8, 4, 3, 3), pads=[1, 1, 1, 1], strides=[2, 2])),
    ("conv-32", one_node("Conv", (1, 4, 64, 64), half(8, 4, 32, 32))),
    ("depthwise", one_node("Conv", IMAGE, half(4, 1, 3, 3), group=4)),
    ("transposed", one_node("ConvTranspose", IMAGE, half(4, 4, 2, 2), strides=[2, 2])),
    ("pool", one_node("MaxPool", IMAGE, kernel_shape=[2, 2], strides=[2, 2])),
    ("relu6", one_node("Clip", IMAGE, np.array(0, np.float16), np.array(6, np.float16))),
    ("nearest", one_node("Resize", IMAGE, None, None, whole(1, 4, 32, 48), mode="nearest")),
    ("floor", one_node("Resize", IMAGE, None, None, whole(1, 4, 32, 48), mode="nearest",
                       coordinate_transformation_mode="asymmetric", nearest_mode="floor")),
    ("linear-4", one_node("Resize", IMAGE, None, None, whole(1, 4, 64, 96), mode="linear")),
    ("softmax", one_node("Softmax", IMAGE, axis=1)),
    ("slice", one_node("Slice", IMAGE, whole(0), whole(8), whole(2))),
    ("reshape", one_node("Reshape", IMAGE, whole(1, 8, 8, 24))),
    ("transpose", one_node("Transpose", IMAGE, perm=[0, 2, 3, 1])),
    ("gemm", one_node("Gemm", (2, 8), half(8, 3))),
]  # fmt: skip

FALLS_BACK: list[tuple[str, str, ModelProto]] = [
    ("no layer", "ArgMax", one_node("ArgMax", IMAGE, axis=1)),
    ("no layer", "DepthToSpace", one_node("DepthToSpace", IMAGE, blocksize=2)),
    ("kernel", "Conv", one_node("Conv", (1, 4, 64, 64), half(8, 4, 33, 3))),
    ("strides", "Conv", one_node("Conv", IMAGE, half(8, 4, 3, 3), strides=[9, 9])),
    ("pads", "Conv", one_node("Conv", IMAGE, half(8, 4, 3, 3), pads=[32, 1, 1, 1])),
    ("dilations", "Conv", one_node("Conv", (1, 4, 99, 99), half(8, 4, 3, 3), dilations=[33, 33])),
    ("not 2D", "Conv", one_node("Conv", (1, 4, 64), half(8, 4, 3))),
    ("only 0", "ConvTranspose", one_node("ConvTranspose", IMAGE, half(4, 4, 4, 4), strides=[2, 2], pads=[1] * 4)),
    ("only 1", "ConvTranspose", one_node("ConvTranspose", IMAGE, half(4, 1, 4, 4), strides=[2, 2], group=4)),
    ("kernel", "ConvTranspose", one_node("ConvTranspose", IMAGE, half(4, 4, 64, 64), strides=[32, 32])),
    ("square", "ConvTranspose", one_node("ConvTranspose", IMAGE, half(4, 4, 32, 32), strides=[16, 16])),
    ("window", "MaxPool", one_node("MaxPool", IMAGE, kernel_shape=[9, 9])),
    ("strides", "AveragePool", one_node("AveragePool", (1, 4, 64, 64), kernel_shape=[2, 2], strides=[17, 17])),
    ("from 0", "Clip", one_node("Clip", IMAGE, np.array(-1, np.float16), np.array(1, np.float16))),
    ("from 0", "Clip", one_node("Clip", IMAGE, np.array(0, np.float16))),
    ("whole factors", "Resize", one_node("Resize", IMAGE, None, None, whole(1, 4, 24, 36), mode="linear")),
    ("whole factors", "Resize", one_node("Resize", IMAGE, None, None, whole(1, 4, 80, 120), mode="linear")),
    ("whole factors", "Resize", one_node("Resize", IMAGE, None, None, whole(1, 4, 8, 12), mode="nearest")),
    ("only half_pixel", "Resize", one_node("Resize", IMAGE, None, None, whole(1, 4, 32, 48), mode="linear",
                                           coordinate_transformation_mode="align_corners")),
    ("with half_pixel and floor", "Resize", one_node("Resize", IMAGE, None, None, whole(1, 4, 32, 48),
                                                     nearest_mode="floor")),
    ("at most 1024", "Softmax", one_node("Softmax", (1, 1025, 2, 2), axis=1)),
    ("batch", "Slice", one_node("Slice", (2, 4, 16, 24), whole(0), whole(1), whole(0))),
    ("four dimensions", "Reshape", one_node("Reshape", IMAGE, whole(1, 64, 24))),
    ("batch", "Transpose", one_node("Transpose", IMAGE, perm=[1, 0, 2, 3])),
    ("8192", "Relu", one_node("Relu", (1, 4, 16, 8193))),
]  # fmt: skip


@pytest.mark.parametrize("model", [model for _, model in TAKEN], ids=[name for name, _ in TAKEN])
def test_a_layer_within_the_restrictions_stays(model: ModelProto) -> None:
    assert lint_model(model, DLA, "one").findings == ()


@pytest.mark.parametrize(
    ("reason", "kind", "model"), FALLS_BACK, ids=[f"{kind}-{reason}" for reason, kind, _ in FALLS_BACK]
)
def test_a_layer_outside_of_them_falls_back(reason: str, kind: str, model: ModelProto) -> None:
    report = lint_model(model, DLA, "one")
    assert reason in fallbacks(report)["node"]
    assert kind in fallbacks(report)["node"]
    assert not report.errors
    assert not lint_model(model, parse_target("10.3"), "one").findings  # the GPU takes it


def test_joining_along_the_channels_stays_and_along_rows_does_not() -> None:
    for axis, falls in ((1, False), (-3, False), (2, True)):
        report = lint_model(one_node("Concat", IMAGE, half(*IMAGE), axis=axis), DLA, "one")
        assert ("node" in fallbacks(report)) == falls, axis


def test_quantised_graphs_and_float32_are_no_matter_for_a_dla() -> None:
    float_graph = residual()
    report = lint_model(float_graph, DLA, "fp32")
    single = [finding for finding in report.findings if finding.rule == "dla-half"]
    assert len(single) == 1
    assert "compute in float32" in single[0].found
    written = quantize(float_graph, residual_table(), dialect="trt", method="min-max", fp16=True).model
    found = fallbacks(lint_model(written, DLA, "int8-trt"))
    pairs = [node.name for node in written.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert all("no explicit quantisation" in found[name] for name in pairs)


def test_arithmetic_on_sizes_is_not_counted() -> None:
    model = one_node("Relu", IMAGE)
    model.graph.node.append(helper.make_node("Shape", ["x"], ["sizes"], name="sizes"))
    assert fallbacks(lint_model(model, DLA, "one")) == {}


@pytest.mark.parametrize(
    ("release", "offered"),
    [
        ("10.3", True),
        ("10.7", True),
        ("10.8", False),
        ("10.16", False),
        ("11.0", False),
        ("11.4.0", False),
        ("11.4", True),
        ("11.4.1", True),
    ],
)
def test_releases_without_a_dla_are_refused(release: str, offered: bool) -> None:
    report = lint_model(one_node("Relu", IMAGE), parse_target(release, dla=True), "one")
    assert [finding.rule for finding in report.errors] == ([] if offered else ["dla-offered"])


def test_a_dla_takes_one_size_even_with_a_profile() -> None:
    model = one_node("Relu", IMAGE)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    report = lint_model(model, Target(DLA.version, dla=True, profile=True), "one")
    assert [finding.rule for finding in report.errors] == ["dla-fixed-size"]
    assert not lint_model(model, Target(DLA.version, dla=True, profile=True, one_size=True), "one").errors
