"""The second output: 255 times the softmax probability of each label, in every form and precision of a graph."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from network_checks import random_model
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from tiny_graph import SIZE_HW, tiny_model
from tiny_int8 import noise, table_of

from edgeseg.engine.lint import lint_bytes, parse_target
from edgeseg.errors import ConfigError, GateError
from edgeseg.graph.contract import CONFIDENCE, FRAME, LABELS, LOGITS, OPSET
from edgeseg.graph.export import ExportedGraph, export_graph
from edgeseg.graph.fp16 import convert_to_fp16
from edgeseg.graph.lint import check_sealed, tensor_types
from edgeseg.graph.observe import Observer
from edgeseg.graph.passes.give_confidence import give_confidence
from edgeseg.graph.passes.mark_invalid import mark_invalid
from edgeseg.graph.recipe import TRANSPOSED_FORMS, ExportConfig
from edgeseg.graph.rounding import emulate_fp16
from edgeseg.models.checkpoint import TrainedModel
from edgeseg.quantize.dialects import quantize
from edgeseg.runtime.ort import UNOPTIMISED
from edgeseg.types import INVALID, Confidence, Frame, Labels

LEVELS = ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL")


def answer(model: ModelProto, frame: Frame, level: str = LEVELS[-1]) -> tuple[Labels, Confidence]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    labels, confidence = session.run([LABELS, CONFIDENCE], {FRAME: frame[np.newaxis]})
    return labels[0], confidence[0]


def torch_levels(exported: ExportedGraph, frame: Frame) -> NDArray[np.int16]:
    """PyTorch's softmax of the sealed network's logits, at the frame's size: 0 to 255."""
    with torch.inference_mode():
        batch = torch.from_numpy(frame[np.newaxis])
        largest = exported.sealed.logits(batch).softmax(1).amax(1, keepdim=True)
        resized = F.interpolate(largest, size=frame.shape[:2], mode="nearest-exact")
    return np.asarray((255 * resized[0, 0]).round().numpy(), np.int16)


def assert_as_pytorch(exported: ExportedGraph, frame: Frame) -> None:
    """The same to rounding, and not the same everywhere."""
    labels, confidence = answer(exported.model, frame)
    expected = torch_levels(exported, frame)
    assert confidence.dtype == np.uint8
    assert confidence.shape == labels.shape == frame.shape[:2]
    difference = np.abs(confidence - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01
    assert expected.max() - expected.min() > 20


@pytest.mark.parametrize("transposed", TRANSPOSED_FORMS)
@pytest.mark.parametrize("camera_hw", [None, (90, 160)])
def test_as_pytorchs_softmax_in_every_form(transposed: str, camera_hw: tuple[int, int] | None) -> None:
    config = ExportConfig(confidence=True, camera_hw=camera_hw, transposed=transposed)
    exported = export_graph(tiny_model(), config)
    assert exported.rewrites["give_confidence"] == 1
    assert_as_pytorch(exported, noise(camera_hw or SIZE_HW)[0])


def test_a_graph_for_any_camera_answers_each_at_its_size() -> None:
    exported = export_graph(tiny_model(), ExportConfig(confidence=True, dynamic=True))
    for size_hw in (SIZE_HW, (90, 160), (64, 96)):
        assert_as_pytorch(exported, noise(size_hw)[0])
    shapes = [
        [dimension.dim_value or dimension.dim_param for dimension in value.type.tensor_type.shape.dim]
        for value in exported.model.graph.output
    ]
    assert shapes == [[1, "height", "width"], [1, "height", "width"]]


@pytest.mark.parametrize("name", ["fcn_resnet18", "segnet_basic"])
def test_whatever_the_networks_upsampling_is(name: str) -> None:
    """Stride 32, max-unpooling."""
    trained = random_model(name, (64, 96))
    with torch.no_grad():
        last = [module for module in trained.network.modules() if isinstance(module, torch.nn.Conv2d)][-1]
        last.weight.mul_(20)  # random weights are never sure of anything
    exported = export_graph(trained, ExportConfig(confidence=True))
    labels, confidence = answer(exported.model, noise((64, 96))[0])
    assert labels.max() < len(trained.label_map)
    # Unpooling jumps where two values are nearly equal, and then all around it is another number.
    off = np.abs(confidence - torch_levels(exported, noise((64, 96))[0]))
    assert (off <= 1).mean() > 0.99


def test_nothing_else_of_a_graph_changes() -> None:
    """Without it, a graph is what it was; with it, everything before is byte by byte the same."""
    plain = export_graph(tiny_model(), ExportConfig())
    assert "give_confidence" not in plain.rewrites
    assert [output.name for output in plain.model.graph.output] == [LABELS]
    both = export_graph(tiny_model(), ExportConfig(confidence=True)).model
    assert [output.name for output in both.graph.output] == [LABELS, CONFIDENCE]
    count = len(plain.model.graph.node)
    assert [node.SerializeToString() for node in both.graph.node[:count]] == [
        node.SerializeToString() for node in plain.model.graph.node
    ]
    assert all(node.output[0].startswith(CONFIDENCE) for node in both.graph.node[count:])


def hand_made(logits: NDArray[np.float32]) -> ModelProto:
    """A graph with these logits (1, C, h, w), plus the frame times 0."""
    _, _, height, width = logits.shape
    nodes = [
        helper.make_node("Cast", [FRAME], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["levels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("ReduceMax", ["planes", "channel"], ["plane"], keepdims=1),
        helper.make_node("Mul", ["plane", "nothing"], ["zeros"]),
        helper.make_node("Add", ["constant", "zeros"], [LOGITS]),
        helper.make_node("ArgMax", [LOGITS], ["winners"], axis=1, keepdims=1),
        helper.make_node("Cast", ["winners"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("Squeeze", ["ids", "channel"], ["flat"]),
        helper.make_node("Cast", ["flat"], [LABELS], to=TensorProto.UINT8),
    ]
    constants = {"constant": logits, "nothing": np.array(0, np.float32), "channel": np.array([1])}
    graph = helper.make_graph(
        nodes,
        "hand-made",
        [helper.make_tensor_value_info(FRAME, TensorProto.UINT8, [1, height, width, 3])],
        [helper.make_tensor_value_info(LABELS, TensorProto.UINT8, [1, height, width])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


@pytest.mark.parametrize("level", LEVELS)
def test_ties_and_extremes(level: str) -> None:
    """All alike, two alike, sure, off by 2; and the same 20,000 higher and lower, where an exponential overflows."""
    logits = np.array([[0, 0, 0], [5, 5, -90], [90, 0, 0], [2, 0, -90]], np.float32).T.reshape(1, 3, 1, 4)
    expected = [round(255 / 3), 128, 255, round(255 / (1 + np.exp(-2)))]
    for shift in (0, 2e4, -2e4):
        model = hand_made((logits + np.float32(shift)).astype(np.float32))
        mark_invalid(model)
        give_confidence(model)
        onnx.checker.check_model(model, full_check=True)
        labels, confidence = answer(model, np.zeros((1, 4, 3), np.uint8), level)
        assert labels.tolist() == [[0, 0, 0, 0]]
        assert confidence.tolist() == [expected]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e4])
def test_a_frame_without_numbers_has_no_confidence(level: str, value: float) -> None:
    logits = np.zeros((1, 3, 4, 6), np.float32)
    logits[0, 1] = 9
    logits[0, 2, 3, 5] = value
    model = hand_made(logits)
    mark_invalid(model)
    give_confidence(model)
    labels, confidence = answer(model, np.zeros((4, 6, 3), np.uint8), level)
    assert (labels == INVALID).all() == (not np.isfinite(value))
    assert (confidence == 0).all() == (not np.isfinite(value))


def test_without_the_mark_of_invalid_frames_there_is_a_confidence_all_the_same() -> None:
    model = hand_made(np.array([3, 0, 0], np.float32).reshape(1, 3, 1, 1))
    give_confidence(model)
    _, confidence = answer(model, np.zeros((1, 1, 3), np.uint8))
    assert confidence.item() == round(255 / (1 + 2 * np.exp(-3)))


def test_labels_that_are_no_argmax_are_refused() -> None:
    model = hand_made(np.zeros((1, 3, 1, 1), np.float32))
    next(node for node in model.graph.node if node.op_type == "ArgMax").op_type = "ArgMin"
    with pytest.raises(ConfigError, match="no ArgMax of its logits"):
        give_confidence(model)


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return tiny_model()


def all_precisions(model: ModelProto) -> dict[str, ModelProto]:
    table = table_of(model, (90, 160))
    return {
        "fp32": model,
        "fp16": convert_to_fp16(model).model,
        "int8-cpu": quantize(model, table, dialect="cpu").model,
        "int8-trt": quantize(model, table, dialect="trt").model,
    }


@pytest.fixture(scope="module")
def graphs(trained: TrainedModel) -> Mapping[str, ModelProto]:
    return all_precisions(export_graph(trained, ExportConfig(camera_hw=(90, 160), confidence=True)).model)


@pytest.fixture(scope="module")
def without(trained: TrainedModel) -> Mapping[str, ModelProto]:
    return all_precisions(export_graph(trained, ExportConfig(camera_hw=(90, 160))).model)


PRECISIONS = ("fp32", "fp16", "int8-cpu", "int8-trt")


@pytest.mark.parametrize("precision", PRECISIONS)
class TestEveryPrecision:
    def level(self, precision: str) -> str:
        return LEVELS[0] if precision in UNOPTIMISED else LEVELS[-1]

    def test_it_is_the_softmax_of_the_graphs_own_logits(self, graphs: Mapping[str, ModelProto], precision: str) -> None:
        model = emulate_fp16(graphs[precision]) if precision == "fp16" else graphs[precision]
        observe = Observer(model, [LOGITS, CONFIDENCE], optimised=precision not in UNOPTIMISED)
        for frame in noise((90, 160)):
            tensors = observe(frame)
            logits = torch.from_numpy(tensors[LOGITS].astype(np.float32))
            exact = 255 * F.interpolate(logits.softmax(1).amax(1, keepdim=True), size=(90, 160), mode="nearest-exact")
            assert np.abs(tensors[CONFIDENCE][0] - exact[0, 0].numpy()).max() < 0.51

    def test_labels_are_those_of_the_graph_without_it(
        self, graphs: Mapping[str, ModelProto], without: Mapping[str, ModelProto], precision: str
    ) -> None:
        both, alone = (
            # As a GPU computes it: on a CPU, ONNX Runtime drops casts, and so roundings, that another cast follows.
            emulate_fp16(found[precision]) if precision == "fp16" else found[precision]
            for found in (graphs, without)
        )
        observe = Observer(alone, [LABELS], optimised=precision not in UNOPTIMISED)
        for frame in noise((90, 160)):
            labels, _ = answer(both, frame, self.level(precision))
            assert np.array_equal(labels, observe(frame)[LABELS][0])

    def test_the_exponentials_are_float32_and_no_byte_is_inside(
        self, graphs: Mapping[str, ModelProto], precision: str
    ) -> None:
        model = onnx.shape_inference.infer_shapes(graphs[precision], strict_mode=True)
        types = tensor_types(model)
        inside = {types[name] for node in model.graph.node for name in node.output if name.startswith(f"{CONFIDENCE}.")}
        assert inside == {TensorProto.FLOAT}
        if precision != "int8-cpu":  # whose bytes inside are the activations
            check_sealed(graphs[precision], dynamic=False)

    def test_one_value_that_is_no_number_is_enough(self, graphs: Mapping[str, ModelProto], precision: str) -> None:
        broken = ModelProto.FromString(graphs[precision].SerializeToString())
        constants = {tensor.name: tensor for tensor in broken.graph.initializer}
        biases = [node.input[2] for node in broken.graph.node if node.op_type == "Conv" and len(node.input) > 2]
        bias = [constants[name] for name in biases if name in constants][-1]
        values = numpy_helper.to_array(bias).copy()
        values.flat[0] = np.nan
        bias.CopyFrom(numpy_helper.from_array(values, bias.name))
        labels, confidence = answer(broken, noise((90, 160))[0], self.level(precision))
        assert (labels == INVALID).all()
        assert not confidence.any()


@pytest.mark.parametrize("release", ["tensorrt-10.0", "tensorrt-10.3", "tensorrt-11.4"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8-trt"])
def test_tensorrt_builds_it(graphs: Mapping[str, ModelProto], precision: str, release: str) -> None:
    report = lint_bytes(graphs[precision].SerializeToString(), parse_target(release), precision)
    report.raise_if_failed()
    assert not [finding for finding in report.findings if CONFIDENCE in str(finding)]


class TestTheSealsLint:
    def test_another_second_output_is_refused(self, graphs: Mapping[str, ModelProto]) -> None:
        model = ModelProto.FromString(graphs["fp32"].SerializeToString())
        next(node for node in model.graph.node if node.output[0] == CONFIDENCE).output[0] = "sureness"
        model.graph.output[1].name = "sureness"
        with pytest.raises(GateError, match=r"expected labels, confidence as uint8 .*'sureness'"):
            check_sealed(model, dynamic=False)

    def test_an_open_size_is_refused(self, graphs: Mapping[str, ModelProto]) -> None:
        model = ModelProto.FromString(graphs["fp32"].SerializeToString())
        model.graph.output[1].type.tensor_type.shape.dim[2].dim_param = "width"
        with pytest.raises(GateError, match="the size of labels, confidence is open"):
            check_sealed(model, dynamic=False)
