"""Every kind of network quantises: FCN with skips, FCN on ResNet, SegNet, DeepLabv3, in both dialects."""

from __future__ import annotations

import numpy as np
import pytest
from network_checks import random_model
from numpy.typing import NDArray
from onnx import TensorProto

from edgeseg.graph.contract import LABELS
from edgeseg.graph.export import ExportedGraph, export_graph
from edgeseg.graph.observe import Observer
from edgeseg.graph.recipe import ExportConfig
from edgeseg.quantize.dialects import quantize
from edgeseg.quantize.lint import check_int8
from edgeseg.quantize.placement import place
from edgeseg.quantize.ranges import RangeTable, observe_ranges
from edgeseg.quantize.simulation import Simulation

HW = (64, 96)
NETWORKS = {
    "fcn4s_mobilenet_v2": 60,
    "fcn8s_mobilenet_v2": 50,
    "fcn_resnet18": 20,
    "segnet_basic": 7,
    "deeplabv3_mobilenet_v2": 55,
}
"""Network → convolutions that must at least be INT8: all but the head."""

LARGE = {"fcn8s_mobilenet_v2"}
"""Left out of `make test`: of the same kind as another."""

EITHER = pytest.mark.parametrize("dialect", ["cpu", "trt"])


def _marks(name: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.zoo, *([pytest.mark.slow] if name in LARGE else [])]


@pytest.fixture(scope="module", params=[pytest.param(name, marks=_marks(name)) for name in NETWORKS])
def exported(request: pytest.FixtureRequest) -> ExportedGraph:
    """Every network with random weights."""
    return export_graph(random_model(request.param, HW), ExportConfig())


def pictures() -> list[NDArray[np.uint8]]:
    coarse = np.random.default_rng(1).integers(0, 256, (3, 8, 12, 3), dtype=np.uint8)
    return [np.kron(each, np.ones((8, 8, 1), np.uint8)) for each in coarse]


@pytest.fixture(scope="module")
def table(exported: ExportedGraph) -> RangeTable:
    return observe_ranges(exported.model, pictures(), calibration_digest="pictures")


@EITHER
def test_it_quantises_keeps_the_rules_and_runs(exported: ExportedGraph, table: RangeTable, dialect: str) -> None:
    float_graph = exported.model
    found = quantize(float_graph, table, dialect=dialect, method="min-max", fp16=False)
    check_int8(found.model, dialect)
    assert found.report["int8_convolutions"] >= NETWORKS[float_graph.graph.name]
    # What stays in float is named, with a reason.
    float_convolutions = {
        node.name for node in float_graph.graph.node if node.op_type in ("Conv", "ConvTranspose")
    } & found.placement.kept.keys()
    assert float_convolutions
    assert all(found.report["kept_float"][each] for each in float_convolutions)
    frame = pictures()[0]
    labels = Observer(found.model, [LABELS])(frame)[LABELS]
    assert labels.shape == (1, *HW)
    assert labels.dtype == np.uint8
    # Random weights decide by little, so a third of the pixels may fall elsewhere; a broken graph agrees on a tenth.
    assert (labels == Observer(float_graph, [LABELS])(frame)[LABELS]).mean() > 0.6


@EITHER
def test_it_can_be_fine_tuned_with_the_same_places(exported: ExportedGraph, dialect: str) -> None:
    placement = place(exported.model, dialect)
    simulation = Simulation(exported, placement)
    assert simulation.pairs == {each for each in placement.activations if placement.range_of(each) == each}
    weights = {each.removeprefix("network.").removesuffix("_phases") for each in placement.weights}
    assert simulation.weights == weights
    kinds = {each.name: each.data_type for each in exported.model.graph.initializer}
    assert all(kinds[each] == TensorProto.FLOAT for each in placement.weights)
