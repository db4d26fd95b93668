"""Rules about operators: which there are, in which opset, with which settings.

Settings are those of the restrictions in onnx-tensorrt's `docs/operators.md` and of the checks in its
`builtin_op_static_checkers.cpp`, unless a rule says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgeseg.engine.lint.finding import ERROR, GRAPH, WARNING, Fault, Rule
from edgeseg.engine.lint.tables import NEWEST_LIST, Support, support, supported_since
from edgeseg.engine.lint.target import Target
from edgeseg.engine.lint.view import GraphView
from edgeseg.engine.versions import opset_ceiling

_STANDARD = ("", "ai.onnx")
_LOOKED_AT_APART = ("MaxUnpool",)
"""Unsupported operators with a rule, and an advice, of their own."""

_REDUCE: tuple[str, int, tuple[int, int] | None] = ("axes", 1, None)
_CONSTANT_INPUTS: dict[str, tuple[str, int, tuple[int, int] | None]] = {
    "CumSum": ("axis", 1, (10, 8)),
    "Slice": ("axes", 3, (10, 3)),
    "Squeeze": ("axes", 1, (10, 7)),
    "Unsqueeze": ("axes", 1, (10, 7)),
    "OneHot": ("depth", 1, None),
}
"""Operator → input that must be known at build time, its place, and the release from which on it need not."""

_COORDINATES = ("half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners")
_NEAREST = ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")


def _opset(view: GraphView, target: Target) -> Iterator[Fault]:
    ceiling = opset_ceiling(target.version)
    if view.opset > ceiling:
        yield Fault(GRAPH, f"opset {view.opset}", f"{target} reads up to {ceiling}: export with that, or update.")


def _known(view: GraphView, _target: Target) -> Iterator[Fault]:
    from onnx import defs

    functions = {(function.domain, function.name) for function in view.model.functions}
    standard = {schema.name for schema in defs.get_all_schemas()} | {"ImageScaler", "ParametricSoftplus", "ScaledTanh"}
    for node in view.every_node():
        if (node.domain, node.op_type) in functions:
            continue
        if node.domain not in _STANDARD:
            found = f"{node.domain}.{node.op_type}, which is no ONNX operator"
            yield Fault(view.label(node), found, "TensorRT needs a plugin for it, and edgeseg loads none: replace it.")
        elif node.op_type not in standard:
            yield Fault(view.label(node), f"{node.op_type}, which is no ONNX operator", "Replace it.")


def _supported(view: GraphView, target: Target) -> Iterator[Fault]:
    for node in view.every_node():
        if node.domain not in _STANDARD or node.op_type in _LOOKED_AT_APART:
            continue
        if support(node.op_type, _release(target)) is Support.NO:
            since = supported_since(node.op_type)
            advice = f"TensorRT has it from {since[0]}.{since[1]} on." if since else "Say it in operators that it has."
            yield Fault(view.label(node), f"{node.op_type}, which {target} does not import", advice)


def _listed(view: GraphView, target: Target) -> Iterator[Fault]:
    for node in view.every_node():
        if node.domain not in _STANDARD or node.op_type in _LOOKED_AT_APART:
            continue
        known = support(node.op_type, _release(target))
        if known is Support.NOT_LISTED:
            yield Fault(view.label(node), f"{node.op_type} is not in our table for {target}", "Build it and see.")
        elif known is Support.NO_LONGER_KNOWN:
            newest = ".".join(map(str, NEWEST_LIST))
            found = f"{node.op_type}, which {newest} did not import; no later list was read"
            yield Fault(view.label(node), found, "Build it and see, or say it in other operators.")


def _max_unpool(view: GraphView, _target: Target) -> Iterator[Fault]:
    for node in view.every_node():
        if node.op_type == "MaxUnpool":
            advice = "edgeseg.models.unpooling says the same for 2x2 in operators that TensorRT has."
            yield Fault(view.label(node), "MaxUnpool, which no TensorRT imports", advice)


def _pooling_indices(view: GraphView, _target: Target) -> Iterator[Fault]:
    for node in view.every_node():
        if node.op_type == "MaxPool" and len(node.output) > 1:
            found = f"a second output, {node.output[1] or 'unnamed'}: the indices of the maxima"
            yield Fault(view.label(node), found, "Remove the output; unpool with edgeseg.models.unpooling.")


def _pooling_dilations(view: GraphView, _target: Target) -> Iterator[Fault]:
    for node in view.every_node():
        if node.op_type in ("MaxPool", "AveragePool", "LpPool"):
            dilations = view.attribute(node, "dilations", [])
            if any(step != 1 for step in dilations):
                yield Fault(view.label(node), f"pooling with dilations {list(dilations)}", "TensorRT pools without.")


def _resize(view: GraphView, _target: Target) -> Iterator[Fault]:
    for node in view.every_node():
        if node.op_type != "Resize":
            continue
        name = view.label(node)
        mode = view.attribute(node, "mode", "nearest")
        coordinates = view.attribute(node, "coordinate_transformation_mode", "half_pixel")
        rounding = view.attribute(node, "nearest_mode", "round_prefer_floor")
        policy = view.attribute(node, "keep_aspect_ratio_policy", "stretch")
        if mode not in ("nearest", "linear", "cubic"):
            yield Fault(name, f"mode {mode}", "Take nearest or linear.")
        if coordinates not in _COORDINATES:
            yield Fault(name, f"coordinate_transformation_mode {coordinates}", f"Take {', '.join(_COORDINATES)}.")
        if mode == "nearest" and rounding not in _NEAREST:
            yield Fault(name, f"nearest_mode {rounding}", f"Take {', '.join(_NEAREST)}.")
        if coordinates == "tf_half_pixel_for_nn" and rounding != "round_prefer_floor":
            yield Fault(name, f"tf_half_pixel_for_nn with {rounding}", "Take round_prefer_floor with it.")
        if view.attribute(node, "antialias", 0):
            yield Fault(name, "antialias", "TensorRT has none: train and export with antialias=False.")
        if policy != "stretch":
            yield Fault(name, f"keep_aspect_ratio_policy {policy}", "TensorRT stretches only: compute the size before.")


def _resize_cubic(view: GraphView, _target: Target) -> Iterator[Fault]:
    for node in view.every_node():
        if node.op_type == "Resize" and view.attribute(node, "mode", "nearest") == "cubic":
            found = "mode cubic, which the parser reads but its list of operators does not name"
            yield Fault(view.label(node), found, "Take linear, or compare the engine's output.")


def _resize_sizes(view: GraphView, _target: Target) -> Iterator[Fault]:
    if any(None in (view.shape_of(value.name) or ()) for value in view.inputs):
        return  # there, sizes have to be computed
    for node in view.nodes:
        given = [name for name in list(node.input)[2:4] if name]
        if node.op_type == "Resize" and not all(map(view.is_constant, given)):
            yield Fault(view.label(node), "a size that is computed", "Write it as a constant: fold constants.")


def _constant_inputs(view: GraphView, target: Target) -> Iterator[Fault]:
    for node in view.nodes:
        what, index, until = _CONSTANT_INPUTS.get(node.op_type, _REDUCE if _reduces(node.op_type) else ("", 0, None))
        name = view.input(node, index)
        if not what or not name or view.is_constant(name) or (until is not None and target.at_least(*until)):
            continue
        found = f"{what} of {node.op_type} are computed, by {name}"
        yield Fault(view.label(node), found, "TensorRT needs them when it builds: fold constants.")


def _reduces(operator: str) -> bool:
    return operator.startswith("Reduce")


def _transposed_output_shape(view: GraphView, _target: Target) -> Iterator[Fault]:
    for node in view.every_node():
        if node.op_type == "ConvTranspose" and view.attribute(node, "output_shape", None) is not None:
            found = f"output_shape {list(view.attribute(node, 'output_shape', []))}"
            advice = (
                "Write pads and output_padding=0, and crop after it: TensorRT and ONNX Runtime read it differently."
            )
            yield Fault(view.label(node), found, advice)


def _transposed_padding(view: GraphView, _target: Target) -> Iterator[Fault]:
    for node in view.every_node():
        if node.op_type != "ConvTranspose":
            continue
        extra = view.attribute(node, "output_padding", [])
        auto = view.attribute(node, "auto_pad", "NOTSET")
        if any(extra):
            yield Fault(view.label(node), f"output_padding {list(extra)}", "Crop after it instead, and compare.")
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            yield Fault(view.label(node), f"auto_pad {auto}", "Write the pads as numbers, and compare.")


def _release(target: Target) -> tuple[int, int]:
    return target.version.major, target.version.minor


RULES = (
    Rule("opset-ceiling", ERROR, "each parser reads ONNX up to one opset", _opset),
    Rule("known-operator", ERROR, "what ONNX does not define needs a plugin", _known),
    Rule("operator-supported", ERROR, "the parser of that release does not import it", _supported),
    Rule("operator-listed", WARNING, "our tables do not say whether that release imports it", _listed),
    Rule("constant-input", ERROR, "some inputs have to be known when the engine is built", _constant_inputs),
    Rule("max-unpool", ERROR, "no release imports MaxUnpool", _max_unpool),
    Rule("pooling-indices", ERROR, "MaxPool has one output in TensorRT", _pooling_indices),
    Rule("pooling-dilations", ERROR, "pooling has no dilation in TensorRT", _pooling_dilations),
    Rule("resize-settings", ERROR, "not all ways of resizing exist in TensorRT", _resize),
    Rule("resize-cubic", WARNING, "cubic is read but not listed", _resize_cubic),
    Rule("resize-sizes", WARNING, "a constant size needs no shape tensors", _resize_sizes),
    Rule(
        "transposed-conv-output-shape",
        ERROR,
        "TensorRT and ONNX Runtime compute different pads from it (onnx-tensorrt issue 1042)",
        _transposed_output_shape,
    ),
    Rule(
        "transposed-conv-padding",
        WARNING,
        "output_padding=0 and explicit pads are what backends agree on (onnxruntime issue 25210)",
        _transposed_padding,
    ),
)
