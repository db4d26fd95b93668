"""ArgMax before DepthToSpace: the same labels to the last pixel, and logits that a comparison can still read."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgeseg.errors import GateError
from edgeseg.graph.contract import FRAME, LABELS, LOGITS
from edgeseg.graph.export import ExportedGraph
from edgeseg.graph.observe import Observer
from edgeseg.graph.passes.decide_before_shuffle import decide_before_shuffle
from edgeseg.graph.phases import lay_out_logits
from edgeseg.types import Frame

CLASSES, STRIDE = 5, 3
SIZE_HW = (6, 8)


def _graph(
    *, crops: int = 1, mode: str = "CRD", axis: int = 1, last_index: int = 0, crop_axes: tuple[int, ...] = (2, 3)
) -> ModelProto:
    """Frame (1, 6, 8, 3) → scores of whole numbers from 0 to 3, so that most pixels have ties → labels."""
    rng = np.random.default_rng(crops)
    constants = {
        "w": rng.integers(-1, 2, (CLASSES * STRIDE**2, 3, 1, 1)).astype(np.float32),
        "divisor": np.float32(64),
        "axes": np.array(crop_axes),
        "starts": np.ones(len(crop_axes), np.int64),
        "ends": np.full(len(crop_axes), -1),
    }
    tensors = ["shuffled", *(f"cropped{number}" for number in range(1, crops + 1))]
    tensors[-1] = LOGITS
    nodes = [
        helper.make_node("Cast", [FRAME], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Div", ["nchw", "divisor"], ["small"]),
        helper.make_node("Floor", ["small"], ["image"]),
        helper.make_node("Conv", ["image", "w"], ["phases"], name="classifier"),
        helper.make_node("DepthToSpace", ["phases"], [tensors[0]], blocksize=STRIDE, mode=mode, name="shuffle"),
        *(
            helper.make_node("Slice", [before, "starts", "ends", "axes"], [after], name=after)
            for before, after in pairwise(tensors)
        ),
        helper.make_node("ArgMax", [LOGITS], ["decided"], axis=axis, keepdims=1, select_last_index=last_index),
        helper.make_node("Cast", ["decided"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["ids"], ["bytes"], to=TensorProto.UINT8),
        helper.make_node("Identity", ["bytes"], [LABELS]),
    ]
    graph = helper.make_graph(
        nodes,
        "shuffled",
        [helper.make_tensor_value_info(FRAME, TensorProto.UINT8, [1, *SIZE_HW, 3])],
        [helper.make_tensor_value_info(LABELS, TensorProto.UINT8, [None] * 4)],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def _frame(seed: int = 0) -> Frame:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE_HW, 3), np.uint8)


def _decided_first(model: ModelProto) -> ModelProto:
    copy = ModelProto.FromString(model.SerializeToString())
    assert decide_before_shuffle(copy) == 1
    onnx.checker.check_model(copy, full_check=True)
    return onnx.shape_inference.infer_shapes(copy, strict_mode=True, data_prop=True)


def _operators(model: ModelProto) -> list[str]:
    kinds = [node.op_type for node in model.graph.node]
    return kinds[kinds.index("Conv") :]


@pytest.mark.parametrize("crops", [0, 1, 2])
def test_labels_and_logits_are_the_same_ties_included(crops: int) -> None:
    model = _graph(crops=crops)
    rewritten = _decided_first(model)
    moves = ["DepthToSpace", *["Slice"] * crops]
    assert _operators(rewritten) == ["Conv", "Reshape", "ArgMax", "Cast", *moves, "Cast", "Identity"]
    before, after = (Observer(each, [LOGITS, LABELS]) for each in (model, rewritten))
    for seed in range(5):
        expected, found = before(_frame(seed)), after(_frame(seed))
        best = np.sort(expected[LOGITS][0], axis=0)[-2:]
        assert (best[0] == best[1]).mean() > 0.1
        np.testing.assert_array_equal(found[LABELS], expected[LABELS])
        np.testing.assert_array_equal(found[LOGITS], expected[LOGITS])


def test_only_ids_are_moved(exported: ExportedGraph) -> None:
    shapes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in exported.model.graph.value_info
    }
    kinds = [node.op_type for node in exported.model.graph.node]
    after = list(exported.model.graph.node)[kinds.index("ArgMax") :]
    assert [shapes[node.output[0]][1] for node in after if node.op_type in ("DepthToSpace", "Slice")] == [1, 1]


def _reads_logits_twice(model: ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, [None] * 4))


def _reads_the_shuffled_twice(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("Relu", ["shuffled"], ["more"]))


def _relu_in_between(model: ModelProto) -> None:
    node = next(node for node in model.graph.node if LOGITS in node.output)
    node.output[0] = "raw"
    model.graph.node.append(helper.make_node("Relu", ["raw"], [LOGITS]))


@pytest.mark.parametrize("change", [_reads_logits_twice, _reads_the_shuffled_twice, _relu_in_between])
def test_scores_that_are_needed_elsewhere_stay(change: object) -> None:
    model = _graph()
    assert callable(change)
    change(model)
    assert decide_before_shuffle(model) == 0


@pytest.mark.parametrize(
    "model",
    [_graph(mode="DCR"), _graph(axis=2), _graph(last_index=1), _graph(crop_axes=(1, 2))],
    ids=["DCR", "over the height", "the last of equals", "a crop of classes"],
)
def test_what_it_does_not_hold_for_is_left_alone(model: ModelProto) -> None:
    before = model.SerializeToString()
    assert decide_before_shuffle(model) == 0
    assert model.SerializeToString() == before


def _find(model: ModelProto, operator: str) -> NodeProto:
    return next(node for node in model.graph.node if node.op_type == operator)


def test_a_wrong_crop_of_the_ids_is_a_wrong_crop_of_the_logits() -> None:
    """What is compared goes the way of the ids, so that a comparison sees what the labels suffer."""
    model = _graph()
    rewritten = _decided_first(model)
    _find(rewritten, "Slice").input[1] = "none"
    _find(rewritten, "Slice").input[2] = "two_less"
    rewritten.graph.initializer.extend(
        [numpy_helper.from_array(np.zeros(2, np.int64), "none"), numpy_helper.from_array(np.full(2, -2), "two_less")]
    )
    expected, found = (Observer(each, [LOGITS, LABELS])(_frame()) for each in (model, rewritten))
    winners: NDArray[np.intp] = found[LOGITS].argmax(axis=1)
    np.testing.assert_array_equal(found[LABELS][:, 0], winners)
    assert not np.array_equal(found[LOGITS], expected[LOGITS])


def test_logits_in_phases_without_a_shuffle_are_refused() -> None:
    model = _decided_first(_graph())
    _find(model, "DepthToSpace").op_type = "Identity"
    with pytest.raises(GateError, match="0 operators lay out the class ids"):
        lay_out_logits(model)


def test_logits_that_lie_as_an_image_are_taken_as_they_are() -> None:
    model = _graph()
    nodes = len(model.graph.node)
    assert lay_out_logits(model) == LOGITS
    assert len(model.graph.node) == nodes
