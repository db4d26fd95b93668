"""Which tensors of an FP32 sealed graph get a Q/DQ pair, which weights become int8, and why the rest stays float.

The two dialects want different things of the same graph. ONNX Runtime runs an operator on bytes only if its inputs and
its output are quantised, so there every tensor between the first convolution and the head has a pair, and an island of
float in between costs two conversions. TensorRT fuses what it reads between a DQ and the next Q, and keeps a sum inside
the convolution before it as long as only the skip is quantised; so there a pair stands before each convolution, and on
one branch of each sum.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import onnx
from onnx import ModelProto, NodeProto, TensorProto

from edgeseg.errors import ConfigError
from edgeseg.graph.contract import IMAGE, LOGITS
from edgeseg.graph.walk import between

CPU = "cpu"
TRT = "trt"

WEIGHT_AXIS = {"Conv": 0}
"""Operators whose weights become int8 → axis of the output channels, each with a scale of its own."""

ABSORBED = {"Relu", "Clip"}
"""Activations that the Q after them does on its own: what they cut off is what saturates."""

CARRIED = {
    "MaxPool",
    "Slice",
    "DepthToSpace",
    "SpaceToDepth",
    "Reshape",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
}
"""Operators that only choose or move values: their output takes the scale of their input, so bytes pass unchanged."""

INTEGER_ON_CPU = {"Conv", "Add", "Concat", "Resize", "GlobalAveragePool", *CARRIED}
"""Operators with an integer kernel in ONNX Runtime on CPUs, whose output we quantise."""

GREY_LEVELS = "image.grey_levels"
"""Name of the node that writes the image as grey levels less an integer, see `dialects/grey_levels.py`: it is bytes."""

_CHANNEL = 1
"""Axis of the channels in NCHW."""


@dataclass(frozen=True)
class Placement:
    """Where a graph is quantised."""

    dialect: str
    activations: tuple[str, ...]
    """Tensors with a Q/DQ pair, in topological order."""
    weights: Mapping[str, int]
    """Initializer of int8 weights → axis of its per-channel scales."""
    kept: Mapping[str, str]
    """Nodes between image and logits that compute in float: name → why."""
    shared: Mapping[str, str] = field(default_factory=dict)
    """Tensor → the one whose range it takes, because its values are the same; only where they differ in name."""
    direct: frozenset[tuple[str, str]] = frozenset()
    """(node, tensor): this node reads the float tensor, though it has a pair."""

    def range_of(self, tensor: str) -> str:
        """The tensor whose range decides the scale of `tensor`."""
        return self.shared.get(tensor, tensor)


def place(model: ModelProto, dialect: str, *, keep: Collection[str] = ()) -> Placement:
    """FP32 sealed graph → where to quantise it for `dialect` ("cpu" or "trt").

    Nodes named in `keep` stay in float, with the layers that the dialect never quantises: the head that makes the
    class scores, transposed convolutions, and operators without an integer kernel. Raises `ConfigError` for an unknown
    dialect, and for a name in `keep` that is no node between image and logits.
    """
    if dialect not in (CPU, TRT):
        raise ConfigError(f"dialect {dialect!r}: expected {CPU} (ONNX Runtime) or {TRT} (TensorRT).")
    graph = _Graph(model)
    names = {node.name for node in graph.between}
    unknown = sorted(set(keep) - names)
    if unknown:
        raise ConfigError(f"cannot keep {', '.join(unknown)} in float: no such node between {IMAGE} and {LOGITS}.")
    reasons: dict[str, str] = {}
    for node in graph.between:
        reason = _reason(graph, node, dialect, keep, reasons)
        if reason:
            reasons[node.name] = reason
    quantised = [node for node in graph.between if node.name not in reasons]
    weights = {node.input[1]: WEIGHT_AXIS[node.op_type] for node in quantised if node.op_type in WEIGHT_AXIS}
    if dialect == TRT:
        return _place_trt(graph, quantised, weights, reasons)
    return _place_cpu(graph, quantised, weights, reasons)


def may_be_int8(model: ModelProto, keep: Collection[str] = ()) -> list[str]:
    """Tensors that could be int8 in some back end, in topological order: the image, and what is made of it up to the
    class scores; without those, and without what the nodes in `keep` write."""
    graph = _Graph(model)
    inside = (node for node in graph.between if node.name not in graph.head and node.name not in keep)
    return [IMAGE, *(node.output[0] for node in inside)]


class _Graph:
    """A graph with the look-ups that placement needs."""

    def __init__(self, model: ModelProto) -> None:
        inferred = onnx.shape_inference.infer_shapes(model)
        self.nodes = list(inferred.graph.node)
        self.weights = {tensor.name for tensor in inferred.graph.initializer}
        values = (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output)
        self.floats = {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT}
        self._sizes = {value.name: value.type.tensor_type.shape.dim for value in values}
        self.producer = {name: node for node in self.nodes for name in node.output}
        self.readers: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                self.readers.setdefault(name, []).append(node)
        self.position = {name: index for index, node in enumerate(self.nodes) for name in node.output}
        self.between = [node for node in between(inferred) if node.output[0] in self.floats]
        self.head = {node.name for node in self._class_scores()}
        self.bytes_in = IMAGE in self.producer and self.producer[IMAGE].name == GREY_LEVELS

    def inputs(self, node: NodeProto) -> list[str]:
        """The float tensors that a node reads, weights left out."""
        return [name for name in node.input if name in self.floats and name not in self.weights]

    def sole_reader(self, tensor: str) -> NodeProto | None:
        """The one node that reads `tensor`, if it is one."""
        readers = self.readers.get(tensor, [])
        return readers[0] if len(readers) == 1 else None

    def pooled(self, node: NodeProto) -> bool:
        """Whether a MaxPool reads the node's result, after its activation."""
        after = self.sole_reader(node.output[0])
        if after is not None and after.op_type in ABSORBED:
            after = self.sole_reader(after.output[0])
        return after is not None and after.op_type == "MaxPool"

    def channels(self, tensor: str) -> int | None:
        """Size of the channel axis, if it is known."""
        sizes = self._sizes.get(tensor, ())
        return sizes[_CHANNEL].dim_value or None if len(sizes) > _CHANNEL else None

    def rank(self, tensor: str) -> int:
        """Number of axes, 0 if unknown."""
        return len(self._sizes.get(tensor, ()))

    def _class_scores(self) -> Iterator[NodeProto]:
        """The head: nodes whose output is class scores, at any size.

        From the logits back to the convolutions that made scores out of features, through whatever moves, sums or
        upsamples scores; an upsampling convolution is one that has as many channels going in as there are classes.
        """
        classes = self.channels(LOGITS)
        inside = {node.name for node in self.between}
        waiting, seen = [LOGITS], set()
        while waiting:
            node = self.producer.get(waiting.pop())
            if node is None or node.name not in inside or node.name in seen:
                continue
            seen.add(node.name)
            yield node
            convolves = node.op_type in ("Conv", "ConvTranspose")
            waiting.extend(
                name for name in self.inputs(node) if not convolves or (classes and self.channels(name) == classes)
            )


def _reason(
    graph: _Graph, node: NodeProto, dialect: str, keep: Collection[str], reasons: Mapping[str, str]
) -> str | None:
    """Why a node stays in float; `reasons` are those of the nodes before it."""
    if node.name in keep:
        return "kept for accuracy"
    if node.name in graph.head:
        return "makes the class scores: a step of 1/255 of their range would decide at class borders"
    if node.op_type == "ConvTranspose":
        return "transposed convolution: tools dispute the axis of its scales"
    if node.op_type == "Conv":
        return _reason_of_conv(graph, node, dialect)
    if node.op_type in ABSORBED:
        source = graph.producer.get(node.input[0])
        if source is not None and source.name in reasons:
            return f"follows {source.name}, which stays in float"
    if dialect == TRT and node.op_type not in ("Add", *ABSORBED):
        return f"{node.op_type}: TensorRT moves the Q/DQ pairs around it where that helps"
    if dialect == CPU and node.op_type not in (*INTEGER_ON_CPU, *ABSORBED):
        return f"{node.op_type}: ONNX Runtime has no integer kernel for it"
    return None


def _reason_of_conv(graph: _Graph, node: NodeProto, dialect: str) -> str | None:
    if node.input[1] not in graph.weights:
        return "its weights are computed, not constant"
    if graph.rank(node.input[0]) not in (0, 4):
        return "not a convolution over images"
    if dialect == CPU and node.input[0] == IMAGE and not graph.bytes_in and not graph.pooled(node):
        # Before a MaxPool the Q would travel through the pool, which is slow on bytes unless int8 convolutions
        # surround it (measured: 25 ms instead of 0.5).
        return "reads three channels that are no bytes, for which ONNX Runtime's float kernel is faster"
    return None


def _place_cpu(
    graph: _Graph, quantised: list[NodeProto], weights: dict[str, int], reasons: dict[str, str]
) -> Placement:
    integer = {node.name for node in quantised}
    tensors: set[str] = set()
    shared: dict[str, str] = {}
    for node in quantised:
        tensors.update(graph.inputs(node))
        output = node.output[0]
        after = graph.sole_reader(output)
        if (
            node.op_type in ("Conv", "Add")
            and after is not None
            and after.op_type in ABSORBED
            and after.name in integer
        ):
            continue
        tensors.add(output)
    # The tensor between an operator and the activation that its Q absorbs has no pair of its own.
    for node in quantised:
        before = graph.producer.get(node.input[0])
        if (
            node.op_type in ABSORBED
            and before is not None
            and before.op_type in ("Conv", "Add")
            and before.name in integer
            and graph.sole_reader(node.input[0]) is not None
        ):
            tensors.discard(node.input[0])
    for node in quantised:
        if node.op_type in CARRIED and node.input[0] in tensors:
            shared[node.output[0]] = shared.get(node.input[0], node.input[0])
    return Placement(CPU, _ordered(graph, tensors), weights, reasons, shared)


def _place_trt(
    graph: _Graph, quantised: list[NodeProto], weights: dict[str, int], reasons: dict[str, str]
) -> Placement:
    integer = {node.name for node in quantised}
    reads: set[tuple[str, str]] = set()
    for node in quantised:
        if node.op_type == "Conv":
            reads.add((node.name, node.input[0]))
        elif node.op_type == "Add":
            skip = _skip(graph, node, integer)
            if skip is None:
                reasons[node.name] = "sums no convolution that could take the sum in"
            else:
                reads.add((node.name, skip))
    tensors = {tensor for _, tensor in reads}
    direct = {
        (node.name, tensor) for tensor in tensors for node in graph.readers[tensor] if (node.name, tensor) not in reads
    }
    return Placement(TRT, _ordered(graph, tensors), weights, reasons, {}, frozenset(direct))


def _skip(graph: _Graph, node: NodeProto, integer: set[str]) -> str | None:
    """The branch of a sum that is quantised: not the one whose int8 convolution takes the sum in.

    A convolution takes the sum in if nobody else reads its result; of two, the later one does, because the other
    branch is then there.
    """
    branches = graph.inputs(node)
    if len(branches) != 2:
        return None
    takes = [
        tensor
        for tensor in branches
        if (source := graph.producer.get(tensor)) is not None
        and source.op_type == "Conv"
        and source.name in integer
        and graph.sole_reader(tensor) is not None
    ]
    if not takes:
        return None
    main = max(takes, key=graph.position.__getitem__)
    return next(tensor for tensor in branches if tensor != main)


def _ordered(graph: _Graph, tensors: set[str]) -> tuple[str, ...]:
    return tuple(sorted(tensors, key=graph.position.__getitem__))
