"""The first convolution over blocks of pixels: the same integers, in another order."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto, helper, numpy_helper
from tiny_int8 import SIZE_HW, conv, noise, sealed, table_of, weights

from edgeseg.graph.contract import FRAME, IMAGE, LOGITS
from edgeseg.quantize import dialects
from edgeseg.quantize.dialects import quantize
from edgeseg.quantize.dialects.stem import BLOCKS, stem_over_blocks


def _pooled(kernel: int = 7, *, stride: int = 2, pads: tuple[int, int, int, int] | None = None) -> ModelProto:
    """A ResNet's stem, a convolution to features, the scores at full size."""
    stem = conv("stem", IMAGE, "stem_out", kernel=kernel, stride=stride)
    if pads is not None:
        del stem.attribute[:]
        stem.attribute.extend(
            helper.make_attribute(name, value) for name, value in {"strides": [2, 2], "pads": list(pads)}.items()
        )
    nodes = [
        stem,
        helper.make_node("Relu", ["stem_out"], ["stem_relu"], name="stem_act"),
        helper.make_node("MaxPool", ["stem_relu"], ["pooled"], name="pool", kernel_shape=[2, 2], strides=[1, 1]),
        conv("blend", "pooled", "blended"),
        helper.make_node("Resize", ["blended", "", "", "size"], ["large"], name="resize", mode="linear"),
        conv("classifier", "large", LOGITS, kernel=1),
    ]
    constants = [
        *weights("stem", (8, 3, kernel, kernel)),
        *weights("blend", (8, 8, 3, 3)),
        *weights("classifier", (3, 8, 1, 1)),
        numpy_helper.from_array(np.array([1, 8, *SIZE_HW], np.int64), "size"),
    ]
    return sealed(nodes, constants)


def _tensor(model: ModelProto, name: str, *, optimised: bool = True) -> Any:
    copy = ModelProto.FromString(model.SerializeToString())
    copy.graph.output.append(helper.make_tensor_value_info(name, 1, None))
    options = ort.SessionOptions()
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(copy.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run([name], {FRAME: noise(SIZE_HW)[0][np.newaxis]})[0]


@pytest.mark.parametrize(
    ("kernel", "pads"),
    [(7, None), (3, None), (5, None), (1, None), (4, (1, 1, 1, 1)), (3, (0, 0, 0, 0)), (3, (0, 2, 1, 0)), (2, None)],
)
def test_the_same_convolution(kernel: int, pads: tuple[int, int, int, int] | None) -> None:
    model = _pooled(kernel, pads=pads)
    changed = ModelProto.FromString(model.SerializeToString())
    assert stem_over_blocks(changed, kept=()) == 1
    before, after = _tensor(model, "stem_out"), _tensor(changed, "stem_out")
    assert before.shape == after.shape
    np.testing.assert_allclose(before, after, rtol=0, atol=1e-5 * float(np.abs(before).max()))
    np.testing.assert_array_equal(_tensor(model, IMAGE), _tensor(changed, IMAGE))


@pytest.mark.parametrize("optimised", [True, False])
def test_int8_is_the_same_bit_for_bit(optimised: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _pooled()
    table = table_of(model, SIZE_HW)
    blocks = quantize(model, table, dialect="cpu").model
    monkeypatch.setattr(dialects, "stem_over_blocks", lambda *_: 0)
    plain = quantize(model, table, dialect="cpu").model
    assert {"Reshape"} == {node.op_type for node in blocks.graph.node} - {node.op_type for node in plain.graph.node}
    found, expected = (_tensor(each, LOGITS, optimised=optimised) for each in (blocks, plain))
    np.testing.assert_array_equal(found, expected)
    assert np.ptp(found) > 1


def test_blocks_are_int8_at_the_scale_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the image is not the frame's own bytes, as where the frame is resized."""
    monkeypatch.setattr(dialects, "image_in_grey_levels", lambda model, _: model)
    model = _pooled()
    written = quantize(model, table_of(model, SIZE_HW), dialect="cpu").model
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in written.graph.initializer}
    for kind in ("scale", "zero_point"):
        np.testing.assert_array_equal(constants[f"{IMAGE}{BLOCKS}.{kind}"], constants[f"{IMAGE}.{kind}"])
    stem = next(node for node in written.graph.node if node.name == "stem")
    assert stem.input[0] == f"{IMAGE}{BLOCKS}.dq"
    assert constants["stem.weight.q"].shape == (8, 12, 4, 4)


def test_a_stem_in_float_stays_as_it_is() -> None:
    model = _pooled()
    kept = quantize(model, table_of(model, SIZE_HW), dialect="cpu", keep=["stem"]).model
    assert "SpaceToDepth" not in [node.op_type for node in kept.graph.node]


@pytest.mark.parametrize("fault", ["stride", "odd", "open", "two readers", "shared weights", "groups", "dilated"])
def test_what_it_does_not_apply_to(fault: str) -> None:
    model = _pooled(stride=1 if fault == "stride" else 2)
    graph = model.graph
    image = next(value for value in graph.value_info if value.name == IMAGE).type.tensor_type.shape.dim
    stem = next(node for node in graph.node if node.name == "stem")
    if fault == "odd":
        image[2].dim_value += 1
    elif fault == "open":
        image[3].dim_param = "width"
    elif fault == "two readers":
        graph.node.append(helper.make_node("Relu", [IMAGE], ["other"]))
    elif fault == "shared weights":
        graph.node.append(helper.make_node("Relu", ["stem.weight"], ["other"]))
    elif fault == "groups":
        stem.attribute.append(helper.make_attribute("group", 3))
    elif fault == "dilated":
        stem.attribute.append(helper.make_attribute("dilations", [2, 2]))
    before = model.SerializeToString()
    assert stem_over_blocks(model, kept=()) == 0
    assert model.SerializeToString() == before
