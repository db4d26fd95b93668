"""A NaN or an infinity in the logits → every label of the frame is 255, which is no class.

The graph gives labels alone, and ArgMax makes some class of any logits: of NaN the first, which is a road in more than
one dataset. So the sum of all logits is taken too. A NaN or an infinity goes through a sum whatever else is added,
which a maximum does not promise (kernels differ in how they compare NaN). The sum is compared with a bound, because
`x·0 = 0` and `x = x` are what an optimiser may simplify; a comparison with a NaN is false, and so is one with an
infinity. What comes of it, 0 or 255, is a floating-point number with which the class ids are maximised before they
become bytes: no uint8 but at the edge (TensorRT takes none), and nothing to decide pixel by pixel.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgeseg.graph.contract import LOGITS
from edgeseg.types import INVALID

LARGEST = 1e30
"""The sum of all logits, float32, stays below in a sound graph: two million logits of up to 65504, as in FP16, give
1e11. It overflows at 3.4e38."""

VALIDITY = f"{LOGITS}.invalid"
"""Tensor (1, 1, 1, 1): 0, or 255 for an invalid frame."""


def mark_invalid(model: ModelProto) -> int:
    """Write the check behind ArgMax; returns 1, or 0 where class ids do not become float right after it."""
    graph = model.graph
    decide = next((node for node in graph.node if node.op_type == "ArgMax" and LOGITS in node.input), None)
    cast = next((node for node in graph.node if decide is not None and decide.output[0] in node.input), None)
    if cast is None or cast.op_type != "Cast" or not _to_float(cast):
        return 0
    ids = cast.output[0]
    cast.output[0] = f"{ids}.decided"
    for value in graph.value_info:
        if value.name == ids:
            graph.value_info.remove(value)
            break
    nodes: list[NodeProto] = []
    for node in graph.node:
        nodes.append(node)
        if node is cast:
            nodes += _check(cast, ids)
    # Copies, because deleting the nodes below would empty those that stay.
    kept = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    constants = {"shape": np.ones(4, np.int64), "largest": np.float32(LARGEST), "0": np.float32(0)}
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(values), f"{VALIDITY}.{name}") for name, values in constants.items()
    )
    graph.initializer.append(numpy_helper.from_array(np.asarray(INVALID, np.float32), f"{VALIDITY}.{INVALID}"))
    return 1


def _to_float(cast: NodeProto) -> bool:
    return any(entry.name == "to" and entry.i == TensorProto.FLOAT for entry in cast.attribute)


def _check(cast: NodeProto, ids: str) -> list[NodeProto]:
    """Nodes from the logits to the ids, which so far are called as `cast` calls them."""
    steps = [
        ("ReduceSum", [LOGITS], f"{VALIDITY}.sum"),
        ("Reshape", [f"{VALIDITY}.sum", f"{VALIDITY}.shape"], f"{VALIDITY}.total"),
        ("Abs", [f"{VALIDITY}.total"], f"{VALIDITY}.magnitude"),
        ("Less", [f"{VALIDITY}.magnitude", f"{VALIDITY}.largest"], f"{VALIDITY}.sound"),
        ("Where", [f"{VALIDITY}.sound", f"{VALIDITY}.0", f"{VALIDITY}.{INVALID}"], VALIDITY),
        ("Max", [cast.output[0], VALIDITY], ids),
    ]
    made = []
    for operator, inputs, output in steps:
        attributes = {"keepdims": 1} if operator == "ReduceSum" else {}
        # Nodes have names of their own, which nothing else in the graph may have.
        node = helper.make_node(operator, inputs, [output], f"{VALIDITY}.{operator.lower()}", **attributes)
        node.metadata_props.extend(cast.metadata_props)
        made.append(node)
    return made
