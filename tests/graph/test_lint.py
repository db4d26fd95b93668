"""Every rule of the sealed contract, broken once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgeseg.errors import GateError
from edgeseg.graph.export import ExportedGraph, rename_tensors
from edgeseg.graph.fp16 import convert_to_fp16
from edgeseg.graph.lint import check_sealed


def _node(model: ModelProto, kind: str) -> int:
    return next(index for index, node in enumerate(model.graph.node) if node.op_type == kind)


def _opset(model: ModelProto) -> None:
    model.opset_import[0].version = 19


def _foreign_domain(model: ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def _input_name(model: ModelProto) -> None:
    model.graph.input[0].name = "picture"
    model.graph.node[0].input[0] = "picture"


def _float_output(model: ModelProto) -> None:
    model.graph.node[-1].attribute[0].i = TensorProto.FLOAT
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT


def _open_size(model: ModelProto) -> None:
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[1].dim_param = "height"


def _no_logits(model: ModelProto) -> None:
    rename_tensors(model, {"logits": "scores"})


def _uint8_inside(model: ModelProto) -> None:
    graph = model.graph
    graph.node.insert(0, helper.make_node("Identity", ["frame"], ["same"], name="early"))
    graph.node[1].input[0] = "same"


def _pooling_indices(model: ModelProto) -> None:
    graph = model.graph
    index = _node(model, "Relu")
    pool = helper.make_node(
        "MaxPool", list(graph.node[index].output), ["peaks", "where"], name="pool", kernel_shape=[1, 1]
    )
    graph.node.insert(index + 1, pool)


def _unpooling(model: ModelProto) -> None:
    _pooling_indices(model)
    index = _node(model, "MaxPool")
    unpool = helper.make_node("MaxUnpool", ["peaks", "where"], ["back"], name="unpool", kernel_shape=[1, 1])
    model.graph.node.insert(index + 1, unpool)


def _cycle(model: ModelProto) -> None:
    model.graph.node[_node(model, "Conv")].input[0] = "logits"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_opset, "opsets"),
        (_foreign_domain, "com.microsoft"),
        (_input_name, "expected frame as uint8"),
        (_float_output, "expected labels as uint8"),
        (_open_size, "the size of frame is open"),
        (_no_logits, "no tensor is named logits"),
        (_uint8_inside, "Identity early works on uint8"),
        (_pooling_indices, "MaxPool pool works with indices"),
        (_unpooling, "MaxUnpool unpool works with indices"),
        (_cycle, "not valid ONNX"),
    ],
)
def test_a_broken_rule_is_named(exported: ExportedGraph, damage: Callable[[ModelProto], None], words: str) -> None:
    model = ModelProto.FromString(exported.model.SerializeToString())
    check_sealed(model, dynamic=False)
    damage(model)
    with pytest.raises(GateError, match=words):
        check_sealed(model, dynamic=False)


def test_weights_of_another_type_than_the_operator_are_found(exported: ExportedGraph) -> None:
    half = convert_to_fp16(exported.model).model
    weight = next(tensor for tensor in half.graph.initializer if tensor.name == "network.classifier.weight")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight).astype("float32"), weight.name))
    with pytest.raises(GateError, match=r"not valid ONNX|mixes float32 and float16"):
        check_sealed(half, dynamic=False)
