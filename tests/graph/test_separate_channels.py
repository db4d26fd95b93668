"""Bilinear upsampling gets one group a channel, and nothing else does."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgeseg.graph.export import export_graph
from edgeseg.graph.passes.separate_channels import separate_channels
from edgeseg.graph.passes.split_transposed_conv import split_transposed_conv
from edgeseg.graph.recipe import ExportConfig
from edgeseg.labels import CAMVID
from edgeseg.models.checkpoint import TrainedModel
from edgeseg.models.registry import ModelSpec, build_model
from edgeseg.models.upsampling import transposed_upsample

CHANNELS, SIZE = 5, (6, 7)


def _bilinear(stride: int, channels: int = CHANNELS) -> NDArray[np.float32]:
    with torch.no_grad():
        return np.array(transposed_upsample(channels, channels, stride=stride).weight.numpy())


def _model(weights: NDArray[np.float32], stride: int, *, bias: bool = False, **attributes: Any) -> ModelProto:
    constants = {"w": weights} | ({"b": np.arange(CHANNELS, dtype=np.float32)} if bias else {})
    pad = stride // 2
    node = helper.make_node(
        "ConvTranspose", ["x", *constants], ["y"], name="up", strides=[stride] * 2, pads=[pad] * 4, **attributes
    )
    graph = helper.make_graph(
        [node],
        "upsampling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, CHANNELS, *SIZE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _run(model: ModelProto) -> NDArray[np.float32]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).normal(size=(1, CHANNELS, *SIZE)).astype(np.float32)
    return np.asarray(session.run(None, {"x": x})[0])


@pytest.mark.parametrize("stride", [2, 4, 8])
@pytest.mark.parametrize("attributes", [{}, {"group": 1}])
@pytest.mark.parametrize("bias", [False, True])
def test_bilinear_upsampling_has_one_group_a_channel(stride: int, attributes: dict[str, int], bias: bool) -> None:
    model = _model(_bilinear(stride), stride, bias=bias, **attributes)
    before = _run(model)
    assert separate_channels(model) == 1
    onnx.checker.check_model(model, full_check=True)
    assert [entry.i for entry in model.graph.node[0].attribute if entry.name == "group"] == [CHANNELS]
    assert list(model.graph.initializer[0].dims) == [CHANNELS, 1, 2 * stride, 2 * stride]
    np.testing.assert_allclose(_run(model), before, rtol=0, atol=1e-6)
    assert separate_channels(model) == 0
    assert split_transposed_conv(model) == 1
    np.testing.assert_allclose(_run(model), before, rtol=0, atol=1e-6)


def test_a_learned_kernel_that_mixes_no_channels_counts_too() -> None:
    weights = np.zeros((CHANNELS, CHANNELS, 4, 4), np.float32)
    for channel in range(CHANNELS):
        weights[channel, channel] = np.random.default_rng(channel).normal(size=(4, 4))
    model = _model(weights, 2)
    before = _run(model)
    assert separate_channels(model) == 1
    np.testing.assert_allclose(_run(model), before, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "fault", ["one weight between channels", "groups", "not square", "shared", "given", "one axis"]
)
def test_everything_else_is_left_alone(fault: str) -> None:
    weights = _bilinear(2)
    attributes: dict[str, Any] = {}
    if fault == "one weight between channels":
        weights[0, 1, 3, 3] = 1e-30
    elif fault == "groups":
        weights, attributes = weights[:, :1], {"group": CHANNELS}
    elif fault == "not square":
        weights = weights[:, :3]
    elif fault == "one axis":
        weights = weights[..., 0]
    model = _model(weights, 2, **attributes)
    if fault == "shared":
        model.graph.node.append(helper.make_node("Relu", ["w"], ["other"]))
    elif fault == "given":
        model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, weights.shape))
    before = model.SerializeToString()
    assert separate_channels(model) == 0
    assert model.SerializeToString() == before


def test_an_fcn_whose_upsampling_was_never_trained() -> None:
    """As FCNs with fixed interpolation are: all three steps up, and the same labels as without the pass."""
    torch.manual_seed(0)
    spec = ModelSpec("fcn8s_mobilenet_v2", len(CAMVID), auxiliary=False)
    exported = export_graph(
        TrainedModel(build_model(spec).eval(), spec, CAMVID, (64, 96)), ExportConfig(size_hw=(64, 96))
    )
    assert exported.rewrites["separate_channels"] == exported.rewrites["split_transposed_conv"] == 3
