"""What a sealed graph must be, whichever stage wrote it. ONNX's own checker passes models that break on the device."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import ModelProto, TensorProto, ValueInfoProto

from edgeseg.errors import GateError
from edgeseg.graph.contract import CONFIDENCE, FRAME, LABELS, LOGITS, OPSET

_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16}

_MAY_MIX = {"Cast", "Resize"}
"""Operators whose float inputs and outputs may differ in type: Resize takes its scales as float32 always."""


def check_sealed(model: ModelProto, *, dynamic: bool) -> None:
    """Raise `GateError` with everything that is wrong with a graph; `dynamic` allows the camera's size to be open."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GateError(f"the graph is not valid ONNX: {' '.join(str(error).split())}") from error
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    problems = [*_contract_problems(model, dynamic), *_type_problems(inferred), *_shape_problems(inferred, dynamic)]
    if problems:
        raise GateError(f"the graph breaks the sealed contract: {'; '.join(problems)}.")


def tensor_types(model: ModelProto) -> dict[str, int]:
    """Name → ONNX element type, for every tensor of the graph whose type is written down."""
    graph = model.graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.output, *graph.value_info)}
    types.update({tensor.name: tensor.data_type for tensor in graph.initializer})
    return types


def _contract_problems(model: ModelProto, dynamic: bool) -> Iterator[str]:
    graph = model.graph
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    if opsets != {"": OPSET}:
        yield f"opsets {opsets}, expected ONNX {OPSET} alone"
    outputs = [LABELS, CONFIDENCE] if len(graph.output) > 1 else [LABELS]
    for values, names, rank in ((graph.input, [FRAME], 4), (graph.output, outputs, 3)):
        found = [(value.name, value.type.tensor_type.elem_type, len(_shape(value))) for value in values]
        if found != [(name, TensorProto.UINT8, rank) for name in names]:
            yield f"expected {', '.join(names)} as uint8 of {rank} dimensions at the edge, found {found}"
        elif not dynamic and any(None in _shape(value) for value in values):
            yield f"the size of {', '.join(names)} is open, but the export is for one camera size"
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in graph.initializer):
        yield "weights lie outside the file"
    if not any(LOGITS in node.output for node in graph.node):
        yield f"no tensor is named {LOGITS}"
    for node in graph.node:
        if node.op_type == "MaxUnpool" or (node.op_type == "MaxPool" and any(node.output[1:])):
            # TensorRT builds neither; edgeseg.models.unpooling says the same in operators that it does build.
            yield f"{node.op_type} {node.name} works with indices of maxima"


def _type_problems(model: ModelProto) -> Iterator[str]:
    types = tensor_types(model)
    for node in model.graph.node:
        unknown = [name for name in node.output if name and name not in types]
        if unknown:
            yield f"no type is known for {', '.join(unknown)}"
        tensors = [*node.input, *node.output]
        floats = {types[name] for name in tensors if types.get(name) in _FLOATS}
        if len(floats) > 1 and node.op_type not in _MAY_MIX:
            yield f"{node.op_type} {node.name} mixes float32 and float16"
        bytes_inside = [name for name in tensors if types.get(name) == TensorProto.UINT8]
        if bytes_inside and node.op_type != "Cast":
            # TensorRT casts a uint8 input and a uint8 output, and takes no uint8 tensor anywhere else.
            yield f"{node.op_type} {node.name} works on uint8 ({', '.join(bytes_inside)})"


def _shape_problems(model: ModelProto, dynamic: bool) -> Iterator[str]:
    if not dynamic:
        open_shapes = [value.name for value in model.graph.value_info if None in _shape(value)]
        if open_shapes:
            yield f"the size of {', '.join(open_shapes[:5])} is open, but the export is for one camera size"


def _shape(value: ValueInfoProto) -> list[int | None]:
    dimensions = value.type.tensor_type.shape.dim
    return [dimension.dim_value if dimension.HasField("dim_value") else None for dimension in dimensions]
