"""Rewrites for ONNX Runtime's integer kernels, which keep channels last: the same values, without the detours.

ONNX Runtime turns a quantised convolution into one with channels last and lets the transposes around it travel until
they cancel. Two things of our graphs stand in the way, measured on a 2-core x86 machine with VNNI:

- Mean and deviation, (1, 3, 1, 1), broadcast over three neighbouring values once the channels are last: 10 of 56 ms.
  Written for each column, (1, 3, 1, W), the inner loop is a row.
- DepthToSpace moves single bytes. With channels last and the phases before the channels, a block of all channels of a
  row of phases moves as one piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgeseg.graph.contract import IMAGE
from edgeseg.graph.rewrite import set_nodes

BY_PHASE = ".by_phase"
"""Suffix of a convolution's output whose channels are ordered by phase, then channel."""

_TO_LAST, _TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
_ROWS_OF_BLOCKS = (0, 2, 1, 3)


def channels_last(model: ModelProto) -> ModelProto:
    """FP32 sealed graph → the same function, tensors and node names; only outputs of convolutions that a DepthToSpace
    reads get another name (`BY_PHASE`), as their channels have another order."""
    changed = onnx.shape_inference.infer_shapes(model)
    _widen_normalisation(changed)
    _shuffle_blocks(changed)
    return changed


def _widen_normalisation(model: ModelProto) -> None:
    """Repeat mean and deviation along the image's width."""
    sizes = _sizes(model)
    producer = {node.output[0]: node for node in model.graph.node}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    tensor = IMAGE
    while (node := producer.get(tensor)) is not None and node.op_type in ("Sub", "Div"):
        shape = sizes.get(tensor, ())
        constant = constants.get(node.input[1])
        if constant is not None and len(shape) == 4 and shape[3]:
            values = numpy_helper.to_array(constant)
            if values.ndim == 4 and values.shape[3] == 1:
                constant.CopyFrom(numpy_helper.from_array(np.repeat(values, shape[3], axis=3), constant.name))
        tensor = node.input[0]


def _replace_nodes(model: ModelProto, nodes: list[NodeProto]) -> None:
    graph = model.graph
    set_nodes(graph, nodes)
    written = {name for node in graph.node for name in node.output}
    known = [value for value in graph.value_info if value.name in written]
    del graph.value_info[:]
    graph.value_info.extend(known)


def _shuffle_blocks(model: ModelProto) -> None:
    """Write each DepthToSpace behind a convolution as transposes that move whole blocks."""
    graph = model.graph
    sizes = _sizes(model)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    readers: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    producer = {node.output[0]: node for node in graph.node}
    nodes: list[NodeProto] = []
    for node in graph.node:
        conv = producer.get(node.input[0]) if node.op_type == "DepthToSpace" else None
        shape = sizes.get(node.input[0], ())
        if conv is None or not _can_reorder(conv, shape, readers, constants):
            nodes.append(node)
            continue
        attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        stride = int(attributes["blocksize"])
        if attributes.get("mode", b"DCR") == b"CRD":
            _order_by_phase(conv, stride, constants)
        conv.output[0] = node.input[0] + BY_PHASE
        shuffle, targets = _blocks(node, conv.output[0], shape, stride)
        nodes.extend(shuffle)
        graph.initializer.extend(targets)
    _replace_nodes(model, nodes)


def _can_reorder(
    conv: NodeProto, shape: tuple[int, ...], readers: dict[str, int], constants: dict[str, TensorProto]
) -> bool:
    """Whether a convolution's output channels may change places: nobody else reads its output or its weights."""
    groups = next((entry.i for entry in conv.attribute if entry.name == "group"), 1)
    return (
        conv.op_type == "Conv"
        and groups == 1
        and len(shape) == 4
        and shape[0] == 1
        and all(shape)
        and readers[conv.output[0]] == 1
        and all(name in constants and readers[name] == 1 for name in conv.input[1:])
    )


def _order_by_phase(conv: NodeProto, stride: int, constants: dict[str, TensorProto]) -> None:
    """Output channel o·s² + phase → phase·C + o, in weights and bias."""
    for name in conv.input[1:]:
        values: NDArray[Any] = numpy_helper.to_array(constants[name])
        split = values.reshape(-1, stride * stride, *values.shape[1:])
        ordered = np.ascontiguousarray(split.swapaxes(0, 1).reshape(values.shape))
        constants[name].CopyFrom(numpy_helper.from_array(ordered, name))


def _blocks(
    node: NodeProto, source: str, shape: tuple[int, ...], stride: int
) -> tuple[list[NodeProto], list[TensorProto]]:
    """(1, s·s·C, H, W), channels by phase → (1, C, s·H, s·W), as transposes, and the shapes in between."""
    _, channels, height, width = shape
    output, label = node.output[0], node.name or node.output[0]
    rows = (height, width, stride, channels // stride)
    image = (1, height * stride, width * stride, channels // stride**2)
    targets = [
        numpy_helper.from_array(np.array(size, np.int64), f"{output}.{name}")
        for name, size in (("rows", rows), ("image", image))
    ]
    names = [source, *(f"{output}.step{index}" for index in range(1, 5)), output]
    steps = [
        ("Transpose", (), {"perm": _TO_LAST}),
        ("Reshape", (targets[0].name,), {}),
        ("Transpose", (), {"perm": _ROWS_OF_BLOCKS}),
        ("Reshape", (targets[1].name,), {}),
        ("Transpose", (), {"perm": _TO_FIRST}),
    ]
    nodes = [
        helper.make_node(kind, [before, *more], [after], name=f"{label}.{index}", **attributes)
        for index, ((kind, more, attributes), before, after) in enumerate(
            zip(steps, names[:-1], names[1:], strict=True)
        )
    ]
    return nodes, targets


def _sizes(model: ModelProto) -> dict[str, tuple[int, ...]]:
    """Tensor → its shape, 0 where open."""
    values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    return {value.name: tuple(_dims(value)) for value in values}


def _dims(value: onnx.ValueInfoProto) -> Iterator[int]:
    for dimension in value.type.tensor_type.shape.dim:
        yield dimension.dim_value
