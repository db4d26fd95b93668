"""The exported graph: its contract, its names, its size, and that it computes what PyTorch computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, TensorProto
from torch import nn

from edgeseg.errors import ConfigError
from edgeseg.graph.contract import FRAME, IMAGE, LABELS, LOGITS, OPSET
from edgeseg.graph.export import ExportedGraph, export_graph
from edgeseg.graph.lint import tensor_types
from edgeseg.graph.observe import Observer
from edgeseg.graph.recipe import ExportConfig
from edgeseg.graph.reference import torch_labels, torch_logits
from edgeseg.models.checkpoint import TrainedModel
from edgeseg.types import Frame


def _frame(height: int, width: int) -> Frame:
    """Smooth colours, as a picture has, with some noise."""
    rng = np.random.default_rng(height * width)
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [127 + 100 * np.sin(rows / height * k + columns / width * (5 - k)) for k in (2, 3, 7)]
    return np.clip(np.stack(waves, axis=-1) + rng.normal(0, 8, (height, width, 3)), 0, 255).astype(np.uint8)


def _shape(value: onnx.ValueInfoProto) -> list[int | str]:
    return [dimension.dim_value or dimension.dim_param for dimension in value.type.tensor_type.shape.dim]


def test_one_uint8_frame_in_one_uint8_label_map_out(exported: ExportedGraph) -> None:
    graph = exported.model.graph
    assert [(value.name, _shape(value)) for value in graph.input] == [(FRAME, [1, 50, 70, 3])]
    assert [(value.name, _shape(value)) for value in graph.output] == [(LABELS, [1, 50, 70])]
    types = tensor_types(exported.model)
    assert types[FRAME] == types[LABELS] == TensorProto.UINT8


def test_it_is_written_in_the_opset_of_the_contract(exported: ExportedGraph) -> None:
    assert {opset.domain: opset.version for opset in exported.model.opset_import} == {"": OPSET}


def test_the_network_lies_between_image_and_logits(exported: ExportedGraph) -> None:
    shapes = {value.name: _shape(value) for value in exported.model.graph.value_info}
    assert shapes[IMAGE] == [1, 3, 50, 70]
    # Three classes in the 2 × 2 phases of the last transposed convolution, with half a block more on each side.
    assert shapes[LOGITS] == [1, 3, 4, 26, 36]
    assert Observer(exported.model, [LOGITS])(_frame(50, 70))[LOGITS].shape == (1, 3, 50, 70)


def test_operators_that_are_slow_or_refused_are_not_there(exported: ExportedGraph) -> None:
    operators = {node.op_type for node in exported.model.graph.node}
    assert not operators & {"GatherND", "BatchNormalization", "ConvTranspose", "Resize", "Gather"}
    assert exported.rewrites == {
        "fold_batch_norm": 1,
        "separate_channels": 1,
        "split_transposed_conv": 2,
        "decide_before_shuffle": 1,
        "mark_invalid": 1,
    }


def test_the_auxiliary_head_is_dropped(exported: ExportedGraph) -> None:
    assert not [tensor.name for tensor in exported.model.graph.initializer if "aux" in tensor.name]


def test_labels_leave_argmax_as_float_and_become_uint8_last(exported: ExportedGraph) -> None:
    kinds = [node.op_type for node in exported.model.graph.node]
    check = ["Abs", "ReduceSum", "ReduceMax", "Less", "Less", "And", "Where", "Max"]
    assert kinds[kinds.index("ArgMax") :] == ["ArgMax", "Cast", *check, "DepthToSpace", "Slice", "Squeeze", "Cast"]


def test_nothing_of_the_exporting_machine_is_in_the_file(exported: ExportedGraph) -> None:
    content = exported.model.SerializeToString()
    assert str(Path(__file__).resolve().parents[2]).encode() not in content
    assert b"site-packages" not in content
    assert b".py" not in content


def test_the_file_names_its_classes(exported: ExportedGraph) -> None:
    properties = {entry.key: entry.value for entry in exported.model.metadata_props}
    assert properties["edgeseg.classes"] == '["dark", "grey", "bright"]'
    assert properties["edgeseg.checkpoint_sha256"] == "ab" * 32


def test_two_exports_are_the_same_bytes(exported: ExportedGraph, trained: TrainedModel) -> None:
    again = export_graph(trained, ExportConfig())
    assert again.model.SerializeToString(deterministic=True) == exported.model.SerializeToString(deterministic=True)


def _assert_computes_the_same(exported: ExportedGraph, model: ModelProto, size_hw: tuple[int, int]) -> None:
    frame = _frame(*size_hw)
    tensors = Observer(model, [LOGITS, LABELS])(frame)
    logits = torch_logits(exported.sealed, frame)
    assert len(np.unique(logits.argmax(0))) > 1
    np.testing.assert_allclose(tensors[LOGITS][0], logits, rtol=0, atol=1e-4 * np.abs(logits).max())
    assert tensors[LABELS].shape == (1, *size_hw)
    np.testing.assert_array_equal(tensors[LABELS][0], torch_labels(exported.sealed, frame))


def test_it_computes_what_pytorch_computes(exported: ExportedGraph) -> None:
    _assert_computes_the_same(exported, exported.model, (50, 70))


def test_for_another_camera_and_network_size(trained: TrainedModel) -> None:
    exported = export_graph(trained, ExportConfig(size_hw=(64, 33), camera_hw=(90, 120)))
    _assert_computes_the_same(exported, exported.model, (90, 120))
    resizes = [node for node in exported.model.graph.node if node.op_type == "Resize"]
    attributes = [{entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute} for node in resizes]
    assert [entry["coordinate_transformation_mode"] for entry in attributes] == [b"half_pixel"] * 2
    assert attributes[1]["nearest_mode"] == b"round_prefer_ceil"


def test_for_any_camera(trained: TrainedModel) -> None:
    exported = export_graph(trained, ExportConfig(dynamic=True))
    assert _shape(exported.model.graph.input[0]) == [1, "height", "width", 3]
    for size_hw in ((50, 70), (96, 130), (34, 260)):
        _assert_computes_the_same(exported, exported.model, size_hw)
    # The frame may only be cast: TensorRT takes a uint8 tensor nowhere else, not even into Shape.
    assert [node.op_type for node in exported.model.graph.node if FRAME in node.input] == ["Cast"]


def _with(trained: TrainedModel, network: nn.Module) -> TrainedModel:
    fields = {name: getattr(trained, name) for name in ("spec", "label_map", "size_hw")}
    return TrainedModel(network=network.eval(), **fields)


def test_a_network_of_another_class_count_is_refused(trained: TrainedModel) -> None:
    class Fewer(nn.Module):
        def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"out": images[:, :2]}

    with pytest.raises(ConfigError, match="2 classes, its label map names 3"):
        export_graph(_with(trained, Fewer()), ExportConfig())


def test_a_network_that_decides_by_itself_is_refused(trained: TrainedModel) -> None:
    class Decided(nn.Module):
        def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"out": images * (images.argmax(1, keepdim=True) == 1)}

    with pytest.raises(ConfigError, match="2 ArgMax"):
        export_graph(_with(trained, Decided()), ExportConfig())
