"""The logits of a graph that decides before it shuffles, laid out as an image: for comparisons, on a copy in memory.

See `edgeseg.graph.passes.decide_before_shuffle`. Nothing is known here but the graph itself: the logits go the way on
which the graph sends its class ids, through copies of the same operators. So a graph whose shuffle or crop is wrong has
wrong logits here, as it has wrong labels.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from edgeseg.errors import GateError
from edgeseg.graph.contract import LABELS, LOGITS

_LAID_OUT = f"{LOGITS}.laid_out"
_IN_PHASES = 5
"""Rank of logits (1, C, s·s, h, w); laid out they are (1, C, H, W)."""


def lay_out_logits(model: ModelProto) -> str:
    """Name of the tensor (1, C, H, W) that holds the logits; if there is none yet, it is added to `model`.

    Raises `GateError` for a graph that shuffles its class ids and whose logits are not in phases, or the reverse.
    """
    moves = _moves_of_the_ids(model)
    shape = _shape_of_the_logits(model)
    if bool(moves) != (len(shape) == _IN_PHASES):
        raise GateError(f"{LOGITS} are {tuple(shape)}, and {len(moves)} operators lay out the class ids.")
    if not moves:
        return LOGITS
    _, classes, phases, height, width = shape
    merged = numpy_helper.from_array(np.array([1, classes * phases, height, width], np.int64), f"{_LAID_OUT}.shape")
    nodes = [helper.make_node("Reshape", [LOGITS, merged.name], [f"{_LAID_OUT}.0"])]
    for number, move in enumerate(moves, 1):
        node = NodeProto.FromString(move.SerializeToString())
        node.name = ""
        node.input[0] = nodes[-1].output[0]
        node.output[0] = f"{_LAID_OUT}.{number}"
        nodes.append(node)
    nodes[-1].output[0] = _LAID_OUT
    model.graph.node.extend(nodes)
    model.graph.initializer.append(merged)
    return _LAID_OUT


def _moves_of_the_ids(model: ModelProto) -> list[NodeProto]:
    """DepthToSpace and Slices between ArgMax and the labels, in the order of computation; none without a shuffle."""
    producer = {name: node for node in model.graph.node for name in node.output}
    moves: list[NodeProto] = []
    node = producer.get(LABELS)
    while node is not None and node.op_type != "ArgMax":
        if node.op_type in ("DepthToSpace", "Slice"):
            moves.insert(0, node)
        node = producer.get(node.input[0]) if node.input else None
    return moves if moves and moves[0].op_type == "DepthToSpace" else []


def _shape_of_the_logits(model: ModelProto) -> list[int]:
    values = list(model.graph.value_info)
    if not any(value.name == LOGITS for value in values):
        values = list(onnx.shape_inference.infer_shapes(model).graph.value_info)
    found = (value for value in values if value.name == LOGITS)
    return [dimension.dim_value for value in found for dimension in value.type.tensor_type.shape.dim]
