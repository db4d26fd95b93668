"""FP32 graph → strongly typed FP16 graph: what TensorRT 10 and 11 build, now that their FP16 flag is gone.

Weights and computation between the preprocessed image and the logits become float16; input, output, preprocessing and
label handling stay as they are. Tensors keep their names, so that both graphs can be compared tensor by tensor. Given
statistics of the tensors, convolutions' weights are rounded so that channels keep their means (see `mean_rounding`).

This is a pass of our own because of what `onnxruntime.transformers.float16` does to such a graph: it clips weights
beyond 65504 and lifts those below 6e-8 without a word, converts every Cast to float32, those of the preprocessing and
of the labels included, gives tensors next to a blocked operator new names, wraps each blocked operator in casts of its
own even where two follow one another, and appends casts out of topological order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgeseg.graph.lint import check_sealed, tensor_types
from edgeseg.graph.mean_rounding import round_keeping_means
from edgeseg.graph.observe import TensorStatistics
from edgeseg.graph.walk import between

MAX_HALF = 65504.0
"""Largest finite float16 (IEEE 754 binary16)."""

HEADROOM = 4.0
"""A tensor counts as too large if on the frames looked at it comes within this factor of the largest float16: other
frames may bring larger values."""

DELICATE = {
    "Resize": "interpolated logits decide at class borders, and float16 has 11 bits",
    "AveragePool": "sums many values",
    "GlobalAveragePool": "sums many values",
    "ReduceMean": "sums many values",
    "ReduceSum": "sums many values",
    "ReduceL2": "sums many squares",
    "Softmax": "exponentials",
    "LogSoftmax": "exponentials",
    "Exp": "exponentials",
    "Pow": "large range",
    "BatchNormalization": "divides by small deviations",
    "InstanceNormalization": "sums many squares",
    "LayerNormalization": "sums many squares",
    "GroupNormalization": "sums many squares",
}
"""Operator → why it stays float32. Kernels differ in how they accumulate; float32 is the same everywhere."""

_ANY_FLOAT = {"ArgMax", "Shape", "Cast"}
"""Operators that read either type to the same result, so that no cast is needed before them."""

_FLOAT_ALWAYS = {("Resize", 1), ("Resize", 2)}
"""(operator, input): region and scales of Resize are float32 whatever the image is."""


@dataclass(frozen=True)
class Fp16Graph:
    """A float16 graph and what was not converted to the letter."""

    model: ModelProto
    kept: Mapping[str, str]
    """Operators between image and logits that stay float32: node name → why."""
    flushed: Mapping[str, int]
    """Weights too small for float16: tensor → how many of its values became zero."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the manifest."""
        return {"kept_fp32": dict(self.kept), "weights_flushed_to_zero": dict(self.flushed)}


def convert_to_fp16(
    model: ModelProto, statistics: Mapping[str, TensorStatistics] | None = None, *, dynamic: bool = False
) -> Fp16Graph:
    """FP32 sealed graph → FP16 sealed graph; `model` is left as it is.

    What a comparison of values hangs on stays float32: max-unpooling puts a value where a maximum was, and rounding
    makes another neighbour the maximum. `statistics` (from `observe.statistics`) tell which tensors come near float16's
    range, whose operators then stay float32, and let the weights of convolutions be rounded so that channels keep their
    means. Without them every weight is rounded to nearest. Weights beyond the range keep their operator in float32 too.
    Raises `GateError` where the result is not sound.
    """
    statistics = statistics or {}
    # Not "above": a NaN counts as well.
    too_large = {name for name, values in statistics.items() if not values.peak * HEADROOM <= MAX_HALF}
    half = ModelProto.FromString(model.SerializeToString())
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in half.graph.initializer}
    types = tensor_types(onnx.shape_inference.infer_shapes(half, strict_mode=True))
    kept: dict[str, str] = {}
    chosen: set[str] = set()
    nodes = between(half)
    decisive = _decisive(nodes)
    for node in nodes:
        if types.get(node.output[0]) != TensorProto.FLOAT:
            continue
        reason = _reason_to_keep(node, weights, too_large)
        if reason is None and decisive.intersection(node.output):
            reason = "a comparison of values hangs on it"
        if reason:
            kept[node.name] = reason
        else:
            chosen.add(node.output[0])
    _retype(half, types, chosen, _half_weights(half, weights, chosen, statistics))
    check_sealed(half, dynamic=dynamic)
    return Fp16Graph(half, kept, _flushed(half, weights))


def _decisive(nodes: Sequence[NodeProto]) -> set[str]:
    """Tensors that a comparison of values hangs on, through any number of operators; `nodes` in topological order."""
    tensors: set[str] = set()
    for node in reversed(nodes):
        if node.op_type == "Equal" or tensors.intersection(node.output):
            tensors.update(node.input)
    return tensors


def _reason_to_keep(node: NodeProto, weights: Mapping[str, Any], too_large: Collection[str]) -> str | None:
    if node.op_type in DELICATE:
        return f"{node.op_type}: {DELICATE[node.op_type]}"
    for name in (*node.input, *node.output):
        if name in too_large:
            return f"{name} comes near the largest float16, {MAX_HALF:.0f}"
    for name in node.input:
        values = weights.get(name)
        if values is not None and values.dtype == np.float32 and np.abs(values).max(initial=0) > MAX_HALF:
            return f"weights {name} exceed the largest float16, {MAX_HALF:.0f}"
    return None


def _half_weights(
    model: ModelProto,
    weights: Mapping[str, NDArray[Any]],
    chosen: Collection[str],
    statistics: Mapping[str, TensorStatistics],
) -> dict[str, NDArray[np.float16]]:
    """Each float32 weight that float16 can hold, rounded: to nearest, or so that a convolution keeps its means."""
    with np.errstate(over="ignore"):  # those stay float32 with their operator
        rounded = {name: values.astype(np.float16) for name, values in weights.items() if values.dtype == np.float32}
    readers = Counter(name for node in model.graph.node for name in node.input)
    for node in model.graph.node:
        if node.op_type != "Conv" or node.output[0] not in chosen:
            continue
        image, kernel, *bias = node.input
        means = statistics[image].means if image in statistics else None
        if means is not None and kernel in weights and readers[kernel] == 1:
            groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
            rounded[kernel] = round_keeping_means(
                weights[kernel], weights.get(bias[0]) if bias else None, means, groups
            )
    return rounded


def _retype(
    model: ModelProto, types: Mapping[str, int], chosen: Collection[str], weights: Mapping[str, NDArray[np.float16]]
) -> None:
    """Make the nodes that write a `chosen` tensor compute in float16, with a cast wherever the two types meet."""
    graph = model.graph
    now = {name: kind for name, kind in types.items() if kind == TensorProto.FLOAT}
    nodes: list[NodeProto] = []
    made: dict[tuple[str, int], str] = {}
    added: list[TensorProto] = []
    for original in graph.node:
        node = NodeProto.FromString(original.SerializeToString())
        computes_half = node.output[0] in chosen
        for index, name in enumerate(node.input):
            if name not in now or (node.op_type in _ANY_FLOAT and name not in weights):
                continue
            half_here = computes_half and (node.op_type, index) not in _FLOAT_ALWAYS
            want = TensorProto.FLOAT16 if half_here else TensorProto.FLOAT
            if now[name] == want:
                continue
            key = (name, want)
            if key not in made:
                made[key] = f"{name}.{'fp16' if want == TensorProto.FLOAT16 else 'fp32'}"
                if name in weights:
                    added.append(numpy_helper.from_array(weights[name], made[key]))
                else:
                    nodes.append(helper.make_node("Cast", [name], [made[key]], name=made[key], to=want))
            node.input[index] = made[key]
        if computes_half:
            for name in node.output:
                now[name] = TensorProto.FLOAT16
            for attribute in node.attribute:
                if node.op_type == "Cast" and attribute.name == "to":
                    attribute.i = TensorProto.FLOAT16
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(added)
    for value in graph.value_info:
        if now.get(value.name) == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    _drop_unused_weights(model)


def _drop_unused_weights(model: ModelProto) -> None:
    """Remove the float32 copies that nothing reads any more; a float16 copy without a sibling takes its name back."""
    graph = model.graph
    used = {name for node in graph.node for name in node.input}
    remaining = [tensor for tensor in graph.initializer if tensor.name in used]
    names = {tensor.name for tensor in remaining}
    back = {}
    for tensor in remaining:
        plain = tensor.name.removesuffix(".fp16")
        if plain not in names:
            back[tensor.name] = tensor.name = plain
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = back.get(name, name)
    del graph.initializer[:]
    graph.initializer.extend(remaining)


def _flushed(model: ModelProto, weights: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """Float16 weights → how many of their values were something and are zero now."""
    flushed = {}
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            before, after = weights[tensor.name.removesuffix(".fp16")], numpy_helper.to_array(tensor)
            zeros = int(np.count_nonzero((before != 0) & (after == 0)))
            if zeros:
                flushed[tensor.name] = zeros
    return flushed
