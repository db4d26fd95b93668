"""The frame's own bytes as the image of an int8 convolution: the same function, and nothing rounded on the way in."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, helper, numpy_helper
from tiny_int8 import SIZE_HW, conv, noise, sealed, table_of, weights

from edgeseg.errors import GateError
from edgeseg.graph.contract import FRAME, IMAGE, LOGITS
from edgeseg.quantize import dialects
from edgeseg.quantize.dialects import quantize
from edgeseg.quantize.dialects.grey_levels import frame_stays_bytes, image_in_grey_levels
from edgeseg.quantize.lint import check_int8

FRAME_BGR = noise(SIZE_HW)[0][np.newaxis]
MEAN, STD = (124.0, 116.0, 103.0), (58.0, 57.0, 60.0)


def _graph(*, kernel: int = 3, bias: bool = True, swap: bool = True, colours: bool = True) -> ModelProto:
    nodes = [
        conv("stem", IMAGE, "stem_out", stride=2, bias=bias, kernel=kernel),
        helper.make_node("Relu", ["stem_out"], ["stem_relu"], name="stem_act"),
        conv("blend", "stem_relu", "blended"),
        helper.make_node("Relu", ["blended"], ["blend_relu"], name="blend_act"),
        helper.make_node("Resize", ["blend_relu", "", "", "size"], ["large"], name="resize", mode="linear"),
        conv("classifier", "large", LOGITS, kernel=1),
    ]
    constants = [
        *weights("stem", (8, 3, kernel, kernel), bias=bias),
        *weights("blend", (8, 8, 3, 3)),
        *weights("classifier", (3, 8, 1, 1)),
        numpy_helper.from_array(np.array([1, 8, *SIZE_HW], np.int64), "size"),
    ]
    model = sealed(nodes, constants)
    graph = model.graph
    if colours:
        for tensor in graph.initializer:
            if tensor.name in ("mean", "std"):
                values = np.array(MEAN if tensor.name == "mean" else STD, np.float32).reshape(1, 3, 1, 1)
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    if swap:
        bounds = {"starts": [-1], "ends": [np.iinfo(np.int64).min + 1], "axes": [1], "steps": [-1]}
        graph.initializer.extend(numpy_helper.from_array(np.array(v, np.int64), k) for k, v in bounds.items())
        graph.node.insert(2, helper.make_node("Slice", ["planes", *bounds], ["rgb"], name="swap"))
        next(node for node in graph.node if node.name == "centre").input[0] = "rgb"
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def _tensor(model: ModelProto, name: str) -> Any:
    copy = ModelProto.FromString(model.SerializeToString())
    copy.graph.output.append(helper.make_tensor_value_info(name, 1, None))
    session = ort.InferenceSession(copy.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run([name], {FRAME: FRAME_BGR})[0]


def _kinds(model: ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("kernel", [1, 3, 7])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("swap", [True, False])
def test_the_same_convolution_away_from_the_padding(kernel: int, bias: bool, swap: bool) -> None:
    model = _graph(kernel=kernel, bias=bias, swap=swap)
    changed = image_in_grey_levels(model, keep=())
    onnx.checker.check_model(changed, full_check=True)
    assert not {"Div", "Slice"} & set(_kinds(changed))
    expected, found = _tensor(model, "stem_out"), _tensor(changed, "stem_out")
    edge = -(-(kernel // 2) // 2)
    inner = (..., slice(edge, -edge or None), slice(edge, -edge or None))
    np.testing.assert_allclose(found[inner], expected[inner], rtol=0, atol=2e-5 * float(np.abs(expected).max()))
    assert np.ptp(expected) > 1
    image = _tensor(changed, IMAGE)
    np.testing.assert_array_equal(image, FRAME_BGR.transpose(0, 3, 1, 2).astype(np.float32) - round(sum(MEAN) / 3))


def test_what_padding_adds_is_a_grey_near_every_mean() -> None:
    """Only the outermost pixels see it, and by no more than 11 grey levels times the weights over the padding."""
    model = _graph()
    expected, found = (_tensor(each, "stem_out") for each in (model, image_in_grey_levels(model, keep=())))
    kernel = next(numpy_helper.to_array(each) for each in model.graph.initializer if each.name == "stem.weight")
    most = (np.abs(kernel) / np.reshape(STD, (1, 3, 1, 1))).sum(axis=(1, 2, 3)) * 11
    difference = np.abs(found - expected)
    assert (difference.max(axis=(0, 2, 3)) <= most).all()
    assert difference[:, :, 1:-1, 1:-1].max() < 1e-3 < difference.max()


@pytest.mark.parametrize("kernel", [3, 7])
def test_int8_reads_the_frame_itself(kernel: int) -> None:
    model = _graph(kernel=kernel)
    written = quantize(model, table_of(model, SIZE_HW), dialect="cpu").model
    before = _kinds(written)[: _kinds(written).index("Conv")]
    assert not {"Cast", "Sub", "Div", "Slice", "QuantizeLinear"} & set(before)
    assert all(entry.elem_type == 2 for entry in [written.graph.input[0].type.tensor_type])
    expected, found = _tensor(model, LOGITS), _tensor(written, LOGITS)
    assert np.abs(found - expected).max() < 0.06 * np.ptp(expected)


def test_blocks_and_pixels_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _graph(kernel=7)
    table = table_of(model, SIZE_HW)
    blocks = quantize(model, table, dialect="cpu").model
    monkeypatch.setattr(dialects, "stem_over_blocks", lambda *_: 0)
    pixels = quantize(model, table, dialect="cpu").model
    assert _kinds(blocks).count("Reshape") == _kinds(pixels).count("Reshape") + 2
    np.testing.assert_array_equal(_tensor(blocks, LOGITS), _tensor(pixels, LOGITS))


@pytest.mark.parametrize("kernel", [3, 7])
def test_bytes_give_the_same_bits_as_rounding_grey_levels(kernel: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _graph(kernel=kernel)
    table = table_of(model, SIZE_HW)
    direct = quantize(model, table, dialect="cpu").model
    monkeypatch.setattr(dialects, "frame_stays_bytes", lambda *_: 0)
    rounded = quantize(model, table, dialect="cpu").model
    assert "Sub" in _kinds(rounded)
    np.testing.assert_array_equal(_tensor(direct, LOGITS), _tensor(rounded, LOGITS))


@pytest.mark.parametrize("fault", ["kept", "two readers", "shared weights", "groups", "resized", "mean by pixel"])
def test_what_it_does_not_hold_for_is_left_alone(fault: str) -> None:
    model = _graph()
    graph = model.graph
    stem = next(node for node in graph.node if node.name == "stem")
    if fault == "two readers":
        graph.node.append(helper.make_node("Relu", [IMAGE], ["other"]))
    elif fault == "shared weights":
        graph.node.append(helper.make_node("Relu", ["stem.weight"], ["other"]))
    elif fault == "groups":
        stem.attribute.append(helper.make_attribute("group", 3))
    elif fault == "resized":
        planes = next(node for node in graph.node if node.op_type == "Transpose")
        planes.output[0] = "small"
        graph.initializer.append(numpy_helper.from_array(np.array([1, 3, *SIZE_HW], np.int64), "full"))
        graph.node.insert(2, helper.make_node("Resize", ["small", "", "", "full"], ["planes"], mode="linear"))
    elif fault == "mean by pixel":
        mean = next(tensor for tensor in graph.initializer if tensor.name == "mean")
        mean.CopyFrom(numpy_helper.from_array(np.zeros((1, 3, *SIZE_HW), np.float32), "mean"))
    changed = image_in_grey_levels(model, keep=["stem"] if fault == "kept" else [])
    assert changed.SerializeToString() == model.SerializeToString()


def test_a_frame_that_is_resized_is_transposed_as_bytes() -> None:
    model = _graph()
    expected = _tensor(model, LOGITS)
    assert frame_stays_bytes(model) == 1
    onnx.checker.check_model(model, full_check=True)
    assert _kinds(model)[:2] == ["Transpose", "Cast"]
    np.testing.assert_array_equal(_tensor(model, LOGITS), expected)


def test_a_cast_that_something_else_reads_stays_first() -> None:
    model = _graph()
    model.graph.node.append(helper.make_node("Shape", ["real"], ["size_of_frame"]))
    before = model.SerializeToString()
    assert frame_stays_bytes(model) == 0
    assert model.SerializeToString() == before


def test_bytes_that_are_not_the_frames_are_found_by_the_lint() -> None:
    model = _graph()
    written = quantize(model, table_of(model, SIZE_HW), dialect="cpu").model
    check_int8(written, "cpu")
    planes = next(node for node in written.graph.node if node.op_type == "Transpose" and node.input[0] == FRAME)
    planes.input[0] = "copied"
    written.graph.node.insert(0, helper.make_node("Identity", [FRAME], ["copied"], name="copy"))
    with pytest.raises(GateError, match="its input image is not quantised"):
        check_int8(written, "cpu")
