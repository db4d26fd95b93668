"""FP32 graph → strongly typed FP16 graph: what TensorRT 10 and 11 build, now that their FP16 flag is gone.

Weights and computation between the preprocessed image and the logits become float16; input, output, preprocessing and
label handling stay as they are. Tensors keep their names, so that both graphs can be compared tensor by tensor.

This is a pass of our own because of what `onnxruntime.transformers.float16` does to such a graph: it clips weights
beyond 65504 and lifts those below 6e-8 without a word, converts every Cast to float32, those of the preprocessing and
of the labels included, gives tensors next to a blocked operator new names, wraps each blocked operator in casts of its
own even where two follow one another, and appends casts out of topological order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgeseg.graph.contract import IMAGE, LOGITS
from edgeseg.graph.lint import check_sealed, tensor_types

MAX_HALF = 65504.0
"""Largest finite float16 (IEEE 754 binary16)."""

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


def convert_to_fp16(model: ModelProto, *, too_large: Collection[str] = (), dynamic: bool = False) -> Fp16Graph:
    """FP32 sealed graph → FP16 sealed graph; `model` is left as it is.

    `too_large` names tensors whose values come near float16's range; operators that read or write one stay float32.
    Weights beyond the range keep their operator in float32 too. Raises `GateError` where the result is not sound.
    """
    half = ModelProto.FromString(model.SerializeToString())
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in half.graph.initializer}
    types = tensor_types(onnx.shape_inference.infer_shapes(half, strict_mode=True))
    kept: dict[str, str] = {}
    chosen: set[str] = set()
    for node in _between(half):
        if types.get(node.output[0]) != TensorProto.FLOAT:
            continue
        reason = _reason_to_keep(node, weights, too_large)
        if reason:
            kept[node.name] = reason
        else:
            chosen.add(node.output[0])
    _retype(half, types, chosen, weights)
    check_sealed(half, dynamic=dynamic)
    flushed = {
        tensor.name: zeros
        for tensor in half.graph.initializer
        if tensor.data_type == TensorProto.FLOAT16 and (zeros := _flushed(weights, tensor))
    }
    return Fp16Graph(half, kept, flushed)


def _between(model: ModelProto) -> list[NodeProto]:
    """Nodes on a way from the image to the logits, in topological order."""
    reached, after = {IMAGE}, []
    for node in model.graph.node:
        if reached.intersection(node.input):
            reached.update(node.output)
            after.append(node)
    needed, between = {LOGITS}, []
    for node in reversed(after):
        if needed.intersection(node.output):
            needed.update(node.input)
            between.append(node)
    return between[::-1]


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


def _retype(model: ModelProto, types: dict[str, int], chosen: set[str], weights: Mapping[str, Any]) -> None:
    """Make the nodes that write a `chosen` tensor compute in float16, with a cast wherever the two types meet."""
    graph = model.graph
    now = {name: kind for name, kind in types.items() if kind == TensorProto.FLOAT}
    nodes: list[NodeProto] = []
    made: dict[tuple[str, int], str] = {}
    added: list[TensorProto] = []
    for original in graph.node:
        node = NodeProto.FromString(original.SerializeToString())
        computes_half = bool(chosen.intersection(node.output))
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
                    added.append(numpy_helper.from_array(_to_half(weights[name]), made[key]))
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


def _to_half(values: Any) -> Any:
    return values.astype(np.float16)


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


def _flushed(weights: Mapping[str, Any], tensor: TensorProto) -> int:
    before = weights[tensor.name.removesuffix(".fp16")]
    return int(np.count_nonzero(before) - np.count_nonzero(numpy_helper.to_array(tensor)))
