from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from tiny_graph import LABEL_MAP, SIZE_HW, tiny_model
from tiny_int8 import table_of

from edgeseg.bundle import Bundle, BundleWriter
from edgeseg.errors import GateError
from edgeseg.graph.contract import LABELS, LOGITS, OPSET
from edgeseg.graph.export import export_graph
from edgeseg.graph.fp16 import convert_to_fp16
from edgeseg.graph.lint import check_sealed
from edgeseg.graph.passes.mark_invalid import LARGEST_LOGIT, VALIDITY, mark_invalid
from edgeseg.graph.recipe import ExportConfig
from edgeseg.models.sealed import Preprocess, SealedNetwork
from edgeseg.quantize.dialects import quantize
from edgeseg.runtime.segmenter import Segmenter
from edgeseg.runtime.torch_session import TorchSession
from edgeseg.runtime.verify import verify_bundle
from edgeseg.types import INVALID, Frame, Labels

LEVELS = ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL")
HEIGHT, WIDTH = 4, 6


def dividing_graph(in_phases: bool = False) -> ModelProto:
    """Logits (blue/green, green/red, red/blue) of each pixel: black is 0/0, NaN, and a channel of 0 an infinity.

    `in_phases` decides on (1, 3, 4, h/2, w/2), as behind an upsampling that is a shuffle.
    """
    swapped = numpy_helper.from_array(np.array([1, 2, 0]), "swapped")
    nodes = [
        helper.make_node("Cast", ["frame"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["levels"], ["image"], perm=[0, 3, 1, 2]),
        helper.make_node("Gather", ["image", "swapped"], ["others"], axis=1),
        helper.make_node("Div", ["image", "others"], ["plain" if in_phases else LOGITS]),
    ]
    constants = [swapped]
    if in_phases:
        constants.append(numpy_helper.from_array(np.array([1, 3, 4, HEIGHT // 2, WIDTH // 2]), "phases"))
        nodes += [
            helper.make_node("SpaceToDepth", ["plain"], ["deep"], blocksize=2),
            helper.make_node("Reshape", ["deep", "apart"], ["split"]),
            helper.make_node("Transpose", ["split"], [LOGITS], perm=[0, 2, 1, 3, 4]),
            helper.make_node("ArgMax", [LOGITS], ["winners"], axis=1, keepdims=0),
            helper.make_node("Cast", ["winners"], ["ids"], to=TensorProto.FLOAT),
            helper.make_node("DepthToSpace", ["ids"], ["laid"], blocksize=2, mode="DCR"),
        ]
        constants.append(numpy_helper.from_array(np.array([1, 4, 3, HEIGHT // 2, WIDTH // 2]), "apart"))
    else:
        nodes += [
            helper.make_node("ArgMax", [LOGITS], ["winners"], axis=1, keepdims=1),
            helper.make_node("Cast", ["winners"], ["laid"], to=TensorProto.FLOAT),
        ]
    constants.append(numpy_helper.from_array(np.array([1]), "one"))
    nodes += [
        helper.make_node("Squeeze", ["laid", "one"], ["flat"]),
        helper.make_node("Cast", ["flat"], [LABELS], to=TensorProto.UINT8),
    ]
    frame = helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, HEIGHT, WIDTH, 3])
    labels = helper.make_tensor_value_info(LABELS, TensorProto.UINT8, [1, HEIGHT, WIDTH])
    graph = helper.make_graph(nodes, "dividing", [frame], [labels], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def labels_of(model: ModelProto, frame: Frame, level: str) -> Labels:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (labels,) = session.run([LABELS], {"frame": frame[np.newaxis]})
    return np.asarray(labels[0], np.uint8)


def sound_frame() -> Frame:
    return np.random.default_rng(4).integers(1, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("in_phases", [False, True])
class TestAtEveryLevelOfOptimisation:
    def test_sound_frames_keep_their_labels(self, level: str, in_phases: bool) -> None:
        model = dividing_graph(in_phases)
        before = labels_of(model, sound_frame(), level)
        assert mark_invalid(model) == 1
        onnx.checker.check_model(model, full_check=True)
        assert np.array_equal(labels_of(model, sound_frame(), level), before)
        assert before.max() < len(LABEL_MAP)

    @pytest.mark.parametrize("pixel", [(0, 0, 0), (9, 0, 9), (0, 0, 9), (0, 9, 0)])
    @pytest.mark.parametrize("place", [(0, 0), (HEIGHT - 1, WIDTH - 1)])
    def test_one_pixel_that_is_no_number_is_enough(
        self, level: str, in_phases: bool, pixel: tuple[int, int, int], place: tuple[int, int]
    ) -> None:
        model = dividing_graph(in_phases)
        mark_invalid(model)
        frame = sound_frame()
        frame[place] = pixel
        assert (labels_of(model, frame, level) == INVALID).all()

    def test_infinities_of_both_signs_do_not_cancel(self, level: str, in_phases: bool) -> None:
        model = dividing_graph(in_phases)
        next(node for node in model.graph.node if node.op_type == "Div").output[0] = "quotients"
        sign = numpy_helper.from_array(np.array([1, -1], np.float32).repeat(WIDTH // 2), "sign")
        model.graph.initializer.append(sign)
        inside = "plain" if in_phases else LOGITS
        model.graph.node.insert(4, helper.make_node("Mul", ["quotients", "sign"], [inside]))
        mark_invalid(model)
        frame = sound_frame()
        assert labels_of(model, frame, level).max() < len(LABEL_MAP)
        frame[0, [0, -1]] = (9, 0, 9)
        assert (labels_of(model, frame, level) == INVALID).all()


def spoilt(model: ModelProto, value: float) -> ModelProto:
    """The model with one value of its last bias replaced."""
    copy = ModelProto.FromString(model.SerializeToString())
    constants = {tensor.name: tensor for tensor in copy.graph.initializer}
    biases = [node.input[2] for node in copy.graph.node if node.op_type == "Conv" and len(node.input) > 2]
    bias = [constants[name] for name in biases if name in constants][-1]
    values = numpy_helper.to_array(bias).copy()
    values.flat[0] = value
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    return copy


@pytest.fixture(scope="module")
def graphs() -> Mapping[str, ModelProto]:
    exported = export_graph(tiny_model(), ExportConfig(dynamic=True))
    assert exported.rewrites["mark_invalid"] == 1
    model = exported.model
    table = table_of(model, SIZE_HW)
    return {
        "fp32": model,
        "fp16": convert_to_fp16(model, dynamic=True).model,
        "int8-cpu": quantize(model, table, dialect="cpu").model,
        "int8-trt": quantize(model, table, dialect="trt", dynamic=True).model,
    }


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8-cpu", "int8-trt"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_exported_graph_tells_and_stays_sealed(
    graphs: Mapping[str, ModelProto], precision: str, value: float
) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8)
    broken = spoilt(graphs[precision], value)
    if precision in ("fp32", "fp16"):
        check_sealed(broken, dynamic=True)
    for level in LEVELS:
        assert labels_of(graphs[precision], frame, level).max() < len(LABEL_MAP)
        assert (labels_of(broken, frame, level) == INVALID).all()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_few_values_are_asked_and_scores_that_may_overflow_are_no_numbers(
    graphs: Mapping[str, ModelProto], precision: str
) -> None:
    """The bound is on the scores before the last upsampling, a quarter of the logits."""
    model = graphs[precision]
    nodes = {node.output[0]: node for node in model.graph.node}
    asked = nodes[f"{VALIDITY}.magnitudes"].input[0].removesuffix(".fp32")
    assert nodes[asked].op_type == "Conv"
    (shape,) = (
        [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in onnx.shape_inference.infer_shapes(model).graph.value_info
        if value.name == asked
    )
    assert shape == [1, len(LABEL_MAP), SIZE_HW[0] // 2, SIZE_HW[1] // 2]
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    bound = float(constants[f"{VALIDITY}.largest"].item())
    (last,) = (node for node in model.graph.node if node.op_type == "Conv" and node.input[0] == asked)
    (kernel,) = (constants[name].astype(float) for name in last.input[1:])
    reach = np.abs(kernel).sum(axis=(1, 2, 3)).max() * bound
    assert reach == pytest.approx(LARGEST_LOGIT, rel=2e-3)
    frame = np.random.default_rng(1).integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8)
    for scale, valid in ((0.9, True), (1.1, False)):
        moved = ModelProto.FromString(model.SerializeToString())
        made = nodes[asked]
        (tensor,) = (tensor for tensor in moved.graph.initializer if tensor.name == made.input[2])
        tensor.CopyFrom(numpy_helper.from_array(np.full_like(constants[made.input[2]], scale * bound), tensor.name))
        assert (labels_of(moved, frame, LEVELS[-1]) != INVALID).all() == valid


def test_a_graph_that_casts_its_ids_otherwise_is_left_alone() -> None:
    model = dividing_graph()
    cast = next(node for node in model.graph.node if node.op_type == "Cast" and node.input[0] == "winners")
    cast.attribute[0].i = TensorProto.INT32
    before = model.SerializeToString()
    assert mark_invalid(model) == 0
    assert model.SerializeToString() == before


def _bundle(path: Path, model: ModelProto, frame: Frame, labels: Labels) -> Bundle:
    with BundleWriter(
        path,
        name="dividing",
        label_map=LABEL_MAP,
        network_hw=(HEIGHT, WIDTH),
        camera_hw=(HEIGHT, WIDTH),
        mean=(0, 0, 0),
        std=(1, 1, 1),
    ) as writer:
        writer.add_graph("fp32", model.SerializeToString(), opset=OPSET)
        writer.add_golden("day", frame, labels)
        return writer.finish(lineage={})


@pytest.mark.parametrize("size_hw", [(HEIGHT, WIDTH), (2 * HEIGHT, 2 * WIDTH)])
def test_the_segmenter_says_so(tmp_path: Path, size_hw: tuple[int, int]) -> None:
    model = dividing_graph()
    mark_invalid(model)
    frame = sound_frame()
    with Segmenter(_bundle(tmp_path / "a.edgeseg", model, frame, labels_of(model, frame, LEVELS[0]))) as segmenter:
        grey = np.full((*size_hw, 3), 9, np.uint8)
        assert segmenter(grey).valid
        result = segmenter(np.zeros_like(grey))
        assert not result.valid
        assert (result.labels == INVALID).all()
        assert segmenter(grey).valid


def test_verify_says_so(tmp_path: Path) -> None:
    """The labels were right before the device began to compute NaN."""
    model = dividing_graph()
    frame = sound_frame()
    frame[0, 0] = 0
    labels = labels_of(model, frame, LEVELS[0])
    mark_invalid(model)
    report = verify_bundle(_bundle(tmp_path / "a.edgeseg", model, frame, labels))
    assert not report.to_dict()["graphs"]["fp32"]["frames"][0]["valid"]
    with pytest.raises(GateError, match=r"24 of 24 pixels \(all: it computes a NaN or an infinity\) of golden"):
        report.raise_if_failed()


class _Logits(torch.nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, images: torch.Tensor) -> dict[str, Any]:
        logits = torch.zeros(1, 3, *images.shape[-2:])
        logits[0, 1, 2, 3] = self.value
        return {"out": logits}


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.0])
def test_pytorch_answers_as_the_graph_does(value: float) -> None:
    sealed = SealedNetwork(_Logits(value), Preprocess((8, 8), (0, 0, 0), (1, 1, 1)))
    with TorchSession(sealed) as session:
        labels = session.run(np.zeros((1, 8, 8, 3), np.uint8))
    assert (labels == INVALID).all() == (not np.isfinite(value))
    assert labels.max() in (1, INVALID)
