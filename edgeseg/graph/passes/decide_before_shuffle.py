"""ArgMax of logits that DepthToSpace lays out → ArgMax of each phase, then DepthToSpace of the class ids.

DepthToSpace and a crop only move pixels, and ArgMax looks at one pixel at a time, so their order does not matter: every
pixel has the same scores, its ties included. But then one plane of ids is moved and cropped instead of one plane for
each class. The logits stay in the graph under their name, before the shuffle: (1, C, s·s, h, w), the s·s phases of each
class in the order in which DepthToSpace (mode CRD) takes them. `edgeseg.graph.phases` lays them out for a comparison,
by the very operators that lay out the ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgeseg.graph.contract import LOGITS
from edgeseg.graph.rewrite import replace_nodes

_CHANNEL = 1
_SPACE = {2, 3, -2, -1}
"""Axes that a Slice may cut."""


def decide_before_shuffle(model: ModelProto) -> int:
    """Rewrite where the logits come from a DepthToSpace (CRD) of known size, cropped or not; returns 1, otherwise 0."""
    found = _find(model)
    if found is None:
        return 0
    classes, phases, height, width = found.shape
    shape = numpy_helper.from_array(np.array([1, classes, phases, height, width], np.int64), f"{LOGITS}.shape")
    decided, ids = found.decide.output[0], found.cast.output[0]
    nodes = [
        _like(found.shuffle, "Reshape", [found.shuffle.input[0], shape.name], LOGITS),
        _like(found.decide, "ArgMax", [LOGITS], decided, axis=_CHANNEL, keepdims=0),
        # Float, as the ids have been so far: TensorRT shuffles no int64.
        _like(found.cast, "Cast", [decided], f"{ids}.phases", to=TensorProto.FLOAT),
    ]
    for number, node in enumerate((found.shuffle, *found.crops)):
        moved = NodeProto.FromString(node.SerializeToString())
        moved.input[0] = nodes[-1].output[0]
        moved.output[0] = ids if number == len(found.crops) else f"{ids}.step{number}"
        nodes.append(moved)
    _replace(model, (found.shuffle, *found.crops, found.decide, found.cast), nodes)
    model.graph.initializer.append(shape)
    return 1


@dataclass(frozen=True)
class _Found:
    shuffle: NodeProto
    crops: tuple[NodeProto, ...]
    """In the order of computation; the last one, or else the shuffle, writes the logits."""
    decide: NodeProto
    cast: NodeProto
    shape: tuple[int, int, int, int]
    """Classes, phases, height and width before the shuffle."""


def _find(model: ModelProto) -> _Found | None:
    producer = {name: node for node in model.graph.node for name in node.output}
    readers: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    outputs = {value.name for value in model.graph.output}

    def sole_reader(name: str) -> NodeProto | None:
        found = readers.get(name, [])
        return found[0] if len(found) == 1 and name not in outputs else None

    decide = sole_reader(LOGITS)
    if decide is None or decide.op_type != "ArgMax":
        return None
    asked = _attributes(decide)
    cast = sole_reader(decide.output[0])
    if (asked.get("axis", 0), asked.get("keepdims", 1)) != (_CHANNEL, 1) or asked.get("select_last_index", 0):
        return None
    if cast is None or cast.op_type != "Cast" or _attributes(cast)["to"] != TensorProto.FLOAT:
        return None
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    crops: list[NodeProto] = []
    node = producer.get(LOGITS)
    while node is not None and _crops_space(node, constants) and sole_reader(node.output[0]) is not None:
        crops.insert(0, node)
        node = producer.get(node.input[0])
    if node is None or node.op_type != "DepthToSpace" or sole_reader(node.output[0]) is None:
        return None
    shape = _shape(model, node)
    return None if shape is None else _Found(node, tuple(crops), decide, cast, shape)


def _crops_space(node: NodeProto, constants: Mapping[str, TensorProto]) -> bool:
    """Whether `node` is a Slice that leaves batch and channels alone."""
    axes = constants.get(node.input[3]) if node.op_type == "Slice" and len(node.input) > 3 else None
    return axes is not None and _SPACE.issuperset(numpy_helper.to_array(axes).tolist())


def _shape(model: ModelProto, shuffle: NodeProto) -> tuple[int, int, int, int] | None:
    attributes = _attributes(shuffle)
    if attributes.get("mode", b"DCR") != b"CRD":
        return None
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    for value in inferred.graph.value_info:
        if value.name == shuffle.input[0]:
            sizes = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
            if len(sizes) == 4 and sizes[0] == 1 and all(sizes):
                phases = attributes["blocksize"] ** 2
                return sizes[1] // phases, phases, sizes[2], sizes[3]
    return None


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}


def _like(origin: NodeProto, operator: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:
    """A node that comes from the layer that `origin` came from."""
    node = helper.make_node(operator, inputs, [output], f"{origin.name or output}.in_phases", **attributes)
    node.metadata_props.extend(origin.metadata_props)
    return node


def _replace(model: ModelProto, old: tuple[NodeProto, ...], new: list[NodeProto]) -> None:
    """`new` in the place of the last of `old`; what is known of tensors that are no more, or are others now, goes."""
    graph = model.graph
    changed = {name for node in (*old, *new) for name in node.output} - set(old[-1].output)
    replace_nodes(graph, old, new)
    for value in [value for value in graph.value_info if value.name in changed]:
        graph.value_info.remove(value)
