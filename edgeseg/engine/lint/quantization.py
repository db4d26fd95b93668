"""Rules about Q and DQ: TensorRT quantises around zero, per channel for weights only, and keeps a bias in float.

Sources: NVIDIA's "Working with Quantized Types", `docs/operators.md` of onnx-tensorrt (zero-point 0, types of
DequantizeLinear), and TensorRT issues 1694, 2380 and 4366 on the axis of transposed convolutions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from edgeseg.engine.lint.finding import ERROR, WARNING, Fault, Rule
from edgeseg.engine.lint.target import Target
from edgeseg.engine.lint.view import DQ, GraphView, Q

if TYPE_CHECKING:
    from onnx import NodeProto

LEAST_HALF_OPSET = 19
"""From here on Q and DQ take FP16 scales (ONNX, operator changelog)."""

LEAST_NORMAL_HALF = 2.0**-14
"""Smallest normal number of IEEE 754 binary16."""

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_SIGNED = ("int8", "int4", "float8e4m3fn", "float4e2m1")
_EXPORT = "Quantise with edgeseg export --int8, which writes TensorRT's dialect as model.int8-trt.onnx."


def _zero_point(view: GraphView, _target: Target) -> Iterator[Fault]:
    for node in view.pairs():
        if not (name := view.input(node, 2)):
            continue
        values = view.constant(name)
        if values is None:
            yield Fault(view.label(node), "a zero-point that is computed", _EXPORT)
        elif np.any(values.astype(np.float32) != 0):
            wrong = values.ravel()[np.flatnonzero(values.astype(np.float32))[0]]
            yield Fault(view.label(node), f"zero-point {wrong} ({values.dtype})", _EXPORT)


def _signed(view: GraphView, _target: Target) -> Iterator[Fault]:
    for node in view.pairs():
        if view.input(node, 2):
            kind = view.type_of(node.input[2]) or str(getattr(view.constant(node.input[2]), "dtype", ""))
        elif node.op_type == Q:
            # Without a zero-point ONNX means uint8, unless output_dtype says otherwise, and TensorRT int8.
            quantised = view.type_of(node.output[0])
            kind = quantised if quantised in _SIGNED else "left out, which is uint8 in ONNX and int8 in TensorRT"
        else:
            kind = view.type_of(node.input[0]) or "int8"
        if kind and kind not in _SIGNED and not _is_bias(view, node):
            yield Fault(view.label(node), f"quantised as {kind}", _EXPORT)


def _scale(view: GraphView, _target: Target) -> Iterator[Fault]:
    for node in view.pairs():
        scale = view.scale(node)
        name = view.label(node)
        if scale is None:
            yield Fault(name, "a scale that is computed", "TensorRT needs it as a constant: fold constants.")
            continue
        values = scale.astype(np.float64)
        if not np.isfinite(values).all() or (values < 0).any():
            yield Fault(name, f"a scale of {values[~(values > 0)].min():.3g}", "Scales are above 0: calibrate again.")
        elif (values == 0).any():
            text = "a scale of 0" + (", rounded to FP16" if scale.dtype == np.float16 else "")
            yield Fault(name, text, "Scales are above 0: bound it from below before rounding, by 2^-14.")
        elif (values.astype(np.float16) == 0).any():
            text = f"a scale of {values.min():.3g}, which FP16 rounds to 0"
            yield Fault(name, text, "Bound it from below, by 2^-14: the channel is as good as constant.")


def _subnormal(view: GraphView, _target: Target) -> Iterator[Fault]:
    for node in view.pairs():
        scale = view.scale(node)
        if scale is None:
            continue
        halves = np.abs(scale.astype(np.float64)).astype(np.float16)
        if ((halves > 0) & (halves < LEAST_NORMAL_HALF)).any():
            text = f"a scale of {float(scale.min()):.3g}, of which FP16 keeps a few bits"
            yield Fault(view.label(node), text, "Bound it from below, by 2^-14.")


def _half_opset(view: GraphView, _target: Target) -> Iterator[Fault]:
    if view.opset >= LEAST_HALF_OPSET:
        return
    for node in view.pairs():
        halves = [name for name in (*node.input, *node.output) if view.type_of(name) == "float16"]
        if halves:
            found = f"{node.op_type} on float16 ({', '.join(halves)}) in opset {view.opset}"
            yield Fault(view.label(node), found, f"Export with opset {LEAST_HALF_OPSET} or above.")


def _per_channel(view: GraphView, _target: Target) -> Iterator[Fault]:
    for node in view.nodes:
        if node.op_type != "Conv" or (source := _weights(view, node)) is None:
            continue
        scale, sizes = view.scale(source), view.shape_of(source.input[0])
        if scale is not None and scale.size == 1 and sizes and (sizes[0] or 0) > 1:
            found = f"one scale for {sizes[0]} output channels"
            yield Fault(view.label(node), found, "Quantise weights per output channel: it costs nothing.")


def _weight_axis(view: GraphView, _target: Target) -> Iterator[Fault]:
    for node in view.nodes:
        if node.op_type != "Conv" or (source := _weights(view, node)) is None:
            continue
        scale = view.scale(source)
        axis = view.attribute(source, "axis", 1)
        if scale is not None and scale.size > 1 and axis != 0:
            yield Fault(view.label(node), f"weights with scales along axis {axis}", "Their output channels are axis 0.")


def _per_tensor(view: GraphView, _target: Target) -> Iterator[Fault]:
    for node in view.pairs():
        scale = view.scale(node)
        if scale is not None and scale.size > 1 and not view.of_weights(node):
            found = f"{scale.size} scales for an activation"
            yield Fault(view.label(node), found, "Activations have one scale; only weights have one per channel.")


def _bias(view: GraphView, _target: Target) -> Iterator[Fault]:
    for node in view.nodes:
        bias = view.input(node, 2) if node.op_type in ("Conv", "ConvTranspose", "Gemm") else ""
        if not bias:
            continue
        if (source := view.dequantised(bias)) is not None:
            kind = view.type_of(source.input[0])
            yield Fault(view.label(node), f"a quantised bias ({kind})", f"A bias stays in float. {_EXPORT}")


def _quantised_head(view: GraphView, _target: Target) -> Iterator[Fault]:
    """From ArgMax back through all that moves, sums or upsamples class scores."""
    for decision in view.nodes:
        if decision.op_type != "ArgMax":
            continue
        sizes = view.shape_of(decision.input[0]) or ()
        axis = view.attribute(decision, "axis", 0)
        classes = sizes[axis] if -len(sizes) <= axis < len(sizes) else None
        waiting, seen = [decision.input[0]], set[str]()
        while waiting:
            tensor = waiting.pop()
            node = view.producer(tensor)
            if tensor in seen or node is None:
                continue
            seen.add(tensor)
            if node.op_type == DQ:
                yield Fault(view.label(node), "class scores are quantised", "Leave the head in float: it decides.")
            elif node.op_type not in _WEIGHTED:
                waiting.extend(name for name in node.input if name and not view.is_constant(name))
            else:
                if _weights(view, node) is not None:
                    yield Fault(view.label(node), "INT8 weights make the class scores", "Leave the head in float.")
                before = view.shape_of(node.input[0]) or ()
                if classes and len(before) > 1 and before[1] == classes:
                    waiting.append(node.input[0])


def _quantised_transposed(view: GraphView, _target: Target) -> Iterator[Fault]:
    for node in view.nodes:
        if node.op_type == "ConvTranspose" and any(view.dequantised(name) for name in node.input):
            advice = "Keep it in float, or let edgeseg export write it as a convolution and DepthToSpace."
            yield Fault(view.label(node), "a quantised transposed convolution, whose axis is disputed", advice)


def _residual(view: GraphView, _target: Target) -> Iterator[Fault]:
    for node in view.nodes:
        if node.op_type != "Add":
            continue
        quantised = [name for name in node.input if (source := view.dequantised(name)) and not view.of_weights(source)]
        if len(quantised) > 1:
            found = "both branches of a sum are quantised"
            yield Fault(view.label(node), found, "Quantise the skip alone: the convolution takes the sum in.")


def _weights(view: GraphView, node: NodeProto) -> NodeProto | None:
    """The DQ of constants that the node's second input comes from."""
    source = view.dequantised(view.input(node, 1))
    return source if source is not None and view.of_weights(source) else None


def _is_bias(view: GraphView, node: NodeProto) -> bool:
    """Whether a DQ makes a bias, of which there is a rule of its own."""
    return any(
        reader.op_type in _WEIGHTED and node.output[0] in list(reader.input)[2:]
        for reader in view.readers(node.output[0])
    )


RULES = (
    Rule("zero-point", ERROR, "TensorRT quantises around zero", _zero_point),
    Rule("signed-int8", ERROR, "on a GPU quantised tensors are signed", _signed),
    Rule("scale-positive", ERROR, "a scale of 0, also after rounding to FP16, divides by zero", _scale),
    Rule("scale-normal", WARNING, "below 2^-14 FP16 has fewer than 11 bits", _subnormal),
    Rule("half-int8-opset", ERROR, "before opset 19 Q and DQ take float32 only", _half_opset),
    Rule("weights-per-channel", WARNING, "one scale for all channels wastes bits of most", _per_channel),
    Rule("weights-axis", ERROR, "a convolution's output channels are axis 0 of its weights", _weight_axis),
    Rule("activations-per-tensor", ERROR, "TensorRT has scales per channel for weights only", _per_tensor),
    Rule("bias-float", ERROR, "TensorRT has no int32 to dequantise, and quantises the bias itself", _bias),
    Rule("quantised-head", WARNING, "the class scores decide, and cost little", _quantised_head),
    Rule(
        "quantised-transposed-conv", WARNING, "NVIDIA's tools disagree on the axis of its scales", _quantised_transposed
    ),
    Rule("residual-one-branch", WARNING, "a convolution takes in a sum whose other branch alone is INT8", _residual),
)
