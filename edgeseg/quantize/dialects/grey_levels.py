"""The image as the camera's own bytes, where the first convolution is int8: nothing is normalised, nothing is lost.

A frame is uint8 already. (x − mean) / std is linear, so a convolution of it is one of x − z with weights over std and a
bias that takes in z − mean, for any z; with z an integer, x − z is a quantised tensor of scale 1 whose integers are
the frame's. What was a cast, a colour swap, a difference, a quotient and a rounding is then a transpose of bytes, which
meets the one that ONNX Runtime puts before its convolution, and both go. The image loses nothing to quantisation.

A network fine-tuned for INT8 (`edgeseg train --qat`) keeps its normalised image: it learned with that one's rounding.

What padding adds is z, where normalised images have each colour's mean. z is the integer nearest to the mean of the
three, so in the outermost pixels a colour is off by as much as its mean is from theirs: 11 grey levels with ImageNet's.

Where the graph resizes the frame, the image is no longer bytes and stays as it is: rounded to bytes, ONNX Runtime would
resize with channels last, which takes three times as long. There only the transpose moves before the cast.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgeseg.graph.contract import FRAME, IMAGE
from edgeseg.graph.rewrite import replace_nodes
from edgeseg.quantize.dialects.qdq import DEQUANTISED, QUANTISED, Affine
from edgeseg.quantize.placement import GREY_LEVELS

_CHANNEL = 1
_COLOURS = 3
_TO_FIRST = [0, 3, 1, 2]
_ROWS_TO_BLOCKS = [0, 1, 3, 2, 4, 5]


def image_in_grey_levels(model: ModelProto, keep: Collection[str]) -> ModelProto:
    """A copy whose image is the frame's grey levels less an integer, in the frame's order of colours.

    Mean, deviation and colour swap are in weights and bias of the convolution that reads the image. A graph in which
    that convolution is in `keep` (nodes that stay float), has groups or shares its weights, in which something else
    reads the image, or that resizes the frame, comes back as it was.
    """
    changed = ModelProto.FromString(model.SerializeToString())
    found = _find(changed, keep)
    if found is None:
        return changed
    graph = changed.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    weights = numpy_helper.to_array(constants[found.conv.input[1]]).astype(np.float64) / found.std.reshape(1, -1, 1, 1)
    zero = round(float(found.mean.mean()))
    shift = (weights * (zero - found.mean).reshape(1, -1, 1, 1)).sum(axis=(1, 2, 3))
    if found.swaps:
        weights = weights[:, ::-1]
    _write(constants[found.conv.input[1]], weights)
    if len(found.conv.input) > 2:
        bias = constants[found.conv.input[2]]
        _write(bias, numpy_helper.to_array(bias) + shift)
    else:
        name = f"{found.conv.input[1]}.shift"
        graph.initializer.append(numpy_helper.from_array(shift.astype(np.float32), name))
        found.conv.input.append(name)
    level = numpy_helper.from_array(np.array(zero, np.float32), f"{GREY_LEVELS}.zero")
    graph.initializer.append(level)
    levels = helper.make_node("Sub", [found.source, level.name], [IMAGE], name=GREY_LEVELS)
    levels.metadata_props.extend(found.chain[-1].metadata_props)
    _replace(changed, found.chain, [levels])
    return changed


def grey_level_affine(model: ModelProto) -> Mapping[str, Affine]:
    """The image's scale, 1, and its zero-point, where the image is grey levels; otherwise nothing."""
    levels = next((node for node in model.graph.node if node.name == GREY_LEVELS), None)
    if levels is None:
        return {}
    zero = next(numpy_helper.to_array(each) for each in model.graph.initializer if each.name == levels.input[1])
    return {IMAGE: Affine(np.array(1, np.float32), zero.astype(np.uint8))}


def frame_stays_bytes(model: ModelProto) -> int:
    """Let the frame stay uint8 as far as it can, in place: through the transpose, and into the convolution where
    nothing resizes it. Returns how many casts and roundings went or became smaller, 0 to 2."""
    return _transpose_bytes(model) + _read_bytes(model)


@dataclass(frozen=True)
class _Found:
    conv: NodeProto
    chain: tuple[NodeProto, ...]
    """What normalises, in the order of computation."""
    source: str
    """The tensor of grey levels that it begins with."""
    mean: NDArray[np.float64]
    """In grey levels, of each channel of the image."""
    std: NDArray[np.float64]
    swaps: bool


def _find(model: ModelProto, keep: Collection[str]) -> _Found | None:
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    producer = {name: node for node in graph.node for name in node.output}
    readers = _readers(model, IMAGE)
    if len(readers) != 1 or readers[0].op_type != "Conv" or readers[0].name in keep:
        return None
    conv = readers[0]
    groups = next((entry.i for entry in conv.attribute if entry.name == "group"), 1)
    shared = any(name in node.input for node in graph.node if node is not conv for name in conv.input[1:])
    if groups != 1 or shared or any(name not in constants for name in conv.input[1:]):
        return None
    if constants[conv.input[1]].shape[_CHANNEL] != _COLOURS:
        return None
    divide = producer.get(IMAGE)
    subtract = producer.get(divide.input[0]) if divide is not None else None
    if divide is None or subtract is None or (subtract.op_type, divide.op_type) != ("Sub", "Div"):
        return None
    mean, std = (_colours(constants.get(node.input[1])) for node in (subtract, divide))
    if mean is None or std is None:
        return None
    swap = producer.get(subtract.input[0])
    swaps = swap is not None and _swaps_colours(swap, constants)
    chain = (swap, subtract, divide) if swap is not None and swaps else (subtract, divide)
    if any(len(_readers(model, each.output[0])) != 1 for each in chain):
        return None
    planes = producer.get(chain[0].input[0])
    cast = producer.get(planes.input[0]) if planes is not None and planes.op_type == "Transpose" else None
    if cast is None or cast.op_type != "Cast" or list(cast.input) != [FRAME]:
        return None
    return _Found(conv, chain, chain[0].input[0], mean, std, swaps)


def _colours(values: NDArray[np.float32] | None) -> NDArray[np.float64] | None:
    """(1, 3, 1, 1) or (1, 1, 1, 1) → the three values."""
    if values is None or values.shape not in ((1, _COLOURS, 1, 1), (1, 1, 1, 1)):
        return None
    return np.array(np.broadcast_to(values.astype(np.float64).reshape(-1), (_COLOURS,)))


def _swaps_colours(node: NodeProto, constants: Mapping[str, NDArray[np.int64]]) -> bool:
    """Whether a Slice runs backwards over the channels, all of them."""
    if node.op_type != "Slice" or len(node.input) != 5 or any(name not in constants for name in node.input[1:]):
        return False
    starts, ends, axes, steps = (constants[name].tolist() for name in node.input[1:])
    return starts in ([-1], [_COLOURS - 1]) and ends[0] < -_COLOURS and axes == [_CHANNEL] and steps == [-1]


def _transpose_bytes(model: ModelProto) -> int:
    """Cast → Transpose becomes Transpose → Cast: a quarter of the memory is moved, to the same values."""
    graph = model.graph
    cast = next((node for node in graph.node if node.op_type == "Cast" and list(node.input) == [FRAME]), None)
    if cast is None:
        return 0
    readers = _readers(model, cast.output[0])
    if len(readers) != 1 or readers[0].op_type != "Transpose":
        return 0
    planes = helper.make_node("Transpose", [FRAME], [f"{FRAME}.planes"], name=f"{FRAME}.planes")
    planes.attribute.extend(readers[0].attribute)
    real = helper.make_node("Cast", [planes.output[0]], [readers[0].output[0]], name=cast.name, to=TensorProto.FLOAT)
    _replace(model, (cast, readers[0]), [planes, real])
    return 1


def _read_bytes(model: ModelProto) -> int:
    """Where the image's integers are the frame's, they are read from it: the DQ writes the image itself, or, where the
    convolution reads blocks of pixels, the blocks."""
    graph = model.graph
    producer = {name: node for node in graph.node for name in node.output}
    levels, quantise = producer.get(IMAGE), producer.get(IMAGE + QUANTISED)
    cast = producer.get(levels.input[0]) if levels is not None and levels.name == GREY_LEVELS else None
    planes = producer.get(cast.input[0]) if cast is not None and cast.op_type == "Cast" else None
    if levels is None or quantise is None or cast is None or planes is None or list(planes.input) != [FRAME]:
        return 0
    chain = [planes, cast, levels, quantise]
    if any(len(_readers(model, each.output[0])) != 1 for each in chain):
        return 0
    (blocks,) = _readers(model, IMAGE + DEQUANTISED)
    if blocks.op_type == "SpaceToDepth":
        (rounded,) = _readers(model, blocks.output[0])
        between = [*_readers(model, quantise.output[0]), blocks, rounded]
        _replace(model, (*chain, *between), _frame_in_blocks(model, blocks, rounded.output[0]))
        return 1
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = IMAGE if name == IMAGE + DEQUANTISED else name
    bytes_of_image = helper.make_node("Transpose", [FRAME], [quantise.output[0]], name=planes.name, perm=_TO_FIRST)
    _replace(model, tuple(chain), [bytes_of_image])
    return 1


def _frame_in_blocks(model: ModelProto, blocks: NodeProto, output: str) -> list[NodeProto]:
    """uint8 frame (1, H, W, 3) → (1, s·s·3, H/s, W/s), in the order of SpaceToDepth, with channels last on the way."""
    step = next(entry.i for entry in blocks.attribute if entry.name == "blocksize")
    _, height, width, colours = (size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim)
    targets = {
        "rows": (1, height // step, step, width // step, step, colours),
        "blocks": (1, height // step, width // step, step * step * colours),
    }
    names = {kind: f"{FRAME}.{kind}" for kind in targets}
    for kind, shape in targets.items():
        model.graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), f"{names[kind]}.shape"))
    steps = [
        ("Reshape", [FRAME, f"{names['rows']}.shape"], names["rows"], {}),
        ("Transpose", [names["rows"]], f"{FRAME}.by_block", {"perm": _ROWS_TO_BLOCKS}),
        ("Reshape", [f"{FRAME}.by_block", f"{names['blocks']}.shape"], names["blocks"], {}),
        ("Transpose", [names["blocks"]], output, {"perm": _TO_FIRST}),
    ]
    return [helper.make_node(kind, given, [made], name=made, **attributes) for kind, given, made, attributes in steps]


def _readers(model: ModelProto, tensor: str) -> list[NodeProto]:
    return [node for node in model.graph.node if tensor in node.input]


def _write(tensor: TensorProto, values: NDArray[np.float64]) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), tensor.name))


def _replace(model: ModelProto, old: tuple[NodeProto, ...], new: list[NodeProto]) -> None:
    """`new` in the place of the last of `old`; constants that nobody reads any more go, and what is known of tensors
    that are no more."""
    graph = model.graph
    replace_nodes(graph, old, new)
    read = {name for node in graph.node for name in node.input}
    written = {name for node in graph.node for name in node.output}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)
    for value in [value for value in graph.value_info if value.name not in written]:
        graph.value_info.remove(value)
