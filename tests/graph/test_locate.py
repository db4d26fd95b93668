"""A planted fault is found in the very layer it was planted in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from edgeseg.graph.export import ExportedGraph
from edgeseg.graph.fp16 import convert_to_fp16
from edgeseg.graph.locate import locate_fp16
from edgeseg.graph.program import locate_fp32
from edgeseg.types import Frame


@pytest.fixture
def frame() -> Frame:
    return np.random.default_rng(3).integers(0, 256, (50, 70, 3), np.uint8)


def _perturbed(model: ModelProto, name: str, factor: float = 1.02) -> ModelProto:
    """A copy with the first output channel of one weight scaled."""
    copy = ModelProto.FromString(model.SerializeToString())
    tensor = next(tensor for tensor in copy.graph.initializer if tensor.name == name)
    values = numpy_helper.to_array(tensor).copy()
    values[0] *= values.dtype.type(factor)
    tensor.CopyFrom(numpy_helper.from_array(values, name))
    return copy


def test_a_faithful_graph_has_no_first_difference(exported: ExportedGraph, frame: Frame) -> None:
    found = locate_fp32(exported, exported.model, frame)
    assert found.first is None
    # Only what batch normalisation was folded away from has no partner in PyTorch.
    assert found.compared >= 18
    assert len(found.steepest) == 5
    assert max(layer.error for layer in found.steepest) < 1e-5


@pytest.mark.parametrize(
    ("weight", "layer", "operator"),
    [
        ("network.down1.0.weight", "down1.0", "Conv"),
        ("network.down2.0.weight", "down2.0", "Conv"),
        ("network.overall.weight", "overall", "Conv"),
        ("network.classifier.weight", "classifier", "Conv"),
        # Rewritten as Conv, Reshape: what is blamed is what computes.
        ("network.up1.weight_phases", "up1", "Conv"),
    ],
)
def test_a_fault_in_fp32_is_found_where_it_is(
    exported: ExportedGraph, frame: Frame, weight: str, layer: str, operator: str
) -> None:
    found = locate_fp32(exported, _perturbed(exported.model, weight), frame)
    assert found.first is not None
    assert (found.first.layer, found.first.operator) == (layer, operator)
    assert found.first.incoming < found.limit < found.first.error
    assert found.steepest[0] == found.first


def test_a_fault_in_preprocessing_is_told_from_the_network(exported: ExportedGraph, frame: Frame) -> None:
    model = ModelProto.FromString(exported.model.SerializeToString())
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "preprocess.mean_grey")
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[:, ::-1].copy(), tensor.name))
    found = locate_fp32(exported, model, frame)
    assert found.first is not None
    assert (found.first.layer, found.first.operator) == ("preprocess", "Sub")


def test_a_faithful_fp16_graph_has_no_first_difference(exported: ExportedGraph, frame: Frame) -> None:
    found = locate_fp16(exported.model, convert_to_fp16(exported.model).model, frame)
    assert found.first is None
    assert found.compared >= 20
    assert max(layer.error for layer in found.steepest) > 1e-4


@pytest.mark.parametrize("damage", [lambda values: values * 1.2, lambda values: values * 60000])
def test_a_fault_in_fp16_is_found_where_it_is(
    exported: ExportedGraph, frame: Frame, damage: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> None:
    half = convert_to_fp16(exported.model).model
    weight = next(tensor for tensor in half.graph.initializer if tensor.name == "network.down2.0.weight")
    values = numpy_helper.to_array(weight).astype(np.float32)
    damaged = np.clip(damage(values), -65504, 65504).astype(np.float16)
    weight.CopyFrom(numpy_helper.from_array(damaged, weight.name))
    found = locate_fp16(exported.model, half, frame)
    assert found.first is not None
    assert found.first.layer == "down2.0"
    assert found.to_dict()["first"]["layer"] == "down2.0"


def test_overflow_is_an_infinite_error_and_still_plain_data(exported: ExportedGraph, frame: Frame) -> None:
    half = _perturbed(convert_to_fp16(exported.model).model, "network.classifier.weight", 60000)
    found = locate_fp16(exported.model, half, frame)
    assert found.first is not None
    assert found.first.layer == "classifier"
