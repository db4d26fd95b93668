"""A graph with look-ups: who writes and reads a tensor, its type and shape, constants, and what is quantised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

Q, DQ = "QuantizeLinear", "DequantizeLinear"

_TYPE_NAMES = {"float": "float32", "double": "float64"}
"""ONNX's name of a type, in lower case → numpy's, where they differ."""


class GraphView:
    """One model, its shapes inferred as far as they can be."""

    def __init__(self, model: ModelProto, inferred: ModelProto) -> None:
        self.model = model
        graph = inferred.graph
        self.nodes: tuple[NodeProto, ...] = tuple(graph.node)
        self.initializers: dict[str, TensorProto] = {tensor.name: tensor for tensor in graph.initializer}
        self.inputs = [value for value in graph.input if value.name not in self.initializers]
        self.outputs = list(graph.output)
        self.opsets = {opset.domain: opset.version for opset in model.opset_import}
        self._values = {value.name: value for value in (*graph.value_info, *graph.input, *graph.output)}
        self._producer = {name: node for node in self.nodes for name in node.output if name}
        self._readers: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                self._readers.setdefault(name, []).append(node)
        self._constants: dict[str, NDArray[Any] | None] = {}

    @property
    def opset(self) -> int:
        """Version of the standard operators."""
        return int(self.opsets.get("", 0))

    def every_node(self) -> Iterator[NodeProto]:
        """All nodes, those inside the branches and bodies of others included."""
        return _nested(self.model.graph)

    def label(self, node: NodeProto) -> str:
        """How a person finds the node: its name, or what it writes."""
        written = next((name for name in node.output if name), "nothing")
        return str(node.name or f"{node.op_type} that writes {written}")

    def attribute(self, node: NodeProto, name: str, default: Any) -> Any:
        """Value of an attribute, bytes as text; `default` where it is not written."""
        from onnx import helper

        for entry in node.attribute:
            if entry.name == name:
                value = helper.get_attribute_value(entry)
                return value.decode() if isinstance(value, bytes) else value
        return default

    def input(self, node: NodeProto, index: int) -> str:
        """Name of an input, "" where it is left out."""
        return str(node.input[index]) if len(node.input) > index else ""

    def producer(self, tensor: str, *kinds: str) -> NodeProto | None:
        """The node that writes `tensor`, if it is of one of these kinds (any, if none is named)."""
        node = self._producer.get(tensor)
        return node if node is not None and (not kinds or node.op_type in kinds) else None

    def readers(self, tensor: str) -> list[NodeProto]:
        """The nodes that read it."""
        return self._readers.get(tensor, [])

    def is_constant(self, tensor: str) -> bool:
        """Whether it is an initializer or written by a Constant."""
        return tensor in self.initializers or self.producer(tensor, "Constant") is not None

    def constant(self, tensor: str) -> NDArray[Any] | None:
        """Its values; None where it is none, or where they lie outside the file."""
        if tensor not in self._constants:
            self._constants[tensor] = self._read_constant(tensor)
        return self._constants[tensor]

    def type_of(self, tensor: str) -> str | None:
        """numpy's name of its element type, None where that is not known."""
        from onnx import TensorProto

        stored = self.initializers.get(tensor)
        value = self._values.get(tensor)
        if stored is not None:
            number = stored.data_type
        elif value is not None:
            number = value.type.tensor_type.elem_type
        else:
            return None
        name = TensorProto.DataType.Name(number).lower()
        return None if name == "undefined" else _TYPE_NAMES.get(name, name)

    def shape_of(self, tensor: str) -> tuple[int | None, ...] | None:
        """Its sizes, None for an open one; None where not even their number is known."""
        stored = self.initializers.get(tensor)
        if stored is not None:
            return tuple(stored.dims)
        value = self._values.get(tensor)
        if value is None or not value.type.tensor_type.HasField("shape"):
            return None
        sizes = value.type.tensor_type.shape.dim
        return tuple(size.dim_value if size.HasField("dim_value") else None for size in sizes)

    def pairs(self) -> list[NodeProto]:
        """All Q and DQ nodes."""
        return [node for node in self.nodes if node.op_type in (Q, DQ)]

    def of_weights(self, node: NodeProto) -> bool:
        """Whether a Q or DQ works on constants."""
        source = self.producer(node.input[0], Q)
        return self.is_constant(node.input[0]) or (source is not None and self.is_constant(source.input[0]))

    def scale(self, node: NodeProto) -> NDArray[Any] | None:
        """The scale of a Q or DQ, None where it is computed."""
        return self.constant(node.input[1])

    def dequantised(self, tensor: str) -> NodeProto | None:
        """The DQ that it comes from."""
        return self.producer(tensor, DQ)

    def _read_constant(self, tensor: str) -> NDArray[Any] | None:
        from onnx import TensorProto, numpy_helper

        stored = self.initializers.get(tensor)
        if stored is None and (node := self.producer(tensor, "Constant")) is not None:
            for entry in node.attribute:
                if entry.name == "value":
                    stored = entry.t
                elif entry.name.startswith("value_"):
                    return np.asarray(self.attribute(node, entry.name, None))
        if stored is None or stored.data_location == TensorProto.EXTERNAL:
            return None
        return np.asarray(numpy_helper.to_array(stored))


def _nested(graph: GraphProto) -> Iterator[NodeProto]:
    for node in graph.node:
        yield node
        for entry in node.attribute:
            for inner in (*([entry.g] if entry.HasField("g") else []), *entry.graphs):
                yield from _nested(inner)
