"""Max-unpooling in a graph: plain operators, equal to PyTorch's indices to the bit, through the gates and in FP16."""

from __future__ import annotations

from functools import partial

import numpy as np
import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto
from tiny_graph import LABEL_MAP
from torch import nn

from edgeseg.errors import GateError
from edgeseg.graph.agreement import Logits
from edgeseg.graph.contract import LABELS, LOGITS
from edgeseg.graph.export import ExportedGraph, export_graph
from edgeseg.graph.fp16 import convert_to_fp16
from edgeseg.graph.lint import tensor_types
from edgeseg.graph.observe import Observer
from edgeseg.graph.parity import ParityReport, measure_parity
from edgeseg.graph.passes.mark_invalid import VALIDITY
from edgeseg.graph.recipe import ExportConfig
from edgeseg.graph.reference import torch_labels, torch_logits
from edgeseg.graph.rounding import emulate_fp16
from edgeseg.models.checkpoint import TrainedModel
from edgeseg.models.registry import ModelSpec
from edgeseg.models.sealed import SealedNetwork
from edgeseg.models.unpooling import pool_with_places, unpool
from edgeseg.types import Frame

SIZE_HW = (45, 58)
"""Pooled to 23 × 29 and 12 × 15: odd on one axis first, then on both."""

REFUSED = {"MaxUnpool", "ScatterND", "ScatterElements", "GatherND", "GatherElements", "NonZero", "Pad", "MaxPool"}


class Unpooled(nn.Module):
    """What PyTorch computes from indices, and what the graph must: a map, and values for its windows."""

    def forward(self, features: torch.Tensor, coarse: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pooled, places = pool_with_places(features)
        return pooled, unpool(coarse, places, features.shape[-2:])


class TinySegNet(nn.Module):
    """Two poolings, two unpoolings, and channels so few that it exports in a second."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([self._layer(3, 8), self._layer(8, 8)])
        self.up = nn.ModuleList([self._layer(8, 8), self._layer(8, 8)])
        self.classifier = nn.Conv2d(8, 3, 1)

    def _layer(self, channels_in: int, channels_out: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.BatchNorm2d(channels_out), nn.ReLU()
        )

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        value, poolings = images, []
        for layer in self.down:
            value = layer(value)
            size_hw = value.shape[-2:]
            value, places = pool_with_places(value)
            poolings.append((places, size_hw))
        for layer, (places, size_hw) in zip(self.up, reversed(poolings), strict=True):
            value = layer(unpool(value, places, size_hw))
        return {"out": self.classifier(value)}


@pytest.fixture(scope="module")
def segnet() -> ExportedGraph:
    torch.manual_seed(2)
    network = TinySegNet().eval()
    with torch.no_grad():
        # Every class wins somewhere.
        assert network.classifier.bias is not None
        network.classifier.bias -= network(torch.randn(1, 3, *SIZE_HW))["out"].mean(dim=(0, 2, 3))
    trained = TrainedModel(network, ModelSpec("segnet_basic", len(LABEL_MAP)), LABEL_MAP, SIZE_HW)
    return export_graph(trained, ExportConfig())


def _frames() -> list[Frame]:
    """Patches of one colour, whose windows are full of equal values, and noise."""
    rng = np.random.default_rng(5)
    patches = rng.integers(0, 256, (2, 5, 6, 3), np.uint8).repeat(9, axis=1).repeat(10, axis=2)
    return [*patches[:, : SIZE_HW[0], : SIZE_HW[1]], rng.integers(0, 256, (*SIZE_HW, 3), np.uint8)]


def _graph(features: torch.Tensor, coarse: torch.Tensor) -> ModelProto:
    program = torch.onnx.export(Unpooled().eval(), (features, coarse), dynamo=True, opset_version=20, verbose=False)
    assert program is not None
    model: ModelProto = program.model_proto
    return model


def _run(model: ModelProto, *inputs: torch.Tensor) -> list[NDArray[np.float32]]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {value.name: tensor.numpy() for value, tensor in zip(session.get_inputs(), inputs, strict=True)}
    return [np.asarray(output) for output in session.run(None, feeds)]


@pytest.mark.parametrize("shape", [(1, 3, 8, 10), (2, 4, 7, 9), (3, 1, 1, 5)])
def test_a_graph_unpools_as_pytorch_does_to_the_bit(shape: tuple[int, int, int, int]) -> None:
    rng = torch.Generator().manual_seed(1)
    coarse = torch.randn(*shape[:2], (shape[2] + 1) // 2, (shape[3] + 1) // 2, generator=rng)
    noise = torch.randn(shape, generator=rng)
    model = _graph(noise, coarse)
    # Every window tied in another way: by zeros, by a coarse grid, altogether; and values at both ends of the range.
    infinite = torch.where(noise > 0.5, torch.inf, torch.where(noise < 0, -torch.inf, noise))
    for features in (noise, torch.relu(noise), noise.round(), torch.full(shape, -2.5), -noise.abs(), infinite):
        values = torch.where(coarse > 1, torch.inf, coarse)
        for got, expected in zip(_run(model, features, values), Unpooled()(features, values), strict=True):
            np.testing.assert_array_equal(got, expected.numpy())


def test_all_ways_of_a_tie() -> None:
    """A window's four values from {0, 1}: sixteen windows, in each the first of the largest."""
    bits = (torch.arange(16)[:, None] >> torch.arange(3, -1, -1)) & 1
    features = bits.reshape(1, 16, 2, 2).float()
    coarse = torch.arange(1.0, 17).reshape(1, 16, 1, 1)
    _, got = _run(_graph(features, coarse), features, coarse)
    expected = np.zeros((16, 4), np.float32)
    expected[np.arange(16), bits.argmax(1).numpy()] = np.arange(1, 17)
    np.testing.assert_array_equal(got.reshape(16, 4), expected)


def test_a_window_with_a_nan_pools_to_nan_and_unpools_to_nothing() -> None:
    features = torch.tensor([[[[1.0, torch.nan, 5.0, 4.0], [3.0, 2.0, 4.0, 3.0]]]])
    coarse = torch.tensor([[[[7.0, 8.0]]]])
    pooled, unpooled = _run(_graph(features, coarse), features, coarse)
    np.testing.assert_array_equal(pooled, F.max_pool2d(features, 2).numpy())
    assert unpooled.tolist() == [[[[0.0, 0.0, 8.0, 0.0], [0.0, 0.0, 0.0, 0.0]]]]


def test_the_graph_has_no_indices(segnet: ExportedGraph) -> None:
    assert not {node.op_type for node in segnet.model.graph.node} & REFUSED
    types = tensor_types(segnet.model)
    written = {types[name] for node in segnet.model.graph.node for name in node.output if node.op_type != "ArgMax"}
    assert written - {types[LABELS]} <= {TensorProto.FLOAT, TensorProto.BOOL, TensorProto.INT64}
    maps = [name for node in segnet.model.graph.node for name in node.output if types[name] == TensorProto.INT64]
    assert maps == [node.output[0] for node in segnet.model.graph.node if node.op_type == "ArgMax"]


def test_labels_are_pytorchs(segnet: ExportedGraph) -> None:
    observe = Observer(segnet.model, [LOGITS, LABELS])
    for frame in _frames():
        tensors = observe(frame)
        assert len(np.unique(tensors[LABELS])) > 1
        np.testing.assert_array_equal(tensors[LABELS][0], torch_labels(segnet.sealed, frame))


def _parity(segnet: ExportedGraph, graphs: dict[str, ModelProto]) -> ParityReport:
    return measure_parity(
        graphs, _frames(), LABEL_MAP, reference=partial(torch_logits, segnet.sealed), frames_from="patches and noise"
    )


def test_what_was_exported_passes(segnet: ExportedGraph) -> None:
    report = _parity(segnet, {"fp32": segnet.model})
    report.raise_if_failed()
    assert report.passed
    assert report.pairs[0].agreement.argmax_agreement == 1.0


def test_another_order_of_the_positions_fails(segnet: ExportedGraph) -> None:
    model = ModelProto.FromString(segnet.model.SerializeToString())
    first, *_, last = [node for node in model.graph.node if node.op_type == "Equal"][:4]
    first.input[0], last.input[0] = last.input[0], first.input[0]
    with pytest.raises(GateError, match="in the mean"):
        _parity(segnet, {"fp32": model}).raise_if_failed()


def _nudged(sealed: SealedNetwork, frame: Frame, share: float, pixels: int) -> Logits:
    """The trained network, off by `share` of its largest logit in the first `pixels` of each row; no class changes."""
    logits = torch_logits(sealed, frame)
    logits[:, :, :pixels] += share * np.abs(logits).max()
    return logits


def _nudged_parity(graph: ExportedGraph, share: float, pixels: int) -> ParityReport:
    frames = [np.ascontiguousarray(np.resize(frame, (*graph.sealed.preprocess.size_hw, 3))) for frame in _frames()]
    return measure_parity(
        {"fp32": graph.model},
        frames,
        LABEL_MAP,
        reference=partial(_nudged, graph.sealed, share=share, pixels=pixels),
        frames_from="patches and noise",
    )


def test_a_maximum_may_jump_to_a_neighbour_as_good_but_not_everywhere(
    segnet: ExportedGraph, exported: ExportedGraph
) -> None:
    """Kernels differ in the last bit, so the largest error says nothing here. Without unpooling nothing may jump."""
    assert _nudged_parity(segnet, 1e-3, pixels=1).passed
    with pytest.raises(GateError, match=r"logits are off by .* in the mean"):
        _nudged_parity(segnet, 1e-3, pixels=SIZE_HW[1]).raise_if_failed()
    with pytest.raises(GateError, match="a logit is off by"):
        _nudged_parity(exported, 1e-3, pixels=1).raise_if_failed()


def test_in_fp16_the_maxima_stay_where_they_were(segnet: ExportedGraph) -> None:
    half = convert_to_fp16(segnet.model)
    types = tensor_types(half.model)
    (decided,) = {types[name] for node in half.model.graph.node if node.op_type == "Equal" for name in node.input}
    assert decided == TensorProto.FLOAT
    convolutions = [types[node.output[0]] for node in half.model.graph.node if node.op_type == "Conv"]
    assert convolutions == [*[TensorProto.FLOAT] * 2, *[TensorProto.FLOAT16] * 3]
    maxima = [node.name for node in half.model.graph.node if node.op_type == "Max" and VALIDITY not in node.input]
    assert {half.kept[name] for name in maxima} == {"a comparison of values hangs on it"}
    masks = [
        node.input[0] for node in segnet.model.graph.node if node.op_type == "Where" and VALIDITY not in node.output
    ]
    assert len(masks) == 8
    exact, rounded = (Observer(model, masks) for model in (segnet.model, emulate_fp16(half.model)))
    for frame in _frames():
        before, after = exact(frame), rounded(frame)
        assert all(np.array_equal(before[name], after[name]) for name in masks)
    rounding = _parity(segnet, {"fp32": segnet.model, "fp16": half.model}).pairs[1].agreement
    # A maximum that jumps shows as some hundredths.
    assert 1e-5 * rounding.peak < rounding.max_abs < 5e-3 * rounding.peak
