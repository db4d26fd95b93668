"""Batch normalisation folded into the convolutions before it, also through a sum.

PyTorch's exporter folds it into a convolution right before it. A decoder normalises the sum of a transposed convolution
and a skip instead: scale·(a + b) + shift = scale·a + (scale·b + shift), so both convolutions take the scale and one of
them the shift. Left in the graph, each would be an operator of its own in full resolution, and in FP16 an FP32 island.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from edgeseg.graph.rewrite import fixed_constants

_CHANNEL = 1
"""Axis of the channels in NCHW."""

_RANK = 4
"""Of the weights of a convolution over height and width."""


def fold_batch_norm(model: ModelProto) -> int:
    """Fold wherever it is exact; returns how many operators went. Tensors whose value changes get another name."""
    folded = 0
    for node in [node for node in model.graph.node if node.op_type == "BatchNormalization"]:
        folded += _Fold(model, node).apply()
    return folded


class _Fold:
    """One batch normalisation and the linear operators whose sum it normalises."""

    def __init__(self, model: ModelProto, norm: NodeProto) -> None:
        self._graph = model.graph
        self._norm = norm
        self._weights = fixed_constants(model.graph)
        self._producer = {name: node for node in model.graph.node for name in node.output}
        self._readers: dict[str, int] = {}
        for node in model.graph.node:
            for name in node.input:
                self._readers[name] = self._readers.get(name, 0) + 1
        for output in model.graph.output:
            self._readers[output.name] = self._readers.get(output.name, 0) + 1
        self._sources: list[NodeProto] = []
        self._between: list[NodeProto] = []

    def apply(self) -> bool:
        """Whether it was folded."""
        if any(attribute.name == "training_mode" and attribute.i for attribute in self._norm.attribute):
            return False
        source, *constants = self._norm.input
        if any(name not in self._weights for name in constants) or not self._collect(source):
            return False
        gamma, beta, mean, variance = (self._values(name).astype(np.float64) for name in constants)
        epsilon = next((attribute.f for attribute in self._norm.attribute if attribute.name == "epsilon"), 1e-5)
        scale = gamma / np.sqrt(variance + epsilon)
        for index, node in enumerate(self._sources):
            self._scale(node, scale, beta - mean * scale if index == 0 else np.zeros_like(scale))
        # What was the operator's output is now the sum itself; the tensors under it are no longer what they were.
        changed = {name: f"{name}.folded" for node in (*self._sources, *self._between) for name in node.output}
        changed[source] = self._norm.output[0]
        for node in (*self._sources, *self._between):
            for index, name in enumerate(node.input):
                node.input[index] = changed.get(name, name)
            for index, name in enumerate(node.output):
                node.output[index] = changed[name]
        for value in list(self._graph.value_info):
            if value.name == source:
                self._graph.value_info.remove(value)
            elif value.name in changed:
                value.name = changed[value.name]
        self._graph.node.remove(self._norm)
        for name in constants:
            if self._readers[name] == 1:
                self._graph.initializer.remove(self._weights[name])
        return True

    def _collect(self, tensor: str) -> bool:
        """Whether `tensor` is a sum of convolutions that nobody else reads; gathers them."""
        node = self._producer.get(tensor)
        if node is None or self._readers[tensor] != 1:
            return False
        if node.op_type in ("Conv", "ConvTranspose"):
            self._sources.append(node)
            if any(name not in self._weights or self._readers[name] != 1 for name in node.input[1:]):
                return False
            kernel = self._weights[node.input[1]]
            return (len(kernel.dims), kernel.data_type) == (_RANK, TensorProto.FLOAT)
        if node.op_type == "Add":
            self._between.append(node)
            return all(self._collect(name) for name in node.input)
        if node.op_type == "Slice" and self._crops_only(node):
            self._between.append(node)
            return self._collect(node.input[0])
        return False

    def _crops_only(self, node: NodeProto) -> bool:
        """Whether a Slice leaves the channels alone."""
        axes = node.input[3] if len(node.input) > 3 else ""
        return axes in self._weights and _CHANNEL not in self._values(axes).tolist()

    def _scale(self, node: NodeProto, scale: NDArray[np.float64], shift: NDArray[np.float64]) -> None:
        """Multiply the node's output channels by `scale` and add `shift`."""
        weight = self._weights[node.input[1]]
        values = self._values(weight.name).astype(np.float64)
        if node.op_type == "Conv":
            values *= scale.reshape(-1, 1, 1, 1)
        else:
            # (C_in, C_out / groups, k, k): input channels of group g feed that group's outputs.
            groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
            per_group = scale.reshape(groups, 1, -1, 1, 1)
            values = (values.reshape(groups, -1, *values.shape[1:]) * per_group).reshape(values.shape)
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float32), weight.name))
        if len(node.input) > 2:
            bias = self._weights[node.input[2]]
            moved = self._values(bias.name).astype(np.float64) * scale + shift
            bias.CopyFrom(numpy_helper.from_array(moved.astype(np.float32), bias.name))
        elif shift.any():
            name = f"{weight.name}.shift"
            self._graph.initializer.append(numpy_helper.from_array(shift.astype(np.float32), name))
            node.input.append(name)

    def _values(self, name: str) -> NDArray[Any]:
        return np.asarray(numpy_helper.to_array(self._weights[name]))
