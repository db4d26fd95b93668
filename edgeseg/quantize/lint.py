"""The rules of each INT8 dialect, proven on the written graph: what the plan was does not matter to a device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from edgeseg.errors import ConfigError, GateError
from edgeseg.graph.contract import FRAME, LABELS, LOGITS
from edgeseg.graph.lint import check_sealed, tensor_types
from edgeseg.quantize.placement import ABSORBED, CARRIED, CPU, TRT

LEAST_OPSET = 19
"""From here on QuantizeLinear and DequantizeLinear take FP16 scales."""

LEAST_SCALE = {np.dtype(np.float16): 2.0**-14, np.dtype(np.float32): 2.0**-126}
"""Smallest normal number of each type (IEEE 754): a scale below it has lost bits, and may count as zero."""

_MOST_SATURATED = 0.05
"""Share of a layer's weights at ±127, one per channel apart, above which a scale must have cut them off."""
_VARIED = 16
"""A layer with fewer different magnitudes may hold the largest one often: an interpolation does."""

_SAME_SCALE = 1e-5
"""Relative difference below which two scales are the same product, rounded in another order."""


def check_int8(model: ModelProto, dialect: str) -> None:
    """Raise `GateError` with everything by which a Q/DQ graph breaks the rules of `dialect` ("cpu" or "trt").

    Both: opset 19 or above; every scale a positive, normal number; a pair's Q and DQ agree; weights int8, per output
    channel, around zero, not cut off; class scores in float. CPU: unsigned activations, int32 bias of the scale input ×
    weights, integer operators between integers, bytes carried at one scale. TensorRT: zero-points 0, int8 alone, bias
    in float, sums with one quantised branch, scales that FP16 can hold, no quantised transposed convolution, and all
    that a sealed graph must be.
    """
    if dialect not in (CPU, TRT):
        raise ConfigError(f"dialect {dialect!r}: expected {CPU} or {TRT}.")
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GateError(f"the graph is not valid ONNX: {' '.join(str(error).split())}") from error
    view = _View(onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True))
    rules = [_opset_problems, _scale_problems, _weight_problems, _head_problems]
    rules += [_cpu_problems] if dialect == CPU else [_trt_problems]
    problems = [problem for rule in rules for problem in rule(view)]
    if not view.convolutions:
        problems.append("no convolution has int8 weights")
    if problems:
        more = f"; and {len(problems) - _TOLD} more" if len(problems) > _TOLD else ""
        raise GateError(
            f"the graph breaks the rules of INT8 for {_NAMES[dialect]}: {'; '.join(problems[:_TOLD])}{more}."
        )


_TOLD = 12
"""Problems that a message names; a graph in the wrong dialect has hundreds of the same."""

_NAMES = {CPU: "ONNX Runtime on CPUs", TRT: "TensorRT"}


class _View:
    """A graph with look-ups; constants are read through the DQ that makes reals of them."""

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.nodes = list(model.graph.node)
        self.types = tensor_types(model)
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.producer = {name: node for node in self.nodes for name in node.output}
        self.readers: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                self.readers.setdefault(name, []).append(node)
        self.frame_bytes = {FRAME}
        """The frame, and what only moves its bytes."""
        for node in self.nodes:
            if node.op_type in CARRIED and node.input[0] in self.frame_bytes:
                self.frame_bytes.update(node.output)
        self.convolutions = [
            node for node in self.nodes if node.op_type == "Conv" and self.weights_of(node, 1) is not None
        ]

    def pairs(self) -> Iterator[NodeProto]:
        """Q and DQ nodes."""
        return (node for node in self.nodes if node.op_type in ("QuantizeLinear", "DequantizeLinear"))

    def made_by(self, tensor: str, *kinds: str) -> NodeProto | None:
        """The node that writes `tensor`, if it is of one of these kinds."""
        node = self.producer.get(tensor)
        return node if node is not None and node.op_type in kinds else None

    def weights_of(self, node: NodeProto, index: int) -> NodeProto | None:
        """The DQ of a constant that the node's input comes from."""
        source = self.made_by(node.input[index], "DequantizeLinear") if len(node.input) > index else None
        return source if source is not None and source.input[0] in self.constants else None

    def activation(self, tensor: str) -> NodeProto | None:
        """The DQ of a Q, or of the frame's own bytes, that `tensor` comes from."""
        source = self.made_by(tensor, "DequantizeLinear")
        if source is None or source.input[0] in self.frame_bytes:
            return source
        return source if self.made_by(source.input[0], "QuantizeLinear") is not None else None

    def scale(self, node: NodeProto) -> NDArray[Any]:
        """The scale of a Q or DQ."""
        return np.asarray(self.constants[node.input[1]])

    def zero_point(self, node: NodeProto) -> NDArray[Any] | None:
        """The zero-point of a Q or DQ, None where it has none."""
        return self.constants.get(node.input[2]) if len(node.input) > 2 else None

    def channels(self, tensor: str) -> int:
        """Size of axis 1, 0 if unknown."""
        for value in (*self.model.graph.value_info, *self.model.graph.output):
            if value.name == tensor and len(sizes := value.type.tensor_type.shape.dim) > 1:
                return int(sizes[1].dim_value)
        return 0

    def becomes_bytes(self, tensor: str) -> bool:
        """Whether nothing but a Q reads `tensor`, an activation in between apart."""
        after = self.readers.get(tensor, [])
        if len(after) == 1 and after[0].op_type in ABSORBED:
            after = self.readers.get(after[0].output[0], [])
        return bool(after) and all(node.op_type == "QuantizeLinear" for node in after)


def _opset_problems(view: _View) -> Iterator[str]:
    opsets = {opset.domain: opset.version for opset in view.model.opset_import}
    if set(opsets) != {""} or opsets[""] < LEAST_OPSET:
        yield f"opsets {opsets}, expected ONNX {LEAST_OPSET} or above alone"


def _scale_problems(view: _View) -> Iterator[str]:
    for node in view.pairs():
        if node.input[1] not in view.constants:
            yield f"{node.name}: its scale is computed, not constant"
            continue
        scale = view.scale(node)
        if not np.isfinite(scale).all() or (scale.astype(np.float64) < LEAST_SCALE[scale.dtype]).any():
            yield f"{node.name}: a scale of {float(scale.min()):.3g}, expected positive, normal numbers"
        before = view.made_by(node.input[0], "QuantizeLinear") if node.op_type == "DequantizeLinear" else None
        if before is not None and not _same_parameters(view, before, node):
            yield f"{node.name}: its scale or zero-point is not that of its Q"


def _same_parameters(view: _View, one: NodeProto, other: NodeProto) -> bool:
    return np.array_equal(view.scale(one), view.scale(other)) and np.array_equal(_zeros(view, one), _zeros(view, other))


def _zeros(view: _View, node: NodeProto) -> NDArray[Any]:
    values = view.zero_point(node)
    return np.zeros(1) if values is None else values


def _weight_problems(view: _View) -> Iterator[str]:
    for node in view.convolutions:
        source = view.weights_of(node, 1)
        assert source is not None  # that is how convolutions are found
        weights = view.constants[source.input[0]]
        if weights.dtype != np.int8:
            yield f"{node.name}: weights of {weights.dtype}, expected int8"
            continue
        scale = view.scale(source)
        if scale.size != len(weights) or (scale.size == 1 and scale.ndim == 0):
            yield f"{node.name}: {scale.size} scales for {len(weights)} output channels"
        elif scale.size > 1 and _axis(source) != 0:
            yield f"{node.name}: scales along axis {_axis(source)} of the weights, expected 0, the output channels"
        if _zeros(view, source).any():
            yield f"{node.name}: weights with a zero-point other than 0"
        if view.activation(node.input[0]) is None:
            yield f"{node.name}: int8 weights, but its input {node.input[0]} is not quantised"
        magnitudes = np.abs(weights.astype(np.int16))
        beyond = (np.count_nonzero(magnitudes >= 127) - len(weights)) / weights.size
        if (weights == -128).any() or (beyond > _MOST_SATURATED and len(np.unique(magnitudes)) >= _VARIED):
            yield f"{node.name}: {beyond:.0%} of its weights are cut off at ±127"


def _axis(node: NodeProto) -> int:
    return next((int(entry.i) for entry in node.attribute if entry.name == "axis"), 1)


def _head_problems(view: _View) -> Iterator[str]:
    """From the logits back through all that moves, sums or upsamples class scores there is no Q and no int8 weight."""
    classes = view.channels(LOGITS)
    waiting, seen = [LOGITS], set[str]()
    while waiting:
        tensor = waiting.pop()
        node = view.producer.get(tensor)
        if tensor in seen or node is None:
            continue
        seen.add(tensor)
        if node.op_type == "DequantizeLinear":
            yield f"class scores are quantised: {tensor}"
        elif node.op_type not in ("Conv", "ConvTranspose"):
            waiting.extend(name for name in node.input if name not in view.constants)
        else:
            if view.made_by(node.input[1], "DequantizeLinear") is not None:
                yield f"class scores are made by int8 weights: {node.name}"
            if classes and view.channels(node.input[0]) == classes:
                waiting.append(node.input[0])


def _cpu_problems(view: _View) -> Iterator[str]:
    for node in view.pairs():
        zero_point = view.zero_point(node)
        if node.input[0] in view.constants:
            continue
        if zero_point is None or zero_point.dtype != np.uint8:
            found = "uint8 without a zero-point" if zero_point is None else zero_point.dtype
            yield f"{node.name}: activations of {found}, expected uint8 with a zero-point"
    for node in view.convolutions:
        if len(node.input) > 2:
            yield from _bias_problems(view, node)
        if not view.becomes_bytes(node.output[0]):
            yield f"{node.name}: its result is not quantised, so it cannot run on integers"
    for node in view.nodes:
        inputs = [view.activation(name) for name in node.input if name not in view.constants]
        if node.op_type == "Add" and any(inputs) and not (all(inputs) and view.becomes_bytes(node.output[0])):
            yield f"{node.name}: a sum of integers and reals"
        after = view.readers.get(node.output[0], []) if node.output else []
        if node.op_type in CARRIED and inputs and inputs[0] is not None:
            for reader in after:
                if reader.op_type == "QuantizeLinear" and not _same_parameters(view, inputs[0], reader):
                    yield f"{node.name}: bytes go in at one scale and come out at another"
    yield from _byte_problems(view)


def _bias_problems(view: _View, node: NodeProto) -> Iterator[str]:
    source, weights, image = view.weights_of(node, 2), view.weights_of(node, 1), view.activation(node.input[0])
    if source is None or view.constants[source.input[0]].dtype != np.int32:
        yield f"{node.name}: a bias that is not int32"
    elif weights is not None and image is not None:
        product = view.scale(image).astype(np.float64) * view.scale(weights).astype(np.float64)
        if product.shape != view.scale(source).shape or not np.allclose(view.scale(source), product, _SAME_SCALE, 0):
            yield f"{node.name}: the bias has not the scale of input times weights"
        if _zeros(view, source).any():
            yield f"{node.name}: a bias with a zero-point other than 0"


def _byte_problems(view: _View) -> Iterator[str]:
    edge = {*view.frame_bytes, LABELS}
    for node in view.nodes:
        allowed = node.op_type in ("QuantizeLinear", "DequantizeLinear", "Cast")
        found = [name for name in (*node.input, *node.output) if view.types.get(name) == TensorProto.UINT8]
        if found and not allowed and not edge.intersection(found):
            yield f"{node.op_type} {node.name} works on uint8 ({', '.join(found)})"


def _trt_problems(view: _View) -> Iterator[str]:
    try:
        frame = view.model.graph.input[0].type.tensor_type.shape.dim
        check_sealed(view.model, dynamic=any(not size.HasField("dim_value") for size in frame))
    except GateError as error:
        yield str(error).rstrip(".")
    for node in view.pairs():
        zero_point = view.zero_point(node)
        if zero_point is None or zero_point.dtype != np.int8 or zero_point.any():
            found = "none (uint8)" if zero_point is None else f"{zero_point.dtype} {int(zero_point.max())}"
            yield f"{node.name}: zero-point {found}, expected int8 0"
        scale = view.constants.get(node.input[1])
        if scale is not None and (scale.astype(np.float64) < LEAST_SCALE[np.dtype(np.float16)]).any():
            yield f"{node.name}: a scale of {float(scale.min()):.3g}, which float16 cannot hold"
    for node in view.convolutions:
        if len(node.input) > 2 and node.input[2] not in view.constants:
            yield f"{node.name}: a quantised bias, expected float"
    for node in view.nodes:
        if node.op_type == "ConvTranspose" and any(view.made_by(name, "DequantizeLinear") for name in node.input):
            yield f"{node.name}: a quantised transposed convolution"
        elif node.op_type == "Add":
            yield from _sum_problems(view, node)


def _sum_problems(view: _View, node: NodeProto) -> Iterator[str]:
    """A sum that an int8 convolution can take in has exactly its other branch quantised."""
    names = {convolution.output[0] for convolution in view.convolutions}
    taken = [name for name in node.input if name in names and len(view.readers[name]) == 1]
    quantised = [name for name in node.input if view.activation(name) is not None]
    if len(quantised) > 1:
        yield f"{node.name}: both branches of the sum are quantised, expected the skip alone"
    elif taken and not quantised:
        yield f"{node.name}: the skip of the sum is not quantised"
