"""A delivery with confidence: judged by the ladder, kept in golden frames, replayed; and what fails it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper
from tiny_graph import LABEL_MAP, SIZE_HW, tiny_model
from tiny_int8 import noise, table_of

from edgeseg.bundle import Bundle
from edgeseg.bundle.writer import CONFIDENCE_MAY_DIFFER
from edgeseg.cli.parity import format_parity
from edgeseg.errors import GateError
from edgeseg.graph import deliver as stage
from edgeseg.graph import golden
from edgeseg.graph.at_frame_size import wrong_confidence
from edgeseg.graph.contract import CONFIDENCE
from edgeseg.graph.deliver import Delivery, Int8Graphs, deliver
from edgeseg.graph.export import ExportedGraph, export_graph
from edgeseg.graph.frames import NamedFrame
from edgeseg.graph.parity import MAX_CONFIDENCE_ERROR, ParityReport, measure_parity
from edgeseg.graph.recheck import Recheck, open_exported
from edgeseg.graph.recipe import ExportConfig, read_recipe
from edgeseg.graph.reference import torch_logits
from edgeseg.graph.sureness import ConfidenceMeter, probability
from edgeseg.quantize.dialects import quantize
from edgeseg.runtime.segmenter import Segmenter
from edgeseg.runtime.verify import verify_bundle

CONFIG = ExportConfig(fp16=True, int8=True, confidence=True)
PRECISIONS = ("fp32", "fp16", "int8-cpu", "int8-trt")


def _scenes(camera_hw: tuple[int, int] | None, network_hw: tuple[int, int]) -> list[NamedFrame]:
    """Patches instead of drawn roads, which take longer."""
    return [NamedFrame(f"patches_{index}", frame) for index, frame in enumerate(noise(camera_hw or network_hw, 5))]


def _quantise(exported: ExportedGraph, floats: Mapping[str, ModelProto]) -> Int8Graphs:
    table = table_of(floats["fp32"], SIZE_HW)
    assert exported.model is floats["fp32"]
    return Int8Graphs(
        {f"int8-{name}": quantize(floats["fp32"], table, dialect=name).model for name in ("cpu", "trt")}, {}
    )


@pytest.fixture(scope="module")
def quick_scenes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "road_scenes", _scenes)
        yield


@pytest.fixture(scope="module")
def delivery(quick_scenes: None, tmp_path_factory: pytest.TempPathFactory) -> Delivery:
    path = tmp_path_factory.mktemp("delivered") / "tiny.edgeseg"
    return deliver(tiny_model(), CONFIG, path, quantise=_quantise)


@pytest.fixture(scope="module")
def bundle(delivery: Delivery) -> Bundle:
    delivery.raise_if_failed()
    assert delivery.bundle is not None
    return Bundle.open(delivery.bundle.path)


class TestDelivery:
    def test_every_graph_gives_it_and_verify_passes(self, bundle: Bundle) -> None:
        assert bundle.precisions == PRECISIONS
        assert bundle.contract.confidence is not None
        report = verify_bundle(bundle)
        report.raise_if_failed()
        checks = {graph.precision: [frame.confidence for frame in graph.frames] for graph in report.graphs}
        assert set(checks) == set(PRECISIONS)
        assert all(check is not None and check.passed for found in checks.values() for check in found)

    def test_verify_is_told_how_far_int8_is_off_by_its_nature(self, bundle: Bundle) -> None:
        for precision in PRECISIONS:
            with Segmenter(bundle, precision=precision) as segmenter:
                for frame in bundle.golden():
                    found = segmenter(frame.frame_bgr)
                    assert found.confidence is not None
                    assert frame.confidence is not None
                    assert frame.confidence_may_differ is not None
                    same = found.labels == frame.labels
                    off = np.abs(found.confidence[same].astype(int) - frame.confidence[same]).mean() / 255
                    own = off if precision.startswith("int8") else 0.0
                    allowed = CONFIDENCE_MAY_DIFFER[precision] + own
                    assert frame.confidence_may_differ[precision] == pytest.approx(allowed)
                    assert off < allowed

    def test_the_manifest_has_the_figures_and_the_pass(self, bundle: Bundle) -> None:
        record = bundle.manifest.parity
        assert record is not None
        assert {pair["confidence"]["gate"] for pair in record["pairs"].values()} == set(MAX_CONFIDENCE_ERROR.values())
        for pair in record["pairs"].values():
            assert 0 <= pair["confidence"]["mean"] <= pair["confidence"]["gate"]
            assert pair["confidence"]["mean"] <= pair["confidence"]["max"] <= 1
        assert bundle.manifest.lineage["graph_passes"]["give_confidence"] == 1

    def test_it_is_in_the_table(self, delivery: Delivery) -> None:
        lines = format_parity(delivery.parity).splitlines()
        first = next(index for index, line in enumerate(lines) if line.startswith("probability of the same class"))
        assert [line.split("  ")[0] for line in lines[first + 2 : first + 5]] == [
            "PyTorch FP32 -> ONNX FP32",
            "ONNX FP32 -> ONNX FP16",
            "PyTorch FP32 -> ONNX FP16",
        ]

    def test_it_is_measured_again_on_the_bundle(self, bundle: Bundle) -> None:
        exported = open_exported(bundle.path)
        assert exported.config.confidence
        report = Recheck(exported, None).measure(noise(SIZE_HW), frames_from="patches")
        assert report.passed
        assert all(pair.agreement.confidence is not None for pair in report.pairs)

    def test_a_kept_graph_is_measured_beside_one_with_it(self, bundle: Bundle) -> None:
        exported = open_exported(bundle.graph_path("fp16"))
        report = Recheck(exported, tiny_model()).measure(noise(SIZE_HW), frames_from="patches")
        assert [pair.agreement.confidence is None for pair in report.pairs] == [False, False, False]

    @pytest.mark.usefixtures("quick_scenes")
    def test_without_it_nothing_is_said_of_it(self, tmp_path: Path) -> None:
        plain = deliver(tiny_model(), ExportConfig(), tmp_path / "plain.edgeseg")
        assert plain.bundle is not None
        assert b"confidence" not in (plain.bundle.path / "manifest.json").read_bytes()
        assert "probability" not in format_parity(plain.parity)
        assert not list(plain.bundle.path.glob("golden/*.confidence.png"))

    @pytest.mark.usefixtures("quick_scenes")
    def test_a_float_graph_that_this_machine_computes_otherwise_is_not_delivered(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(golden, "torch_confidence", lambda _, frame: np.full(frame.shape[:2], 9, np.uint8))
        with pytest.raises(GateError, match=r"fp32 graph's confidence is off by .* Export without --confidence"):
            deliver(tiny_model(), ExportConfig(confidence=True), tmp_path / "road.edgeseg")
        assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def exported() -> ExportedGraph:
    return export_graph(tiny_model(), ExportConfig(confidence=True))


def _measure(exported: ExportedGraph, candidate: ModelProto, precision: str = "fp16") -> ParityReport:
    return measure_parity(
        {"fp32": exported.model, precision: candidate},
        noise(SIZE_HW),
        LABEL_MAP,
        reference=partial(torch_logits, exported.sealed),
        frames_from="patches",
    )


def _with_constants(model: ModelProto, scale: float, *names: str) -> ModelProto:
    copy = ModelProto.FromString(model.SerializeToString())
    for tensor in copy.graph.initializer:
        if tensor.name in names:
            values = numpy_helper.to_array(tensor) * np.float32(scale)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return copy


class TestLadder:
    def test_the_right_labels_with_twice_the_confidence_fail(self, exported: ExportedGraph) -> None:
        """Logits times two have the same largest, so only the confidence tells."""
        last = [node for node in exported.model.graph.node if node.op_type == "Conv"][-1]
        report = _measure(exported, _with_constants(exported.model, 2, *last.input[1:]))
        (problem,) = report.pairs[1].problems
        assert problem.startswith("its confidence is off by 0.")
        assert report.pairs[1].agreement.argmax_agreement == 1.0
        with pytest.raises(GateError, match="confidence is off"):
            report.raise_if_failed()

    def test_an_output_that_is_not_the_softmax_of_the_logits_fails(self, exported: ExportedGraph) -> None:
        report = _measure(exported, _with_constants(exported.model, 0.9, f"{CONFIDENCE}.certain"))
        (problem,) = report.pairs[1].problems
        assert "of its confidence are not the softmax probability" in problem

    def test_pixels_are_held_against_their_nearest(self) -> None:
        logits = np.zeros((2, 2, 2), np.float32)
        logits[1] = [[0, 2], [4, 8]]
        levels = np.rint(255 / (1 + np.exp(-logits[1]))).astype(np.uint8)
        right = levels.repeat(3, axis=0).repeat(3, axis=1)
        assert wrong_confidence(right, logits) == 0
        assert wrong_confidence(right[:, ::-1], logits) == 36
        right[0, 0] += 3
        assert wrong_confidence(right, logits) == 1

    def test_the_meter_counts_pixels_of_one_class_alone(self) -> None:
        meter = ConfidenceMeter()
        assert meter.result().mean == 0.0
        first, second = np.array([[0.5, 0.9]], np.float32), np.array([[0.7, 0.1]], np.float32)
        meter.update(first, second, np.array([[True, False]]))
        meter.update(first, first, np.array([[True, True]]))
        assert meter.result().mean == pytest.approx(0.2 / 3)
        assert meter.result().max == pytest.approx(0.2)

    def test_probabilities_of_logits_that_are_no_numbers_are_none(self) -> None:
        logits = np.array([[[0, np.nan, 1e4]], [[0, 1, 1e4]]], np.float32)
        assert probability(logits)[0, [0, 2]].tolist() == [0.5, 0.5]
        assert np.isnan(probability(logits)[0, 1])


def test_a_recipe_may_ask_for_it(tmp_path: Path) -> None:
    recipe = tmp_path / "road.toml"
    recipe.write_text("[export]\nconfidence = true\n")
    assert ExportConfig(**read_recipe(recipe)).confidence
