"""The first convolution over blocks of 2×2 pixels as twelve channels, where it is int8 and steps by two pixels.

ONNX Runtime's integer convolution copies the neighbourhood of each output into a row and multiplies matrices. From a
7×7 window it copies 49 pixels of 3 bytes, which takes longer than the product. Over blocks it copies 16 of 12 bytes:
4.0 ms instead of 9.0 (480×360 to 64 channels, one thread with VNNI), though 45 of 192 weights are now zero. Integers
are summed exactly, so the results are the same bits.

Along one axis y[i] = Σ_a w[a]·x[2·i + a − p]. With a − p = 2·b + r, r in {0, 1}, the pixel is number r of block i + b.
Pixels that padding adds are whole blocks or share none with the image, because the image is an even number high.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from edgeseg.graph.contract import IMAGE
from edgeseg.quantize.placement import GREY_LEVELS

BLOCKS = ".blocks"
"""Suffix of the image as blocks: (1, 12, h/2, w/2), channel (row · 2 + column) · 3 + colour."""

_STEP = 2

_LEAST_OVER_FRAME = 5
"""Where the convolution reads the frame's own bytes, blocks of them cost a copy, which a 3×3 window does not repay."""


def stem_over_blocks(model: ModelProto, kept: Collection[str]) -> int:
    """Rewrite the convolution that reads the image, in place; returns 1, or 0 where it does not apply.

    It applies to a convolution of stride 2, not in `kept` (nodes that stay float), the only one to read its weights,
    over an image with an even number of rows and columns.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    readers = [node for node in graph.node if IMAGE in node.input]
    height, width = _size(model)
    if len(readers) != 1 or not height or not width or height % _STEP or width % _STEP:
        return 0
    conv = readers[0]
    attributes: dict[str, Any] = {entry.name: helper.get_attribute_value(entry) for entry in conv.attribute}
    kernel = constants.get(conv.input[1]) if conv.op_type == "Conv" and conv.name not in kept else None
    plain = (
        tuple(attributes.get("strides", ())) == (_STEP, _STEP)
        and tuple(attributes.get("dilations", (1, 1))) == (1, 1)
        and attributes.get("group", 1) == 1
        and attributes.get("auto_pad", b"NOTSET") == b"NOTSET"
    )
    if kernel is None or not plain or sum(conv.input[1] in node.input for node in graph.node) != 1:
        return 0
    if any(node.name == GREY_LEVELS for node in graph.node) and max(kernel.dims[2:]) < _LEAST_OVER_FRAME:
        return 0
    weights = numpy_helper.to_array(kernel)
    pads = tuple(attributes.get("pads", (0, 0, 0, 0)))
    down = _Axis(weights.shape[2], pads[0], pads[2], height)
    across = _Axis(weights.shape[3], pads[1], pads[3], width)
    kernel.CopyFrom(numpy_helper.from_array(_block_weights(weights, down, across), kernel.name))
    blocks = helper.make_node("SpaceToDepth", [IMAGE], [IMAGE + BLOCKS], name=IMAGE + BLOCKS, blocksize=_STEP)
    _rewrite(conv, down, across)
    graph.node.insert(list(graph.node).index(conv), blocks)
    shape = (1, weights.shape[1] * _STEP**2, height // _STEP, width // _STEP)
    graph.value_info.append(helper.make_tensor_value_info(IMAGE + BLOCKS, 1, shape))
    return 1


class _Axis:
    """One axis of the convolution, over pixels and over blocks."""

    def __init__(self, taps: int, before: int, after: int, size: int) -> None:
        self.first = -before // _STEP
        """The first block that output 0 reads: rounded down, so negative with padding."""
        self.taps = (taps - 1 - before) // _STEP - self.first + 1
        self.offset = -before - _STEP * self.first
        """Pixels of the first block that no weight meets."""
        outputs = (size + before + after - taps) // _STEP + 1
        # As many outputs as before: blocks that the last one lacks are padding.
        self.pads = (-self.first, outputs - size // _STEP + self.first + self.taps - 1)


def _block_weights(weights: NDArray[Any], down: _Axis, across: _Axis) -> NDArray[Any]:
    """(O, C, k, k) → (O, 4·C, t, t), in the order of ONNX's SpaceToDepth."""
    outputs, channels, height, width = weights.shape
    whole = np.zeros((outputs, channels, down.taps * _STEP, across.taps * _STEP), weights.dtype)
    whole[:, :, down.offset : down.offset + height, across.offset : across.offset + width] = weights
    split = whole.reshape(outputs, channels, down.taps, _STEP, across.taps, _STEP)
    ordered = split.transpose(0, 3, 5, 1, 2, 4)
    return np.ascontiguousarray(ordered.reshape(outputs, -1, down.taps, across.taps))


def _rewrite(conv: NodeProto, down: _Axis, across: _Axis) -> None:
    conv.input[0] = IMAGE + BLOCKS
    kept = [entry for entry in conv.attribute if entry.name not in ("strides", "pads", "kernel_shape")]
    del conv.attribute[:]
    conv.attribute.extend(kept)
    pads = [down.pads[0], across.pads[0], down.pads[1], across.pads[1]]
    changed = {"strides": [1, 1], "pads": pads, "kernel_shape": [down.taps, across.taps]}
    conv.attribute.extend(helper.make_attribute(name, value) for name, value in changed.items())


def _size(model: ModelProto) -> tuple[int, int]:
    """Height and width of the image, 0 where open."""
    for value in model.graph.value_info:
        if value.name == IMAGE:
            sizes = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
            return (sizes[2], sizes[3]) if len(sizes) == 4 else (0, 0)
    return 0, 0
