"""Folding batch normalisation: the same numbers, one operator less, and left alone where it would not be exact."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgeseg.graph.passes.fold_batch_norm import fold_batch_norm

CHANNELS = 4


def _model(nodes: list[NodeProto], rng: np.random.Generator, **weights: NDArray[np.float32]) -> ModelProto:
    """`nodes` between x (1, 3, 6, 7) and "sum", then batch normalisation to "y"."""
    norm = {
        "gamma": rng.uniform(0.5, 2, CHANNELS),
        "beta": rng.normal(size=CHANNELS),
        "mean": rng.normal(size=CHANNELS),
        "variance": rng.uniform(0.2, 3, CHANNELS),
    }
    norm_node = helper.make_node("BatchNormalization", ["sum", *norm], ["y"], epsilon=1e-3)
    constants = {**weights, **{name: values.astype(np.float32) for name, values in norm.items()}}
    graph = helper.make_graph(
        [*nodes, norm_node],
        "folding",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 6, 7])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _run(model: ModelProto, output: str = "y") -> NDArray[np.float32]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).normal(size=(1, 3, 6, 7)).astype(np.float32)
    return np.asarray(session.run([output], {"x": x})[0])


def _weights(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return rng.normal(size=shape).astype(np.float32)


def _decoder(rng: np.random.Generator, axes: list[int]) -> ModelProto:
    """A transposed convolution, cropped, plus a skip with a bias: 5 × 6 of what would be 6 × 7."""
    nodes = [
        helper.make_node("Conv", ["x", "down"], ["small"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("ConvTranspose", ["small", "up"], ["grown"], strides=[2, 2], pads=[1, 1, 1, 1], group=2),
        helper.make_node("Slice", ["grown", "starts", "ends", "axes"], ["cropped"]),
        helper.make_node("Slice", ["x", "starts", "ends", "spatial"], ["skipped"]),
        helper.make_node("Conv", ["skipped", "skip", "bias"], ["side"]),
        helper.make_node("Add", ["cropped", "side"], ["sum"]),
    ]
    return _model(
        nodes,
        rng,
        down=_weights(rng, 6, 3, 3, 3),
        up=_weights(rng, 6, CHANNELS // 2, 4, 4),
        skip=_weights(rng, CHANNELS, 3, 1, 1),
        bias=_weights(rng, CHANNELS),
        starts=np.array([0, 0]),
        ends=np.array([5, 6]),
        axes=np.array(axes),
        spatial=np.array([2, 3]),
    )


def test_through_a_sum_a_crop_and_groups() -> None:
    model = _decoder(np.random.default_rng(0), [2, 3])
    before = _run(model)
    assert fold_batch_norm(model) == 1
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    np.testing.assert_allclose(_run(model), before, rtol=0, atol=1e-5 * np.abs(before).max())


def test_tensors_that_change_their_value_change_their_name() -> None:
    model = _decoder(np.random.default_rng(0), [2, 3])
    fold_batch_norm(model)
    written = [name for node in model.graph.node for name in node.output]
    assert written == ["small", "grown.folded", "cropped.folded", "skipped", "side.folded", "y"]


def test_the_constants_of_the_operator_leave_the_file() -> None:
    model = _decoder(np.random.default_rng(0), [2, 3])
    fold_batch_norm(model)
    assert not {"gamma", "beta", "mean", "variance"} & {tensor.name for tensor in model.graph.initializer}


def _single(rng: np.random.Generator) -> tuple[NodeProto, NDArray[np.float32]]:
    return helper.make_node("Conv", ["x", "w"], ["sum"], name="conv"), _weights(rng, CHANNELS, 3, 3, 3)


def test_into_a_convolution_without_bias() -> None:
    rng = np.random.default_rng(2)
    node, weights = _single(rng)
    model = _model([node], rng, w=weights)
    before = _run(model)
    assert fold_batch_norm(model) == 1
    assert len(model.graph.node) == 1
    np.testing.assert_allclose(_run(model), before, rtol=0, atol=1e-5 * np.abs(before).max())


def test_a_sum_that_is_read_elsewhere_is_left_alone() -> None:
    rng = np.random.default_rng(3)
    node, weights = _single(rng)
    model = _model([node], rng, w=weights)
    model.graph.output.append(helper.make_tensor_value_info("sum", TensorProto.FLOAT, None))
    before = _run(model, "sum")
    assert fold_batch_norm(model) == 0
    np.testing.assert_array_equal(_run(model, "sum"), before)


@pytest.mark.parametrize("kind", ["shared weights", "crop of channels", "not linear"])
def test_what_cannot_be_folded_exactly_is_left_alone(kind: str) -> None:
    rng = np.random.default_rng(4)
    node, weights = _single(rng)
    if kind == "shared weights":
        twin = helper.make_node("Conv", ["x", "w"], ["a"])
        node = helper.make_node("Conv", ["x", "w"], ["b"])
        model = _model([twin, node, helper.make_node("Add", ["a", "b"], ["sum"])], rng, w=weights)
    elif kind == "crop of channels":
        model = _decoder(rng, [1, 3])
        # 5 of 2·2 channels are all of them, so the graph still runs; but it is the channel axis that is sliced.
        del model.graph.node[3]
        model.graph.node[3].input[0] = "x"
        model.graph.node[4].op_type = "Max"
    else:
        node.output[0] = "linear"
        model = _model([node, helper.make_node("Relu", ["linear"], ["sum"])], rng, w=weights)
    assert fold_batch_norm(model) == 0


@pytest.mark.parametrize("fault", ["training", "weights may be overridden", "half precision", "one axis", "three axes"])
def test_what_no_export_of_ours_holds_is_left_alone_too(fault: str) -> None:
    rng = np.random.default_rng(5)
    node, weights = _single(rng)
    if fault == "one axis":
        weights = weights[:, :, 0]
    elif fault == "three axes":
        weights = weights[..., np.newaxis]
    model = _model([node], rng, w=weights)
    if fault == "training":
        norm = model.graph.node[1]
        norm.attribute.append(helper.make_attribute("training_mode", 1))
        norm.output.extend(["running_mean", "running_variance"])
    elif fault == "weights may be overridden":
        model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, weights.shape))
    elif fault == "half precision":
        for tensor in model.graph.initializer:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    before = model.SerializeToString()
    assert fold_batch_norm(model) == 0
    assert model.SerializeToString() == before
