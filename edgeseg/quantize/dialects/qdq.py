"""Writing Q/DQ pairs into a graph: what both dialects share. The numbers are each dialect's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from edgeseg.quantize.placement import Placement

QUANTISED = ".q"
"""Suffix of a tensor's integers."""

DEQUANTISED = ".dq"
"""Suffix of what its readers get: the integers times the scale."""

SCALE = ".scale"
ZERO_POINT = ".zero_point"

INT8_MAX = 127
"""Symmetric int8 uses −127..127, so that a negated value is representable too."""


@dataclass(frozen=True)
class Affine:
    """real = scale · (integer − zero_point), with arrays for one scale per channel."""

    scale: NDArray[Any]
    zero_point: NDArray[Any]


def weight_scales(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Weights → one scale per slice along `axis`, so that the largest magnitude becomes ±127; 1 for slices of zeros."""
    others = tuple(index for index in range(values.ndim) if index != axis)
    peak = np.abs(values).max(axis=others)
    return np.where(peak > 0, peak / INT8_MAX, 1.0).astype(np.float32)


def round_weights(values: NDArray[np.float32], scales: NDArray[Any], axis: int) -> NDArray[np.int8]:
    """Weights over their scales, to nearest (ties to even), in −127..127."""
    shape = [1] * values.ndim
    shape[axis] = -1
    steps = values.astype(np.float64) / scales.astype(np.float64).reshape(shape)
    return np.clip(np.rint(steps), -INT8_MAX, INT8_MAX).astype(np.int8)


class Writer:
    """A copy of a graph that Q/DQ pairs are written into."""

    def __init__(self, model: ModelProto) -> None:
        self.model = ModelProto.FromString(model.SerializeToString())
        self.weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in self.model.graph.initializer}
        self._constants: dict[str, NDArray[Any]] = {}
        self._first: list[NodeProto] = []

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Add an initializer; returns its name."""
        self._constants[name] = np.asarray(values)
        return name

    def dequantised_constant(self, name: str, values: NDArray[Any], affine: Affine, axis: int) -> str:
        """Add integers and the DQ that turns them into reals; returns the name of the reals."""
        inputs = [
            self.constant(name + QUANTISED, values),
            self.constant(name + SCALE, affine.scale),
            self.constant(name + ZERO_POINT, affine.zero_point),
        ]
        node = helper.make_node("DequantizeLinear", inputs, [name + DEQUANTISED], name=name + DEQUANTISED, axis=axis)
        self._first.append(node)
        return name + DEQUANTISED

    @staticmethod
    def dequantised_name(name: str) -> str:
        """What the reals of `dequantised_constant` are called."""
        return name + DEQUANTISED

    def write_pairs(
        self, placement: Placement, affine: Callable[[str], Affine], plain: Callable[[str], str] = lambda name: name
    ) -> None:
        """Put a pair behind each placed tensor, and let its readers read the pair, those in `placement.direct` apart.

        `plain` gives the name that a tensor has in the graph that was placed, where this one calls it differently.
        """
        placed = set(placement.activations)
        graph = self.model.graph
        tensors = {name for node in graph.node for name in node.output if plain(name) in placed}
        read = {
            name
            for node in graph.node
            for name in node.input
            if name in tensors and self._reads_pair(node, plain(name), placement)
        }
        nodes = list(self._first)
        for original in graph.node:
            node = NodeProto.FromString(original.SerializeToString())
            for index, name in enumerate(node.input):
                if name in read and self._reads_pair(node, plain(name), placement):
                    node.input[index] = name + DEQUANTISED
            nodes.append(node)
            for name in node.output:
                if name in read:
                    nodes.extend(self._pair(name, affine(name)))
        del graph.node[:]
        graph.node.extend(nodes)
        self._write_constants()

    @staticmethod
    def _reads_pair(node: NodeProto, tensor: str, placement: Placement) -> bool:
        return node.op_type != "Cast" and (node.name, tensor) not in placement.direct

    def _pair(self, name: str, affine: Affine) -> list[NodeProto]:
        scale, zero_point = (
            self.constant(name + SCALE, affine.scale),
            self.constant(name + ZERO_POINT, affine.zero_point),
        )
        integers, reals = name + QUANTISED, name + DEQUANTISED
        return [
            helper.make_node("QuantizeLinear", [name, scale, zero_point], [integers], name=integers),
            helper.make_node("DequantizeLinear", [integers, scale, zero_point], [reals], name=reals),
        ]

    def _write_constants(self) -> None:
        """Add the new initializers, drop the weights that nobody reads any more."""
        graph = self.model.graph
        used = {name for node in graph.node for name in node.input}
        remaining = [tensor for tensor in graph.initializer if tensor.name in used]
        del graph.initializer[:]
        graph.initializer.extend(remaining)
        graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in self._constants.items())


def convolutions(
    model: ModelProto, placement: Placement, plain: Callable[[str], str] = lambda name: name
) -> list[NodeProto]:
    """The convolutions whose weights become int8; `plain` as in `Writer.write_pairs`."""
    return [
        node
        for node in model.graph.node
        if node.op_type == "Conv" and plain(node.input[1]) in placement.weights and node.name not in placement.kept
    ]
