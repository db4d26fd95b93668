"""Where two rungs of the parity ladder part: the first tensor, in the order of computation, that is off.

PyTorch's exporter names a tensor of the graph after the node of the exported program that computes it, and the FP16
pass keeps names. So tensors of the same name and shape are the same tensor, and can be compared one by one, which tells
a broken layer from one that only receives what an earlier one broke.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto

from edgeseg.graph.observe import Observer, inner_floats
from edgeseg.graph.rounding import emulate_fp16
from edgeseg.types import Frame

MAX_ERROR = {"fp32": 1e-4, "fp16": 3e-2, "int8-cpu": 1.0, "int8-trt": 1.0}
"""Precision → error of a tensor, relative to its largest value, beyond which it counts as parted. Float32 stays below
1e-5 through a hundred layers, float16 (11 bits) below 1e-2. In a sound INT8 graph single values are off by a third, so
only one that is off by the whole is sure; for the others the growth of the error tells."""

_NOISE = {"fp32": 2.0**-24, "fp16": 2.0**-11, "int8-cpu": 1 / 255, "int8-trt": 1 / 127}
"""Unit roundoff: growth of an error is measured from here on, so that exact inputs do not count as infinite growth."""

_STEEPEST = 5

_MOVES = frozenset({"Reshape", "DepthToSpace", "Slice", "Transpose", "Squeeze", "Unsqueeze", "Identity"})
"""Operators that put values elsewhere and compute none. A rewritten layer ends in some: a transposed convolution is a
Conv, laid out anew."""


@dataclass(frozen=True, slots=True)
class LayerError:
    """One tensor, and how far apart the two rungs are there."""

    tensor: str
    operator: str
    """What computed its values, in that layer; what only moves them is looked through."""
    layer: str
    """The module of the network, as PyTorch names it."""
    shape: tuple[int, ...]
    error: float
    """Largest difference over the largest value of the reference; infinite for NaN and overflow."""
    incoming: float
    """The same for the worst of its inputs."""
    growth: float
    """error / incoming, with incoming at least the unit roundoff."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data; what is infinite is None."""
        values = asdict(self)
        return {
            name: None if isinstance(value, float) and not np.isfinite(value) else value
            for name, value in values.items()
        }


@dataclass(frozen=True, slots=True)
class Divergence:
    """What a walk through the graph found."""

    reference: str
    candidate: str
    limit: float
    compared: int
    """Number of tensors that both rungs have."""
    first: LayerError | None
    """The first beyond the limit; None if all stay below it."""
    steepest: tuple[LayerError, ...]
    """Where the error grows most, steepest first: the suspects when it creeps up."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "reference": self.reference,
            "candidate": self.candidate,
            "limit": self.limit,
            "compared": self.compared,
            "first": self.first.to_dict() if self.first else None,
            "steepest": [layer.to_dict() for layer in self.steepest],
        }


def locate_fp16(fp32: ModelProto, fp16: ModelProto, frame_bgr: Frame) -> Divergence:
    """Compare an FP32 graph with the FP16 graph made from it, as a GPU would compute it."""
    emulated = emulate_fp16(fp16)
    common = [name for name in inner_floats(fp32) if name in set(inner_floats(emulated))]
    reference = Observer(fp32, common)(frame_bgr)
    found = Observer(emulated, common)(frame_bgr)
    errors = {name: relative_error(reference[name], found[name]) for name in common}
    return divergence("onnx-fp32", "fp16", fp16, errors)


def locate_int8(fp32: ModelProto, int8: ModelProto, precision: str, frame_bgr: Frame) -> Divergence:
    """Compare an FP32 graph with the INT8 graph made from it, as it is written."""
    common = [name for name in inner_floats(fp32) if name in set(inner_floats(int8))]
    reference = Observer(fp32, common)(frame_bgr)
    found = Observer(int8, common, optimised=False)(frame_bgr)
    # Tensors that one of the dialects has laid out otherwise are not the same tensor.
    errors = {
        name: relative_error(reference[name], found[name])
        for name in common
        if reference[name].shape == found[name].shape
    }
    return divergence("onnx-fp32", precision, fp32, errors)


def relative_error(reference: NDArray[Any], found: NDArray[Any]) -> float:
    """Largest difference over the largest value of `reference`; infinite where `found` has a NaN or an infinity."""
    truth = reference.astype(np.float32)
    with np.errstate(invalid="ignore"):
        difference = float(np.abs(found.astype(np.float32) - truth).max(initial=0))
    if not np.isfinite(difference):
        return float("inf")
    return difference / max(float(np.abs(truth).max(initial=0)), 1e-12)


def divergence(reference: str, precision: str, model: ModelProto, errors: Mapping[str, float]) -> Divergence:
    """Judge the errors (tensor of `model` → relative error) in the order of computation."""
    layers = list(_layers(model, errors, _NOISE[precision]))
    limit = MAX_ERROR[precision]
    return Divergence(
        reference=reference,
        candidate=f"onnx-{precision}",
        limit=limit,
        compared=len(errors),
        first=next((layer for layer in layers if layer.error > limit), None),
        steepest=tuple(sorted(layers, key=lambda layer: -layer.growth)[:_STEEPEST]),
    )


def _layers(model: ModelProto, errors: Mapping[str, float], noise: float) -> Iterator[LayerError]:
    """The compared tensors in topological order, each with the error that came in."""
    shapes = {
        value.name: tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)
        for value in model.graph.value_info
    }
    # A tensor without a partner (a cast, or a layer that was folded away) passes on what its own inputs brought.
    carried: dict[str, float] = {}
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type == "ArgMax":
            return  # what follows are class ids, which jump
        incoming = max((carried.get(name, 0.0) for name in node.input), default=0.0)
        for name in node.output:
            carried[name] = errors.get(name, incoming)
            if name in errors:
                growth = errors[name] / max(incoming, noise)
                shape = shapes.get(name, ())
                operator = _computing(node, makers).op_type
                yield LayerError(name, operator, module_of(node), shape, errors[name], incoming, growth)


def _computing(node: NodeProto, makers: Mapping[str, NodeProto]) -> NodeProto:
    """The node of the same layer whose values this one moves; itself where it computes some."""
    before = makers.get(node.input[0]) if node.op_type in _MOVES else None
    return _computing(before, makers) if before is not None and module_of(before) == module_of(node) else node


def module_of(node: NodeProto) -> str:
    """The module that a node comes from: that of its weights, else what the exporter noted."""
    weights = [name for name in node.input[1:] if name.startswith("network.")]
    if weights:
        return str(weights[0]).removesuffix(".fp16").rpartition(".")[0].removeprefix("network.")
    for entry in node.metadata_props:
        if entry.key == "pkg.torch.onnx.name_scopes":
            scopes: list[str] = ast.literal_eval(entry.value)
            return (
                scopes[-2].removeprefix("network.") if len(scopes) > 1 and scopes[-2] else "(sealed input and output)"
            )
    return "(unknown)"
