"""The class scores in phases, as a product of matrices: the same sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper
from tiny_int8 import SIZE_HW, conv, noise, sealed, table_of, weights

from edgeseg.graph.contract import IMAGE, LABELS, LOGITS
from edgeseg.graph.observe import Observer
from edgeseg.graph.passes.decide_before_shuffle import decide_before_shuffle
from edgeseg.graph.passes.split_transposed_conv import split_transposed_conv
from edgeseg.quantize.dialects import quantize
from edgeseg.quantize.dialects.scores import scores_as_product


def _upsampled(stride: int = 8, *, bias: bool = True) -> ModelProto:
    """A network that makes scores at 1/`stride`, and a transposed convolution to full size, exported as we do."""
    inputs = ["scores", "up.weight", *(["up.bias"] if bias else [])]
    pads = [stride // 2] * 4
    up = helper.make_node("ConvTranspose", inputs, [LOGITS], name="up", strides=[stride] * 2, pads=pads)
    nodes = [
        conv("stem", IMAGE, "features", stride=2),
        conv("blend", "features", "blended", stride=stride // 2),
        conv("classifier", "blended", "scores", kernel=1),
        up,
    ]
    constants = [
        *weights("stem", (8, 3, 3, 3)),
        *weights("blend", (8, 8, 3, 3)),
        *weights("classifier", (3, 8, 1, 1)),
        *weights("up", (3, 3, 2 * stride, 2 * stride), bias=bias),
    ]
    model = sealed(nodes, constants)
    _decide_as_exported(model)
    assert split_transposed_conv(model) == 1
    assert decide_before_shuffle(model) == 1
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def _decide_as_exported(model: ModelProto) -> None:
    """ArgMax that keeps the axis, and a Squeeze later, as PyTorch writes it."""
    *_, decide, cast, labels = model.graph.node
    del decide.attribute[:]
    decide.attribute.extend(helper.make_attribute(name, 1) for name in ("axis", "keepdims"))
    squeeze = helper.make_node("Squeeze", [cast.output[0], "channel"], ["plane"], name="squeeze")
    labels.input[0] = "plane"
    model.graph.node.insert(len(model.graph.node) - 1, squeeze)
    model.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "channel"))
    changed = {decide.output[0], cast.output[0]}
    kept = [value for value in model.graph.value_info if value.name not in changed]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)


def _both(model: ModelProto) -> Any:
    observe = Observer(model, [LABELS, LOGITS])
    return observe(noise(SIZE_HW)[0])


@pytest.mark.parametrize("bias", [True, False])
def test_the_same_scores(bias: bool) -> None:
    model = _upsampled(bias=bias)
    changed = ModelProto.FromString(model.SerializeToString())
    assert scores_as_product(changed) == 1
    before, after = _both(model), _both(changed)
    peak = float(np.abs(before[LOGITS]).max())
    np.testing.assert_allclose(after[LOGITS], before[LOGITS], rtol=0, atol=1e-6 * peak)
    np.testing.assert_array_equal(after[LABELS], before[LABELS])
    assert len(np.unique(after[LABELS])) > 1


def test_int8_keeps_the_product_in_float() -> None:
    model = _upsampled()
    found = quantize(model, table_of(model, SIZE_HW), dialect="cpu")
    (product,) = (node for node in found.model.graph.node if node.op_type == "Gemm")
    assert product.name == "up.phases"
    assert product.name in found.placement.kept
    names = {tensor.name for tensor in found.model.graph.initializer}
    assert "up.weight_phases" not in names, "the weights are there once"
    agreement = (_both(found.model)[LABELS] == _both(model)[LABELS]).mean()
    assert agreement > 0.95


@pytest.mark.parametrize("fault", ["few phases", "laid out", "two readers", "groups", "computed weights"])
def test_what_it_does_not_apply_to(fault: str) -> None:
    model = _upsampled(4 if fault == "few phases" else 8)
    graph = model.graph
    up = next(node for node in graph.node if node.name == "up.phases")
    if fault == "laid out":
        model = sealed([conv("stem", IMAGE, LOGITS)], weights("stem", (3, 3, 3, 3)))
    elif fault == "two readers":
        graph.node.append(helper.make_node("Relu", [up.output[0]], ["other"]))
    elif fault == "groups":
        up.attribute.append(helper.make_attribute("group", 3))
    elif fault == "computed weights":
        up.input[1] = "other"
    before = model.SerializeToString()
    assert scores_as_product(model) == 0
    assert model.SerializeToString() == before
