"""Rules about element types and where the data lies.

Sources: the notes on types in onnx-tensorrt's `docs/operators.md` (uint8 at the edge only, DOUBLE cast down), NVIDIA's
documentation of strongly typed networks.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgeseg.engine.lint.finding import ERROR, GRAPH, WARNING, Fault, Rule
from edgeseg.engine.lint.target import Target
from edgeseg.engine.lint.view import DQ, GraphView, Q

_FLOATS = ("float32", "float16", "bfloat16")

_TAKEN = ("float32", "float16", "bfloat16", "int32", "int64", "int8", "bool", "uint8")
"""Types that tensors have in TensorRT from 10.0 on, apart from those that only quantisation makes (int4, float8)."""
_QUANTISED = ("int4", "float8e4m3fn", "float4e2m1")

_MAY_MIX = ("Cast", "CastLike", "Resize", Q, DQ)
"""Operators whose float inputs and outputs may differ in type. Resize takes its scales as float32 always."""


def _uint8_inside(view: GraphView, _target: Target) -> Iterator[Fault]:
    edge = {value.name for value in (*view.inputs, *view.outputs)}
    for node in view.nodes:
        if node.op_type in (Q, DQ):
            continue  # the rules of quantisation say it better
        found = [name for name in (*node.input, *node.output) if view.type_of(name) == "uint8"]
        inside = [name for name in found if name not in edge] if node.op_type == "Cast" else found
        between = [name for name in inside if view.producer(name, Q) is None]
        if between:
            advice = "Cast a uint8 input to float first, and to uint8 last, at the output."
            yield Fault(view.label(node), f"{node.op_type} on uint8 ({', '.join(between)})", advice)


def _uint8_cast(view: GraphView, _target: Target) -> Iterator[Fault]:
    for node in view.nodes:
        if node.op_type != "Cast" or view.type_of(node.output[0]) != "uint8":
            continue
        before = view.type_of(node.input[0])
        if before is not None and before not in ("float32", "float16"):
            maker = view.producer(node.input[0])
            source = f"of {maker.op_type}'s {before}" if maker is not None else f"of {before}"
            yield Fault(view.label(node), f"a Cast {source} to uint8", "Cast to float first: ArgMax, Cast, Cast.")


def _mixed(view: GraphView, target: Target) -> Iterator[Fault]:
    may_mix = (*_MAY_MIX, "BatchNormalization") if target.at_least(10, 7) else _MAY_MIX
    for node in view.nodes:
        if node.op_type in may_mix or node.op_type == "Constant":
            continue
        floats = sorted({kind for name in node.input if (kind := view.type_of(name)) in _FLOATS})
        if len(floats) > 1:
            found = f"{node.op_type} of {' and '.join(floats)}"
            yield Fault(
                view.label(node), found, "Networks are strongly typed: add a Cast, or convert with edgeseg export."
            )


def _unsupported(view: GraphView, _target: Target) -> Iterator[Fault]:
    for tensor, kind, node in _every_type(view):
        if kind not in (*_TAKEN, *_QUANTISED, "float64"):
            yield Fault(node, f"{tensor} is {kind}", "TensorRT has no such type: cast it, or leave it out.")


def _double(view: GraphView, _target: Target) -> Iterator[Fault]:
    for tensor, kind, node in _every_type(view):
        if kind == "float64":
            yield Fault(node, f"{tensor} is float64", "TensorRT makes float32 of it: export float32, and compare.")


def _external(view: GraphView, _target: Target) -> Iterator[Fault]:
    from onnx import TensorProto

    outside = [name for name, tensor in view.initializers.items() if tensor.data_location == TensorProto.EXTERNAL]
    if outside:
        found = f"{len(outside)} constants outside the file, {outside[0]} first"
        yield Fault(GRAPH, found, "Save it as one file: onnx.save(onnx.load(FILE), NEW), save_as_external_data off.")


def _every_type(view: GraphView) -> Iterator[tuple[str, str, str]]:
    """Tensor, type and the node that writes it or reads it first."""
    seen = set()
    for node in view.nodes:
        for name in (*node.input, *node.output):
            kind = view.type_of(name)
            if kind is not None and name not in seen:
                seen.add(name)
                yield name, kind, view.label(node)


RULES = (
    Rule("uint8-inside", ERROR, "uint8 is for inputs and outputs of the network only", _uint8_inside),
    Rule("uint8-from-float", ERROR, "to uint8 TensorRT casts from float only", _uint8_cast),
    Rule("mixed-types", ERROR, "a strongly typed network casts nothing by itself", _mixed),
    Rule("unsupported-type", ERROR, "TensorRT has no such type", _unsupported),
    Rule("double", WARNING, "float64 is cast down to float32", _double),
    Rule("external-data", ERROR, "edgeseg hands the parser one file, whose hash it knows", _external),
)
