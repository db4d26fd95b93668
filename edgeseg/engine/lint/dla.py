"""What the DLA of an Orin takes, and what falls back to the GPU.

Sources: NVIDIA, "DLA Supported Layers and Restrictions" and "Working with DLA" (TensorRT documentation, 8.6 to 11.4.1);
for Resize also the notes on `IResizeLayer` in the Python API.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from edgeseg.engine.lint.finding import ERROR, GRAPH, WARNING, Fault, Rule
from edgeseg.engine.lint.shapes import open_inputs
from edgeseg.engine.lint.tables import DLA_OPERATORS
from edgeseg.engine.lint.target import Target
from edgeseg.engine.lint.view import DQ, GraphView, Q
from edgeseg.engine.versions import dla_refusal

if TYPE_CHECKING:
    from onnx import NodeProto

MOST_SIZE = 8192
"""Largest size but the batch's."""
MOST_SOFTMAX = 1024
_POOLED, _CONVOLVED = 8, 32
"""Largest windows of pooling and of convolution."""
_SLOW_SQUARES = range(23, 33)
"""Square kernels and strides of transposed convolutions that TensorRT keeps off a DLA: they take long to build."""

_IN_HALF = "A DLA computes in FP16 and INT8: take the FP16 graph, or up to 10.7 FP32 with a calibration cache."
_FALLS_BACK = "It runs on the GPU; each change of processor copies."


def _offered(_view: GraphView, target: Target) -> Iterator[Fault]:
    refusal = dla_refusal(target.version) if target.dla else None
    if refusal is not None:
        found, _, advice = refusal.partition(": ")
        yield Fault(GRAPH, found, advice)


def _sizes(view: GraphView, target: Target) -> Iterator[Fault]:
    if target.dla and not target.one_size:
        advice = "A DLA takes one size: export with --camera-size, or name the same one three times in [engine]."
        yield from (fault._replace(advice=advice) for fault in open_inputs(view))


def _float32(view: GraphView, target: Target) -> Iterator[Fault]:
    if not target.dla:
        return
    single = [node for node in view.nodes if any(view.type_of(name) == "float32" for name in node.output)]
    if single:
        found = f"{len(single)} of {len(view.nodes)} nodes compute in float32, {view.label(single[0])} first"
        yield Fault(GRAPH, found, _IN_HALF)


def _layers(view: GraphView, target: Target) -> Iterator[Fault]:
    if not target.dla:
        return
    for node in view.nodes:
        if _about_sizes(view, node):
            continue
        reason = _why_not(view, node)
        if reason:
            yield Fault(view.label(node), reason, _FALLS_BACK)


def _about_sizes(view: GraphView, node: NodeProto) -> bool:
    """Whether it only computes with sizes, which TensorRT does on the host."""
    return all(
        (view.type_of(name) or "").startswith("int") and len(view.shape_of(name) or (0, 0)) <= 1 for name in node.output
    )


def _why_not(view: GraphView, node: NodeProto) -> str | None:
    """Why the node cannot run on a DLA, None if nothing is known to forbid it."""
    if node.op_type in (Q, DQ):
        return f"{node.op_type}: a DLA has no explicit quantisation"
    if node.op_type not in DLA_OPERATORS:
        return f"{node.op_type} is no layer of a DLA"
    for name in (*node.input, *node.output):
        if any((size or 0) > MOST_SIZE for size in (view.shape_of(name) or ())[1:]) and not view.is_constant(name):
            return f"{node.op_type} of a tensor with a size above {MOST_SIZE}"
    check = _CHECKS.get(node.op_type)
    problem = None if check is None else next(check(view, node), None)
    return None if problem is None else f"{node.op_type} {problem}"


def _conv(view: GraphView, node: NodeProto) -> Iterator[str]:
    kernel, pads, strides, dilations, _groups = _window(view, node)
    if len(kernel) != 2:
        yield "that is not 2D"
    yield from _outside("kernel", kernel, 1, _CONVOLVED)
    yield from _outside("pads", pads, 0, 31)
    yield from _outside("strides", strides, 1, 8)
    yield from _outside("dilations", dilations, 1, 32)


def _transposed(view: GraphView, node: NodeProto) -> Iterator[str]:
    kernel, pads, strides, dilations, groups = _window(view, node)
    if len(kernel) != 2:
        yield "that is not 2D"
    yield from _outside("kernel", kernel, 1, _CONVOLVED)
    yield from _outside("strides", strides, 1, _CONVOLVED)
    if any(len(set(each)) == 1 and each[0] in _SLOW_SQUARES for each in (kernel, strides)):
        yield f"with a square kernel {list(kernel)} or stride {list(strides)} from 23 to 32"
    if any(pads):
        yield f"with pads {list(pads)}, only 0 is taken"
    if groups != 1 or any(step != 1 for step in dilations):
        yield f"with groups {groups} and dilations {list(dilations)}, only 1 is taken"


def _pool(view: GraphView, node: NodeProto) -> Iterator[str]:
    kernel, pads, strides, _dilations, _groups = _window(view, node)
    yield from _outside("window", kernel, 1, _POOLED)
    yield from _outside("pads", pads, 0, 7)
    yield from _outside("strides", strides, 1, 16)


def _concat(view: GraphView, node: NodeProto) -> Iterator[str]:
    rank = len(view.shape_of(node.output[0]) or (0, 0, 0, 0))
    if view.attribute(node, "axis", 1) % rank != 1:
        yield "along another axis than the channels"


def _resize(view: GraphView, node: NodeProto) -> Iterator[str]:
    mode = view.attribute(node, "mode", "nearest")
    coordinates = view.attribute(node, "coordinate_transformation_mode", "half_pixel")
    rounding = view.attribute(node, "nearest_mode", "round_prefer_floor")
    if mode == "nearest":
        if not (coordinates == "half_pixel" and rounding.startswith("round_prefer")) and not (
            coordinates == "asymmetric" and rounding == "floor"
        ):
            yield f"with {coordinates} and {rounding}"
    elif coordinates != "half_pixel":
        yield f"{mode} with {coordinates}, only half_pixel is taken"
    before, after = view.shape_of(node.input[0]) or (), view.shape_of(node.output[0]) or ()
    most = 32 if mode == "nearest" else 4
    for old, new in zip(before[2:], after[2:], strict=False):
        if not old or not new:
            yield f"{mode} to or from a size that is open"
            return
        if new % old or not 1 <= new // old <= most:
            yield f"{mode} of {old} to {new} pixels, only whole factors from 1 to {most} are taken"
            return


def _slice(view: GraphView, node: NodeProto) -> Iterator[str]:
    if not all(view.is_constant(name) for name in list(node.input)[1:] if name):
        yield "with computed bounds"
    axes = view.constant(view.input(node, 3))
    if axes is not None and 0 in axes.tolist():
        yield "of the batch"


def _softmax(view: GraphView, node: NodeProto) -> Iterator[str]:
    sizes = view.shape_of(node.input[0]) or ()
    axis = view.attribute(node, "axis", -1)
    if sizes and (sizes[axis] or 0) > MOST_SOFTMAX:
        yield f"over {sizes[axis]} values, at most {MOST_SOFTMAX} are taken"


def _shuffle(view: GraphView, node: NodeProto) -> Iterator[str]:
    before, after = view.shape_of(node.input[0]), view.shape_of(node.output[0])
    if before is None or after is None or len(before) != 4 or len(after) != 4:
        yield "of other than four dimensions"
    elif before[0] != after[0] or (node.op_type == "Transpose" and view.attribute(node, "perm", [0])[0] != 0):
        yield "that moves the batch"


def _clip(view: GraphView, node: NodeProto) -> Iterator[str]:
    low, high = (view.constant(view.input(node, index)) for index in (1, 2))
    if low is None or high is None or float(low.ravel()[0]) != 0 or not 1 <= float(high.ravel()[0]) <= 127:
        yield "other than from 0 to a constant of 1 to 127"


def _constant_right(view: GraphView, node: NodeProto) -> Iterator[str]:
    if not view.is_constant(view.input(node, 1)):
        yield "by something that is not constant"


_CHECKS: dict[str, Callable[[GraphView, NodeProto], Iterator[str]]] = {
    "Conv": _conv,
    "ConvTranspose": _transposed,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "Concat": _concat,
    "Resize": _resize,
    "Slice": _slice,
    "Softmax": _softmax,
    "Reshape": _shuffle,
    "Transpose": _shuffle,
    "Clip": _clip,
    "Gemm": _constant_right,
    "MatMul": _constant_right,
}


def _window(view: GraphView, node: NodeProto) -> tuple[Sequence[int], Sequence[int], Sequence[int], Sequence[int], int]:
    """Kernel, pads, strides, dilations and groups."""
    weights = view.shape_of(view.input(node, 1)) if node.op_type.startswith("Conv") else None
    kernel = view.attribute(node, "kernel_shape", [size or 0 for size in (weights or ())[2:]])
    ones = [1] * len(kernel)
    return (
        kernel,
        view.attribute(node, "pads", [0] * (2 * len(kernel))),
        view.attribute(node, "strides", ones),
        view.attribute(node, "dilations", ones),
        view.attribute(node, "group", 1),
    )


def _outside(what: str, values: Sequence[int], least: int, most: int) -> Iterator[str]:
    if any(not least <= value <= most for value in values):
        yield f"with {what} {list(values)}, {least} to {most} are taken"


RULES = (
    Rule("dla-offered", ERROR, "TensorRT 10.8 to 11.4.0 have no DLA on a Jetson", _offered),
    Rule("dla-fixed-size", ERROR, "a DLA has no dynamic shapes", _sizes),
    Rule("dla-half", WARNING, "a DLA computes in FP16 and INT8", _float32),
    Rule("dla-layer", WARNING, "layers that a DLA lacks run on the GPU", _layers),
)
