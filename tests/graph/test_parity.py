"""The ladder as a gate: it passes what is right, and names what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgeseg.errors import ConfigError, GateError
from edgeseg.graph.agreement import Logits
from edgeseg.graph.export import ExportedGraph
from edgeseg.graph.fp16 import convert_to_fp16
from edgeseg.graph.parity import ParityReport, measure_parity
from edgeseg.graph.reference import torch_logits
from edgeseg.labels import LabelMap
from edgeseg.types import Frame

LABEL_MAP = LabelMap(("dark", "grey", "bright"), ((0, 0, 0), (128, 128, 128), (255, 255, 255)))


def _frames(count: int = 2) -> list[Frame]:
    """Bright and dark patches."""
    rng = np.random.default_rng(11)
    patches = rng.integers(0, 256, (count, 5, 7, 3), np.uint8)
    return list(patches.repeat(10, axis=1).repeat(10, axis=2))


def _measure(
    exported: ExportedGraph, graphs: dict[str, ModelProto], reference: Callable[[Frame], Logits] | None = None
) -> ParityReport:
    reference = reference or partial(torch_logits, exported.sealed)
    return measure_parity(graphs, _frames(), LABEL_MAP, reference=reference, frames_from="patches")


def _changed(model: ModelProto, name: str, change: Callable[[NDArray[np.float32]], object]) -> ModelProto:
    copy = ModelProto.FromString(model.SerializeToString())
    tensor = next(tensor for tensor in copy.graph.initializer if tensor.name == name)
    values = numpy_helper.to_array(tensor).copy()
    change(values)
    tensor.CopyFrom(numpy_helper.from_array(values, name))
    return copy


def test_what_was_exported_passes(exported: ExportedGraph) -> None:
    half = convert_to_fp16(exported.model).model
    report = _measure(exported, {"fp32": exported.model, "fp16": half})
    steps = [(pair.reference, pair.candidate, pair.gate) for pair in report.pairs]
    assert steps == [
        ("torch-fp32", "onnx-fp32", 0.9999),
        ("onnx-fp32", "onnx-fp16", 0.999),
        ("torch-fp32", "onnx-fp16", 0.999),
    ]
    assert report.passed
    assert not report.failed_precisions
    report.raise_if_failed()
    exact, rounded, _ = (pair.agreement for pair in report.pairs)
    assert exact.max_abs < 1e-5 * exact.peak
    # FP16 must show as FP16: a thousand times coarser, or it was measured in FP32.
    assert 1e-4 * exact.peak < rounded.max_abs < 1e-2 * exact.peak


def test_the_report_is_plain_data(exported: ExportedGraph) -> None:
    value = json.loads(json.dumps(_measure(exported, {"fp32": exported.model}).to_dict(), allow_nan=False))
    assert value["frames"] == "patches"
    assert value["passed"] is True
    (pair,) = value["pairs"].values()
    assert list(value["pairs"]) == ["torch-fp32__onnx-fp32"]
    assert pair["gate"] == 0.9999
    assert pair["frames"] == 2
    assert set(pair["iou"]) == {"dark", "grey", "bright"}
    for figure in ("max_abs", "mean_abs", "argmax_agreement", "border_agreement", "image_border_agreement"):
        assert isinstance(pair[figure], float)


def test_another_network_fails_with_its_figures(exported: ExportedGraph) -> None:
    def swap(values: NDArray[np.float32]) -> None:
        values[[0, 1]] = values[[1, 0]]

    report = _measure(exported, {"fp32": _changed(exported.model, "network.classifier.weight", swap)})
    assert report.failed_precisions == ("fp32",)
    with pytest.raises(GateError, match=r"onnx-fp32 is not torch-fp32: .*% of pixels keep their class.*--locate"):
        report.raise_if_failed()


def test_a_small_error_fails_in_fp32_before_any_class_changes(exported: ExportedGraph) -> None:
    def nudge(values: NDArray[np.float32]) -> None:
        values += 0.002

    report = _measure(exported, {"fp32": _changed(exported.model, "network.classifier.bias", nudge)})
    # The same for every class, so no class changes; but it is not the trained network any more.
    assert report.pairs[0].agreement.argmax_agreement == 1.0
    with pytest.raises(GateError, match="a logit is off by"):
        report.raise_if_failed()


def test_an_fp16_graph_that_overflows_fails_and_fp32_does_not(exported: ExportedGraph) -> None:
    half = convert_to_fp16(exported.model).model
    broken = _changed(half, "network.classifier.weight", lambda values: values.fill(60000))
    report = _measure(exported, {"fp32": exported.model, "fp16": broken})
    assert report.failed_precisions == ("fp16",)
    assert [pair.passed for pair in report.pairs] == [True, False, False]
    with pytest.raises(GateError, match="NaN or infinity"):
        report.raise_if_failed()
    figures = report.to_dict()["pairs"]["onnx-fp32__onnx-fp16"]
    assert figures["max_abs"] is None
    json.dumps(report.to_dict(), allow_nan=False)


def test_labels_that_are_not_the_largest_logit_fail(exported: ExportedGraph) -> None:
    model = ModelProto.FromString(exported.model.SerializeToString())
    index = next(index for index, node in enumerate(model.graph.node) if node.op_type == "ArgMax")
    argmax = model.graph.node[index]
    model.graph.node.insert(index, helper.make_node("Neg", [argmax.input[0]], ["upside_down"]))
    model.graph.node[index + 1].input[0] = "upside_down"
    report = _measure(exported, {"fp32": model})
    assert report.pairs[0].agreement.argmax_agreement == 1.0
    with pytest.raises(GateError, match="are not the class of its largest logit"):
        report.raise_if_failed()


def test_without_the_trained_model_fp32_is_the_reference(exported: ExportedGraph) -> None:
    graphs = {"fp32": exported.model, "fp16": convert_to_fp16(exported.model).model}
    report = measure_parity(graphs, _frames(), LABEL_MAP, reference=None, frames_from="patches")
    assert [(pair.reference, pair.candidate) for pair in report.pairs] == [("onnx-fp32", "onnx-fp16")]


def test_nothing_to_compare_is_an_error(exported: ExportedGraph) -> None:
    with pytest.raises(ConfigError, match="nothing to compare"):
        measure_parity({"fp32": exported.model}, _frames(), LABEL_MAP, reference=None, frames_from="patches")
    with pytest.raises(ConfigError, match="no frames in an empty folder"):
        measure_parity(
            {"fp32": exported.model},
            [],
            LABEL_MAP,
            reference=partial(torch_logits, exported.sealed),
            frames_from="an empty folder",
        )


def test_a_graph_that_the_runtime_refuses_is_a_failed_gate(exported: ExportedGraph) -> None:
    model = ModelProto.FromString(exported.model.SerializeToString())
    cast = next(node for node in model.graph.node if node.op_type == "Cast")
    cast.attribute[0].i = TensorProto.FLOAT16
    with pytest.raises(GateError, match="refuses the graph"):
        _measure(exported, {"fp32": model})
