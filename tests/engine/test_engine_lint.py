"""Every rule of the lint before build, with the fault that it is there for planted into a graph that passes."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from tiny_int8 import residual, residual_table, upsampled

from edgeseg.engine.lint import ERROR, RULES, WARNING, LintReport, Target, lint_bytes, lint_model, parse_target
from edgeseg.engine.lint.finding import GRAPH
from edgeseg.errors import ConfigError, GateError, InputError
from edgeseg.graph.export import ExportedGraph
from edgeseg.graph.fp16 import convert_to_fp16
from edgeseg.quantize.dialects import quantize

RELEASES = ("10.3", "10.16", "11.4")
TARGET = parse_target("10.3")

Plant = Callable[[ModelProto], str]
"""Breaks a rule in a model and returns the name of the node that breaks it."""


@lru_cache(maxsize=3)
def int8(*, fp16: bool) -> bytes:
    written = quantize(residual(), residual_table(), dialect="trt", method="min-max", fp16=fp16)
    return bytes(written.model.SerializeToString())


def float_graph() -> ModelProto:
    return residual()


def half_int8() -> ModelProto:
    return ModelProto.FromString(int8(fp16=True))


def single_int8() -> ModelProto:
    return ModelProto.FromString(int8(fp16=False))


def node_of(model: ModelProto, kind: str, index: int = 0) -> NodeProto:
    return [node for node in model.graph.node if node.op_type == kind][index]


def constant(model: ModelProto, name: str) -> TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def set_values(model: ModelProto, name: str, values: np.ndarray[Any, Any]) -> None:
    constant(model, name).CopyFrom(numpy_helper.from_array(values, name))


def own_copy(model: ModelProto, node: NodeProto, index: int, values: np.ndarray[Any, Any]) -> None:
    """Give one node a constant of its own as this input, whoever else reads the old one."""
    name = f"{node.name}.planted{index}"
    model.graph.initializer.append(numpy_helper.from_array(values, name))
    while len(node.input) <= index:
        node.input.append("")
    node.input[index] = name


def behind(model: ModelProto, node: NodeProto, kind: str, name: str, **settings: Any) -> NodeProto:
    """A node between `node` and its readers, of the same type."""
    target = node.output[0]
    node.output[0] = f"{target}.before"
    planted = helper.make_node(kind, [node.output[0]], [target], name=name, **settings)
    position = next(index for index, each in enumerate(model.graph.node) if each.name == node.name)
    model.graph.node.insert(position + 1, planted)
    return model.graph.node[position + 1]


def set_attribute(node: NodeProto, name: str, value: Any) -> None:
    for entry in list(node.attribute):
        if entry.name == name:
            node.attribute.remove(entry)
    node.attribute.append(helper.make_attribute(name, value))


# What is planted, rule by rule


def uint8_between(model: ModelProto) -> str:
    model.graph.node.insert(0, helper.make_node("Identity", ["frame"], ["same"], name="early"))
    model.graph.node[1].input[0] = "same"
    return "early"


def argmax_to_uint8(model: ModelProto) -> str:
    last = model.graph.node[-1]
    last.input[0] = "ids"
    return str(last.name)


def zero_point_not_zero(model: ModelProto) -> str:
    return pair_with(model, 2, np.array(3, np.int8))


def pair_with(model: ModelProto, place: int, value: np.ndarray[Any, Any]) -> str:
    """The first QuantizeLinear with another scale (input 1) or zero-point (2)."""
    node = node_of(model, "QuantizeLinear")
    own_copy(model, node, place, value)
    return str(node.name)


def unsigned_activation(model: ModelProto) -> str:
    return pair_with(model, 2, np.array(0, np.uint8))


def zero_point_left_out(model: ModelProto) -> str:
    node = node_of(model, "QuantizeLinear")
    del node.input[2]
    return str(node.name)


def half_scale_of_zero(model: ModelProto) -> str:
    return pair_with(model, 1, np.array(1e-9, np.float16))


def scale_that_rounds_to_zero(model: ModelProto) -> str:
    return pair_with(model, 1, np.array(1e-9, np.float32))


def negative_scale(model: ModelProto) -> str:
    return pair_with(model, 1, np.array(-0.5, np.float32))


def subnormal_scale(model: ModelProto) -> str:
    return pair_with(model, 1, np.array(1e-6, np.float32))


def computed_scale(model: ModelProto) -> str:
    node = node_of(model, "QuantizeLinear")
    model.graph.node.insert(0, helper.make_node("Abs", [node.input[1]], ["abs"], name="abs"))
    node = node_of(model, "QuantizeLinear")
    node.input[1] = "abs"
    return str(node.name)


def old_opset(model: ModelProto) -> str:
    model.opset_import[0].version = 18
    return str(node_of(model, "QuantizeLinear").name)


def weights_of(model: ModelProto) -> tuple[NodeProto, NodeProto]:
    """A convolution, not of the head, with the DQ of its weights."""
    written = {node.output[0]: node for node in model.graph.node}
    for node in model.graph.node:
        if node.op_type == "Conv" and node.input[1] in written:
            return node, written[node.input[1]]
    raise AssertionError("no convolution has int8 weights")


def scale_per_tensor(model: ModelProto) -> str:
    node, source = weights_of(model)
    kind = numpy_helper.to_array(constant(model, source.input[1])).dtype
    own_copy(model, source, 1, np.array(0.01, kind))
    own_copy(model, source, 2, np.array(0, np.int8))
    return str(node.name)


def scales_along_inputs(model: ModelProto) -> str:
    node, source = weights_of(model)
    set_attribute(source, "axis", 1)
    return str(node.name)


def activation_per_channel(model: ModelProto) -> str:
    node = node_of(model, "QuantizeLinear")
    own_copy(model, node, 1, np.full(3, 0.1, np.float32))
    own_copy(model, node, 2, np.zeros(3, np.int8))
    return str(node.name)


def int32_bias(model: ModelProto) -> str:
    node, _ = weights_of(model)
    bias = numpy_helper.to_array(constant(model, node.input[2]))
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.zeros(bias.shape, np.int32), "bias.q"),
            numpy_helper.from_array(np.full(bias.shape, 0.01, bias.dtype), "bias.scale"),
        ]
    )
    made = helper.make_node("DequantizeLinear", ["bias.q", "bias.scale"], ["bias.dq"], name="bias.dq", axis=0)
    node.input[2] = "bias.dq"
    name = str(node.name)
    model.graph.node.insert(0, made)
    return name


def quantised_head(model: ModelProto) -> str:
    reader = node_of(model, "ArgMax")
    kind = numpy_helper.to_array(constant(model, node_of(model, "QuantizeLinear").input[1])).dtype
    model.graph.initializer.extend(
        [numpy_helper.from_array(np.array(0.1, kind), "s"), numpy_helper.from_array(np.array(0, np.int8), "z")]
    )
    scores = reader.input[0]
    reader.input[0] = "scores.dq"
    position = next(index for index, node in enumerate(model.graph.node) if node.op_type == "ArgMax")
    model.graph.node.insert(
        position, helper.make_node("DequantizeLinear", ["scores.q", "s", "z"], ["scores.dq"], name="head.dq")
    )
    model.graph.node.insert(
        position, helper.make_node("QuantizeLinear", [scores, "s", "z"], ["scores.q"], name="head.q")
    )
    return "head.dq"


def both_branches(model: ModelProto) -> str:
    node = node_of(model, "Add")
    written = {name for each in model.graph.node if each.op_type == "DequantizeLinear" for name in each.output}
    plain = next(index for index, name in enumerate(node.input) if name not in written)
    kind = numpy_helper.to_array(constant(model, node_of(model, "QuantizeLinear").input[1])).dtype
    model.graph.initializer.extend(
        [numpy_helper.from_array(np.array(0.1, kind), "s"), numpy_helper.from_array(np.array(0, np.int8), "z")]
    )
    position = next(index for index, each in enumerate(model.graph.node) if each.op_type == "Add")
    branch = node.input[plain]
    node.input[plain] = "branch.dq"
    name = str(node.name)
    model.graph.node.insert(position, helper.make_node("DequantizeLinear", ["branch.q", "s", "z"], ["branch.dq"]))
    model.graph.node.insert(position, helper.make_node("QuantizeLinear", [branch, "s", "z"], ["branch.q"]))
    return name


def mixed_floats(model: ModelProto) -> str:
    node = node_of(model, "Add")
    behind(model, node_of(model, "Conv", 2), "Cast", "narrow", to=TensorProto.FLOAT16)
    for value in model.graph.value_info:
        if value.name == node.input[0]:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return str(node.name)


def max_unpool(model: ModelProto) -> str:
    relu = node_of(model, "Relu", 1)
    size = {"kernel_shape": [2, 2], "strides": [2, 2]}
    source = relu.input[0]
    relu.input[0] = "unpooled"
    position = next(index for index, node in enumerate(model.graph.node) if node.name == relu.name)
    model.graph.node.insert(
        position, helper.make_node("MaxUnpool", ["pooled", "indices"], ["unpooled"], name="unpool", **size)
    )
    model.graph.node.insert(position, helper.make_node("MaxPool", [source], ["pooled", "indices"], name="pool", **size))
    return "unpool"


def pooling_indices(model: ModelProto) -> str:
    max_unpool(model)
    return "pool"


def dilated_pooling(model: ModelProto) -> str:
    settings = {"kernel_shape": [3, 3], "dilations": [2, 2], "pads": [2, 2, 2, 2]}
    return str(behind(model, node_of(model, "Relu", 1), "MaxPool", "dilated", **settings).name)


def resized(model: ModelProto, **settings: Any) -> str:
    node = behind(model, node_of(model, "Relu", 1), "Resize", "resize", **settings)
    model.graph.initializer.append(numpy_helper.from_array(np.ones(4, np.float32), "factors"))
    node.input.extend(["", "factors"])
    return "resize"


def antialias(model: ModelProto) -> str:
    return resized(model, mode="linear", antialias=1)


def crop_and_resize(model: ModelProto) -> str:
    name = resized(model, mode="linear", coordinate_transformation_mode="tf_crop_and_resize")
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float32), "roi"))
    node_of(model, "Resize").input[1] = "roi"
    return name


def half_pixel_symmetric(model: ModelProto) -> str:
    return resized(model, mode="linear", coordinate_transformation_mode="half_pixel_symmetric")


def not_larger(model: ModelProto) -> str:
    name = resized(model, mode="linear", keep_aspect_ratio_policy="not_larger")
    node = node_of(model, "Resize")
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 8, 16, 24], np.int64), "sizes"))
    del node.input[2:]
    node.input.extend(["", "sizes"])
    return name


def cubic(model: ModelProto) -> str:
    return resized(model, mode="cubic")


def computed_size(model: ModelProto) -> str:
    name = resized(model, mode="linear")
    model.graph.node.insert(0, helper.make_node("Abs", ["factors"], ["computed"]))
    node_of(model, "Resize").input[2] = "computed"
    return name


def computed_axes(model: ModelProto) -> str:
    node = behind(model, node_of(model, "Relu", 1), "ReduceMean", "mean", keepdims=1)
    model.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "one"))
    node.input.append("axes")
    model.graph.node.insert(0, helper.make_node("Abs", ["one"], ["axes"]))
    return "mean"


def output_shape(model: ModelProto) -> str:
    node = node_of(model, "ConvTranspose")
    set_attribute(node, "output_shape", [16, 24])
    return str(node.name)


def output_padding(model: ModelProto) -> str:
    node = node_of(model, "ConvTranspose")
    set_attribute(node, "output_padding", [1, 0])
    return str(node.name)


def same_upper(model: ModelProto) -> str:
    node = node_of(model, "ConvTranspose")
    set_attribute(node, "auto_pad", "SAME_UPPER")
    return str(node.name)


def quantised_transposed(model: ModelProto) -> str:
    node = node_of(model, "ConvTranspose")
    weights = numpy_helper.to_array(constant(model, node.input[1]))
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.zeros(weights.shape, np.int8), "up.q"),
            numpy_helper.from_array(np.full(weights.shape[1], 0.01, np.float32), "up.scale"),
            numpy_helper.from_array(np.zeros(weights.shape[1], np.int8), "up.zero"),
        ]
    )
    node.input[1] = "up.dq"
    name = str(node.name)
    made = helper.make_node("DequantizeLinear", ["up.q", "up.scale", "up.zero"], ["up.dq"], name="up.dq", axis=1)
    model.graph.node.insert(0, made)
    return name


def open_size(model: ModelProto) -> str:
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[1].dim_param = "height"
    del model.graph.value_info[:]
    return "input frame"


def newer_opset(model: ModelProto) -> str:
    model.opset_import[0].version = 23
    return GRAPH


def foreign_operator(model: ModelProto) -> str:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return str(behind(model, node_of(model, "Relu", 1), "FastGelu", "foreign", domain="com.microsoft").name)


def invented_operator(model: ModelProto) -> str:
    return str(behind(model, node_of(model, "Relu", 1), "Sharpen", "invented").name)


def operator_never_supported(model: ModelProto) -> str:
    node_of(model, "Relu", 1).op_type = "Det"
    return str(node_of(model, "Det").name)


def operator_too_new(model: ModelProto) -> str:
    model.opset_import[0].version = 24
    node_of(model, "Relu", 1).op_type = "Swish"
    return str(node_of(model, "Swish").name)


def operator_in_no_list(model: ModelProto) -> str:
    node_of(model, "Relu", 1).op_type = "Gelu"
    return str(node_of(model, "Gelu").name)


def outside_the_file(model: ModelProto) -> str:
    tensor = constant(model, "stem.weight")
    onnx.external_data_helper.set_external_data(tensor, "weights.bin")
    tensor.ClearField("raw_data")
    return GRAPH


def doubles(model: ModelProto) -> str:
    node = behind(model, node_of(model, "Relu", 1), "Cast", "back", to=TensorProto.FLOAT)
    behind(model, node_of(model, "Relu", 1), "Cast", "wide", to=TensorProto.DOUBLE)
    return "wide" if node.name == "back" else ""


def sixteen_bits(model: ModelProto) -> str:
    behind(model, node_of(model, "Relu", 1), "Cast", "back", to=TensorProto.FLOAT)
    behind(model, node_of(model, "Relu", 1), "Cast", "short", to=TensorProto.INT16)
    return "short"


def dangling(model: ModelProto) -> str:
    node_of(model, "Relu", 1).input[0] = "nowhere"
    return GRAPH


FAULTS: list[tuple[str, Callable[[], ModelProto], Plant]] = [
    ("uint8-inside", float_graph, uint8_between),
    ("uint8-from-float", float_graph, argmax_to_uint8),
    ("mixed-types", float_graph, mixed_floats),
    ("external-data", float_graph, outside_the_file),
    ("double", float_graph, doubles),
    ("unsupported-type", float_graph, sixteen_bits),
    ("valid-onnx", float_graph, dangling),
    ("open-shape", float_graph, open_size),
    ("opset-ceiling", float_graph, newer_opset),
    ("known-operator", float_graph, foreign_operator),
    ("known-operator", float_graph, invented_operator),
    ("operator-supported", float_graph, operator_never_supported),
    ("operator-supported", float_graph, operator_too_new),
    ("operator-listed", float_graph, operator_in_no_list),
    ("constant-input", float_graph, computed_axes),
    ("max-unpool", float_graph, max_unpool),
    ("pooling-indices", float_graph, pooling_indices),
    ("pooling-dilations", float_graph, dilated_pooling),
    ("resize-settings", float_graph, antialias),
    ("resize-settings", float_graph, crop_and_resize),
    ("resize-settings", float_graph, half_pixel_symmetric),
    ("resize-settings", float_graph, not_larger),
    ("resize-cubic", float_graph, cubic),
    ("resize-sizes", float_graph, computed_size),
    ("transposed-conv-output-shape", upsampled, output_shape),
    ("transposed-conv-padding", upsampled, output_padding),
    ("transposed-conv-padding", upsampled, same_upper),
    ("quantised-transposed-conv", upsampled, quantised_transposed),
    ("zero-point", half_int8, zero_point_not_zero),
    ("signed-int8", half_int8, unsigned_activation),
    ("signed-int8", half_int8, zero_point_left_out),
    ("scale-positive", half_int8, half_scale_of_zero),
    ("scale-positive", single_int8, scale_that_rounds_to_zero),
    ("scale-positive", single_int8, negative_scale),
    ("scale-positive", single_int8, computed_scale),
    ("scale-normal", single_int8, subnormal_scale),
    ("half-int8-opset", half_int8, old_opset),
    ("weights-per-channel", half_int8, scale_per_tensor),
    ("weights-axis", half_int8, scales_along_inputs),
    ("activations-per-tensor", single_int8, activation_per_channel),
    ("bias-float", half_int8, int32_bias),
    ("quantised-head", half_int8, quantised_head),
    ("residual-one-branch", half_int8, both_branches),
]
SEVERITY = {rule.name: rule.severity for rule in RULES}


def findings(report: LintReport, rule: str) -> list[str]:
    return [finding.node for finding in report.findings if finding.rule == rule]


@pytest.mark.parametrize(
    ("rule", "sound", "plant"), FAULTS, ids=[f"{rule}-{plant.__name__}" for rule, _, plant in FAULTS]
)
def test_a_planted_fault_is_found_by_its_rule_at_its_node(
    rule: str, sound: Callable[[], ModelProto], plant: Plant
) -> None:
    before = lint_model(sound(), TARGET, "the graph")
    assert not before.errors
    assert not findings(before, rule)
    model = sound()
    node = plant(model)
    report = lint_model(model, TARGET, "the graph")
    assert node in findings(report, rule)
    planted = next(finding for finding in report.findings if finding.rule == rule)
    assert planted.severity == SEVERITY[rule]
    assert planted.found
    assert planted.advice
    if SEVERITY[rule] == ERROR:
        assert report.findings[0].severity == ERROR
        with pytest.raises(GateError, match=r"would not build for TensorRT 10\.3"):
            report.raise_if_failed()
    else:
        report.raise_if_failed()


def test_every_rule_but_those_of_releases_and_of_the_dla_has_a_planted_fault() -> None:
    elsewhere = {"known-bad-release", "weakly-typed-release"} | {name for name in SEVERITY if name.startswith("dla-")}
    assert {rule for rule, _, _ in FAULTS} == set(SEVERITY) - elsewhere
    assert len(SEVERITY) == len(RULES)
    assert set(SEVERITY.values()) == {ERROR, WARNING}


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("graph", ["fp32", "fp16", "int8", "int8-half", "transposed"])
def test_what_edgeseg_writes_passes(release: str, graph: str, exported: ExportedGraph) -> None:
    model = {
        "fp32": lambda: exported.model,
        "fp16": lambda: convert_to_fp16(exported.model, {}).model,
        "int8": single_int8,
        "int8-half": half_int8,
        "transposed": upsampled,
    }[graph]()
    report = lint_model(model, parse_target(release), graph)
    assert [(finding.rule, finding.node, finding.found) for finding in report.findings] == []


def test_the_dialect_of_cpus_is_refused_for_what_it_is() -> None:
    written = quantize(residual(), residual_table(), dialect="cpu", method="min-max", fp16=False).model
    report = lint_model(written, TARGET, "int8-cpu")
    assert {finding.rule for finding in report.errors} == {"signed-int8", "zero-point", "bias-float", "uint8-inside"}
    assert {finding.rule for finding in report.warnings} == {"residual-one-branch", "scale-normal"}


def test_sizes_for_an_open_shape_are_enough() -> None:
    model = float_graph()
    open_size(model)
    assert not lint_model(model, Target(TARGET.version, profile=True), "the graph").errors


def test_an_opset_is_too_new_for_one_release_and_not_for_the_next() -> None:
    model = float_graph()
    for release, refused in (("8.6", True), ("10.0", False), ("10.16", False), ("11.4", False)):
        report = lint_model(model, parse_target(release), "the graph")
        assert bool(findings(report, "opset-ceiling")) == refused, release


def test_axes_of_a_slice_may_be_computed_from_10_3_on() -> None:
    model = float_graph()
    node = behind(model, node_of(model, "Relu", 1), "Slice", "slice")
    for name, values in (("starts", [0]), ("ends", [8]), ("one", [1])):
        model.graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))
    node.input.extend(["starts", "ends", "axes"])
    model.graph.node.insert(0, helper.make_node("Abs", ["one"], ["axes"]))
    for release, refused in (("10.1", True), ("10.3", False)):
        found = findings(lint_model(model, parse_target(release), "the graph"), "constant-input")
        assert found == (["slice"] if refused else []), release


def test_releases_that_are_known_bad_or_weakly_typed_are_named() -> None:
    bad = lint_model(float_graph(), parse_target("10.2.0"), "the graph")
    assert findings(bad, "known-bad-release") == [GRAPH]
    assert "TensorRT 10.2.0" in bad.errors[0].found
    assert not findings(lint_model(float_graph(), parse_target("10.2.1"), "the graph"), "known-bad-release")
    old = lint_model(float_graph(), parse_target("8.6"), "the graph")
    assert findings(old, "weakly-typed-release") == [GRAPH]


def test_a_mixed_batch_normalisation_is_taken_from_10_7_on() -> None:
    model = float_graph()
    node = node_of(model, "Relu", 1)
    name = str(node.name)
    node.op_type = "BatchNormalization"
    for index in range(1, 5):
        own_copy(model, node, index, np.ones(8, np.float16))
    for release, refused in (("10.6", True), ("10.7", False)):
        found = findings(lint_model(model, parse_target(release), "the graph"), "mixed-types")
        assert found == ([name] if refused else []), release


def test_operators_inside_branches_are_seen() -> None:
    inner = helper.make_graph(
        [helper.make_node("Det", ["scores"], ["det"], name="inside")],
        "then",
        [],
        [helper.make_tensor_value_info("det", TensorProto.FLOAT, None)],
    )
    model = float_graph()
    model.graph.node.append(helper.make_node("If", ["never"], ["x"], name="if", then_branch=inner, else_branch=inner))
    assert "inside" in findings(lint_model(model, TARGET, "the graph"), "operator-supported")


@pytest.mark.parametrize("data", [b"", b"not a graph", b"\x00" * 64])
def test_what_is_no_graph_is_refused_in_a_line(data: bytes) -> None:
    with pytest.raises(InputError, match="cannot be read as ONNX") as caught:
        lint_bytes(data, TARGET, "road.onnx")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "version"),
    [("tensorrt-10.3", "10.3"), ("11.4.1", "11.4.1"), ("TensorRT-10.16", "10.16"), ("jetpack-6.2", "10.3")],
)
def test_targets_are_releases_or_jetpacks(text: str, version: str) -> None:
    assert str(parse_target(text)) == f"TensorRT {version}"


@pytest.mark.parametrize("text", ["tensorrt", "jetpack-9", "jetpack-5.1", "8.5", "ten", ""])
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_target(text)
