"""What edgeseg makes of every kind of network passes the lint: FP32, FP16 and INT8, for the releases planned for."""

from __future__ import annotations

import numpy as np
import pytest
from network_checks import random_model
from onnx import ModelProto

from edgeseg.engine.lint import Target, lint_model, parse_target
from edgeseg.graph.export import export_graph
from edgeseg.graph.fp16 import convert_to_fp16
from edgeseg.graph.recipe import ExportConfig
from edgeseg.quantize.dialects import quantize
from edgeseg.quantize.ranges import observe_ranges

pytestmark = [pytest.mark.zoo, pytest.mark.slow]

HW = (64, 96)
NETWORKS = (
    "fcn2s_vgg16",
    "fcn4s_mobilenet_v2",
    "fcn8s_mobilenet_v2",
    "fcn_resnet18",
    "segnet_basic",
    "deeplabv3_mobilenet_v2",
)
RELEASES = ("10.3", "10.16", "11.4")


def exported(name: str, *, dynamic: bool = False) -> ModelProto:
    return export_graph(random_model(name, HW), ExportConfig(dynamic=dynamic)).model


def findings(model: ModelProto, target: Target) -> list[tuple[str, str, str]]:
    return [(found.rule, found.node, found.found) for found in lint_model(model, target, "graph").findings]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_graph_of_a_network_passes(name: str) -> None:
    model = exported(name)
    coarse = np.random.default_rng(1).integers(0, 256, (2, 8, 12, 3), dtype=np.uint8)
    frames = [np.kron(each, np.ones((8, 8, 1), np.uint8)) for each in coarse]
    table = observe_ranges(model, frames, calibration_digest="frames")
    graphs = {
        "fp32": model,
        "fp16": convert_to_fp16(model, {}).model,
        "int8-trt": quantize(model, table, dialect="trt", method="min-max").model,
    }
    for release in RELEASES:
        for precision, graph in graphs.items():
            assert findings(graph, parse_target(release)) == [], (precision, release)


def test_a_graph_for_any_camera_passes_with_sizes() -> None:
    model = exported("fcn4s_mobilenet_v2", dynamic=True)
    for release in RELEASES:
        version = parse_target(release).version
        assert findings(model, Target(version, profile=True)) == []
        assert [rule for rule, _, _ in findings(model, Target(version))] == ["open-shape"]
