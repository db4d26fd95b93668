"""The convolution to the phases of the class scores as one product of matrices, where there are many phases.

ONNX Runtime's float convolution writes channels in blocks, and what follows wants them in planes. A transposed
convolution of stride 32 is one to 1,024 phases of each class: reordering those took 2.4 of the head's 10 ms, and the
product itself, weights (C·s², k) times the k values around each pixel, takes half the convolution's time: 6.9 ms are
left of 10.7 at stride 32, 6.8 of 9.3 at 16, 7.6 of 9.0 at 8, with 11 classes; with 19 and 21 it gains nothing. At
stride 4 the columns are too large a part: 8.9 ms instead of 8.5 (480×360, one thread, head without its classifier).

The sums are the same, in another order of their terms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgeseg.graph.contract import LOGITS

LEAST_PHASES = 64
"""Stride 8: the smallest that was measured to gain."""

_IN_PHASES = 5
"""Rank of logits (1, C, s·s, h, w), see `edgeseg.graph.passes.decide_before_shuffle`."""


def scores_as_product(model: ModelProto) -> int:
    """Rewrite the convolution that writes the logits in phases, in place; returns 1, or 0 where it does not apply.

    It applies to a plain convolution (stride 1, one group) of constant weights. `logits` keep name and shape, the
    product takes the name of the convolution's node.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    producer = {name: node for node in graph.node for name in node.output}
    reshape = producer.get(LOGITS)
    conv = producer.get(reshape.input[0]) if reshape is not None and reshape.op_type == "Reshape" else None
    if reshape is None or conv is None or not _is_plain(conv) or any(n not in constants for n in conv.input[1:]):
        return 0
    shape = constants.get(reshape.input[1])
    sizes = [] if shape is None else numpy_helper.to_array(shape).tolist()
    readers = sum(conv.output[0] in node.input for node in graph.node)
    if len(sizes) != _IN_PHASES or sizes[2] < LEAST_PHASES or readers != 1:
        return 0
    nodes, tensors = _product(conv, constants, sizes[3] * sizes[4])
    reshape.input[0] = nodes[-1].output[0]
    position = list(graph.node).index(conv)
    graph.node.remove(conv)
    for node in reversed(nodes):
        graph.node.insert(position, node)
    graph.initializer.extend(tensors)
    return 1


def _product(
    conv: NodeProto, constants: Mapping[str, TensorProto], pixels: int
) -> tuple[list[NodeProto], list[TensorProto]]:
    """The values around each of `pixels` as a column, by a convolution that only copies, and the product; constants."""
    weights = numpy_helper.to_array(constants[conv.input[1]])
    outputs, taps = len(weights), weights[0].size
    added = {
        f"{conv.name}.taps": np.eye(taps, dtype=weights.dtype).reshape(taps, *weights.shape[1:]),
        f"{conv.name}.size": np.array([taps, pixels], np.int64),
        f"{conv.input[1]}.matrix": weights.reshape(outputs, taps),
    }
    taken, size, matrix = added
    if len(conv.input) > 2:
        added[f"{conv.input[2]}.matrix"] = numpy_helper.to_array(constants[conv.input[2]]).reshape(outputs, 1)
    around, columns, product = (f"{conv.name}.{step}" for step in ("around", "columns", "product"))
    copied = [entry for entry in conv.attribute if entry.name == "pads"]
    nodes = [
        helper.make_node("Conv", [conv.input[0], taken], [around], name=around),
        helper.make_node("Reshape", [around, size], [columns], name=columns),
        helper.make_node("Gemm", [matrix, columns, *list(added)[3:]], [product], name=conv.name),
    ]
    nodes[0].attribute.extend(copied)
    for node in nodes:
        node.metadata_props.extend(conv.metadata_props)
    return nodes, [numpy_helper.from_array(np.ascontiguousarray(values), name) for name, values in added.items()]


def _is_plain(node: NodeProto) -> bool:
    attributes: dict[str, Any] = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    return (
        node.op_type == "Conv"
        and set(attributes.get("strides", (1,))) == {1}
        and set(attributes.get("dilations", (1,))) == {1}
        and attributes.get("group", 1) == 1
        and attributes.get("auto_pad", b"NOTSET") == b"NOTSET"
    )
