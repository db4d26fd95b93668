"""A NaN or an infinity in the logits → every label of the frame is 255, which is no class.

The graph gives labels alone, and ArgMax makes some class of any logits: of NaN the first, which is a road in more than
one dataset. So the graph asks itself whether its logits are numbers.

Not of the logits, which are many: of the smallest tensor x that they are made of by moving, interpolating and
convolving alone, in an FCN the class scores before the last upsampling. If each |x| is below a bound, each logit is
finite: with the constant weights w and bias b of the convolutions in between, |logit| ≤ max Σ|w|·max|x| + max|b|, and
the bound keeps that below half the largest float16, so it holds for the FP16 graph too. Scores beyond it, hundreds of
times what a trained network gives, count as no numbers.

Two reductions, because kernels differ in how a maximum treats NaN. A NaN or an infinity goes through the sum of |x|
whatever else is added; the maximum finds what is too large. Both are compared with bounds, because `x·0 = 0` and
`x = x` are what an optimiser may simplify, and a comparison with NaN is false. What comes of it, 0 or 255, is a
floating-point number with which the class ids are maximised before they become bytes: no uint8 but at the edge
(TensorRT takes none), and nothing to decide pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite, prod
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgeseg.graph.contract import LOGITS
from edgeseg.graph.rewrite import set_nodes
from edgeseg.types import INVALID

LARGEST_LOGIT = 65504.0 / 2
"""Half the largest float16 (IEEE 754 binary16): room for the rounding on the way."""

LARGEST_SUM = 1e30
"""Two million values of up to 65504 give 1e11; float32 overflows at 3.4e38."""

VALIDITY = f"{LOGITS}.invalid"
"""Tensor (1, 1, 1, 1): 0, or 255 for an invalid frame."""

SOUND = f"{VALIDITY}.sound"
"""Tensor (1, 1, 1, 1): bool, false for an invalid frame."""

_MOVES = {"Reshape", "Transpose", "DepthToSpace", "Slice"}
_NCHW = 4
"""Rank of the tensor that is asked; its reductions then fit the class ids'."""


def mark_invalid(model: ModelProto) -> int:
    """Write the check behind ArgMax; returns 1, or 0 where class ids do not become float right after it."""
    graph = model.graph
    decide = next((node for node in graph.node if node.op_type == "ArgMax" and LOGITS in node.input), None)
    cast = next((node for node in graph.node if decide is not None and decide.output[0] in node.input), None)
    asked = _asked(model)
    if asked is None or cast is None or cast.op_type != "Cast" or not _to_float(cast):
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
            nodes += _check(cast, asked.tensor, ids)
    set_nodes(graph, nodes)
    constants = {"largest_sum": LARGEST_SUM, "largest": asked.bound, "0": 0.0, str(INVALID): float(INVALID)}
    graph.initializer.extend(
        numpy_helper.from_array(np.full((1,) * _NCHW, value, np.float32), f"{VALIDITY}.{name}")
        for name, value in constants.items()
    )
    return 1


@dataclass(frozen=True, slots=True)
class _Asked:
    """A tensor that the logits are made of: |logit| ≤ gain·|x| + offset."""

    tensor: str
    size: int
    gain: float
    offset: float
    computed: bool
    """Whether there is a convolution in between."""

    @property
    def bound(self) -> float:
        """|x| below it keeps every logit finite in float16; where nothing is computed in between, any number does."""
        return (LARGEST_LOGIT - self.offset) / self.gain if self.computed else LARGEST_SUM


def _asked(model: ModelProto) -> _Asked | None:
    """The smallest tensor (1, C, h, w) on the way back from the logits for which the bound is known."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    shapes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in inferred.graph.value_info
    }
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    producer = {name: node for node in model.graph.node for name in node.output}
    tensor, gain, offset, computed = LOGITS, 1.0, 0.0, False
    found: _Asked | None = None
    while True:
        shape = shapes.get(tensor, [])
        # Without a size it is larger than any that has one, and taken if there is no other.
        size = prod(shape) if all(shape) and shape else np.iinfo(np.int64).max
        candidate = _Asked(tensor, size, gain, offset, computed)
        if len(shape) == _NCHW and candidate.bound > 0 and (found is None or size < found.size):
            found = candidate
        node = producer.get(tensor)
        through = None if node is None else _through(node, constants)
        if node is None or through is None:
            return found
        tensor, gain, offset = node.input[0], gain * through[0], offset + gain * through[1]
        computed = computed or node.op_type == "Conv"


def _through(node: NodeProto, constants: Mapping[str, TensorProto]) -> tuple[float, float] | None:
    """(gain, offset) of an operator from its first input to its output; None where they are not known."""
    attributes: dict[str, Any] = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    if node.op_type in _MOVES:
        return 1.0, 0.0
    if node.op_type == "Resize":
        mixes = attributes.get("mode", b"nearest") in (b"nearest", b"linear")
        return (1.0, 0.0) if mixes and not attributes.get("extrapolation_value") else None
    if node.op_type != "Conv" or any(name not in constants for name in node.input[1:] if name):
        return None
    kernel, *bias = (numpy_helper.to_array(constants[name]).astype(np.float64) for name in node.input[1:] if name)
    gain = float(np.abs(kernel).reshape(len(kernel), -1).sum(axis=1).max(initial=0))
    offset = float(np.abs(bias[0]).max(initial=0)) if bias else 0.0
    return (gain, offset) if 0 < gain < inf and isfinite(offset) else None


def _to_float(cast: NodeProto) -> bool:
    return any(entry.name == "to" and entry.i == TensorProto.FLOAT for entry in cast.attribute)


def _check(cast: NodeProto, asked: str, ids: str) -> list[NodeProto]:
    """Nodes from the tensor `asked` to the ids, which so far are called as `cast` calls them."""
    at = f"{VALIDITY}.{{}}".format
    steps = [
        ("Abs", [asked], at("magnitudes")),
        ("ReduceSum", [at("magnitudes")], at("sum")),
        ("ReduceMax", [at("magnitudes")], at("maximum")),
        ("Less", [at("sum"), at("largest_sum")], at("numbers")),
        ("Less", [at("maximum"), at("largest")], at("in_range")),
        ("And", [at("numbers"), at("in_range")], SOUND),
        ("Where", [SOUND, at("0"), at(INVALID)], VALIDITY),
        ("Max", [cast.output[0], VALIDITY], ids),
    ]
    made = []
    for operator, inputs, output in steps:
        attributes = {"keepdims": 1} if operator.startswith("Reduce") else {}
        # Nodes have names of their own, which nothing else in the graph may have.
        node = helper.make_node(operator, inputs, [output], f"{output}.node", **attributes)
        node.metadata_props.extend(cast.metadata_props)
        made.append(node)
    return made
