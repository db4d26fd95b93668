"""Transposed convolution → convolution and DepthToSpace, which is exact, and which every backend runs and quantises.

Along one axis, with stride s, kernel k, the output before padding is cut off is y[t] = Σ_i x[i]·w[t − s·i]. Write
t = s·b + r with the phase r < s: y[s·b + r] = Σ_j x[b − j]·w[r + s·j]. So each of the s phases is an ordinary
convolution over T = ⌈k/s⌉ inputs, and the phases of one block b lie side by side in the output: DepthToSpace with
block size s (Shi et al. 2016, section 3.2, says the same from the other side). What padding p cuts off the front, and
what it leaves or output padding adds at the end, becomes padding of the convolution for whole blocks and a Slice for
the rest. A dilated kernel is one with zeros in between.

The convolution has no tap that is always zero but those that round k up to a multiple of s, so it costs the same
multiply-adds; it fuses with what follows, quantises per channel, and has no output_shape to misread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgeseg.graph.rewrite import fixed_constants, set_nodes

_TO_THE_END = np.iinfo(np.int64).max
"""`ends` of an ONNX Slice that cuts nothing off."""

_NCHW = 4
"""Rank of a convolution over height and width."""

_STEPS = {"Conv": "phases", "DepthToSpace": "shuffled", "Slice": "cropped"}
"""Operator → what is appended to the names of its node and of the tensor that it writes."""


def split_transposed_conv(model: ModelProto) -> int:
    """Rewrite every transposed convolution for which it is exact; returns how many. Outputs keep their names.

    Left alone are those with other strides down than across, weights that are no constants, `auto_pad`,
    `output_shape`, and padding that cuts off whole inputs.
    """
    graph = model.graph
    weights = fixed_constants(graph)
    cases = {node.output[0]: case for node in graph.node if (case := _read(node, weights)) is not None}
    if not cases:
        return 0
    replaced = {name for node in graph.node if node.output[0] in cases for name in node.input[1:]}
    nodes: list[NodeProto] = []
    for node in graph.node:
        case = cases.get(node.output[0])
        nodes.extend([node] if case is None else _Rewrite(graph, node, case, weights).nodes)
    set_nodes(graph, nodes)
    read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    for name in replaced - read:
        if name in weights:
            graph.initializer.remove(weights[name])
    return len(cases)


@dataclass(frozen=True, slots=True)
class _Axis:
    """One axis of a transposed convolution, in whole blocks of `stride` output pixels."""

    taps: int
    pads: tuple[int, int]
    """Of the convolution, in input pixels, before and after."""
    crop: tuple[int, int]
    """Output pixels to cut off after DepthToSpace, before and after."""

    @staticmethod
    def of(kernel: int, stride: int, pads: tuple[int, int], output_padding: int) -> _Axis:
        """`kernel` is the dilated one."""
        taps = -(-kernel // stride)
        skipped = pads[0] // stride
        # The output ends s·(n − 1) + k − p + o pixels after the first input's first; that many whole blocks reach it.
        beyond = kernel - stride - pads[1] + output_padding
        blocks = -(-beyond // stride)
        return _Axis(taps, (taps - 1 - skipped, blocks), (pads[0] % stride, blocks * stride - beyond))


@dataclass(frozen=True, slots=True)
class _Case:
    weight: NDArray[Any]
    """(C_in, C_out / groups, k, k), dilation written out."""
    groups: int
    stride: int
    down: _Axis
    across: _Axis


def _read(node: NodeProto, weights: Mapping[str, TensorProto]) -> _Case | None:
    """What `node` does, or None where the rewrite does not hold."""
    if node.op_type != "ConvTranspose" or any(name and name not in weights for name in node.input[1:]):
        return None
    attributes: dict[str, Any] = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    if "output_shape" in attributes or attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
        return None
    weight = _dilated(numpy_helper.to_array(weights[node.input[1]]), attributes.get("dilations", (1, 1)))
    strides = tuple(attributes.get("strides", (1, 1)))
    if weight.ndim != _NCHW or strides[0] != strides[1]:
        return None
    pads, extra = attributes.get("pads", (0, 0, 0, 0)), attributes.get("output_padding", (0, 0))
    down, across = (
        _Axis.of(weight.shape[2 + axis], strides[0], (pads[axis], pads[2 + axis]), extra[axis]) for axis in (0, 1)
    )
    if min(*down.pads, *across.pads) < 0:
        return None
    return _Case(weight, int(attributes.get("group", 1)), strides[0], down, across)


def _dilated(weight: NDArray[Any], dilations: Sequence[int]) -> NDArray[Any]:
    if weight.ndim != _NCHW or tuple(dilations) == (1, 1):
        return weight
    height, width = ((size - 1) * step + 1 for size, step in zip(weight.shape[2:], dilations, strict=True))
    spread = np.zeros((*weight.shape[:2], height, width), weight.dtype)
    spread[:, :, :: dilations[0], :: dilations[1]] = weight
    return spread


class _Rewrite:
    """The nodes that stand for one transposed convolution; their constants are added to the graph."""

    def __init__(self, graph: GraphProto, node: NodeProto, case: _Case, weights: Mapping[str, TensorProto]) -> None:
        self._graph = graph
        self._node = node
        self._name = node.name or node.output[0]
        self.nodes: list[NodeProto] = []
        stride, (down, across) = case.stride, (case.down, case.across)
        inputs = [self._constant(f"{node.input[1]}_phases", _phase_weights(case))]
        if len(node.input) > 2 and node.input[2]:
            bias = numpy_helper.to_array(weights[node.input[2]])
            inputs.append(self._constant(f"{node.input[2]}_phases", np.repeat(bias, stride * stride)))
        self._append(
            "Conv",
            inputs,
            kernel_shape=[down.taps, across.taps],
            pads=[down.pads[0], across.pads[0], down.pads[1], across.pads[1]],
            group=case.groups,
        )
        if stride > 1:
            # CRD: the phases of a channel are neighbours, so groups stay whole.
            self._append("DepthToSpace", [], blocksize=stride, mode="CRD")
        (top, bottom), (left, right) = down.crop, across.crop
        if any((top, bottom, left, right)):
            ends = [-after if after else _TO_THE_END for after in (bottom, right)]
            bounds = {"starts": [top, left], "ends": ends, "axes": [2, 3]}
            output = node.output[0]
            edges = [self._constant(f"{output}.{kind}", np.array(values, np.int64)) for kind, values in bounds.items()]
            self._append("Slice", edges)
        self.nodes[-1].output[0] = node.output[0]

    def _append(self, operator: str, constants: Sequence[str], **attributes: Any) -> None:
        """Add an operator on what the last one wrote. It comes from the same layer as the one it helps to replace."""
        source = self.nodes[-1].output[0] if self.nodes else self._node.input[0]
        step = _STEPS[operator]
        made = helper.make_node(
            operator, [source, *constants], [f"{self._node.output[0]}.{step}"], f"{self._name}.{step}", **attributes
        )
        made.metadata_props.extend(self._node.metadata_props)
        self.nodes.append(made)

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        """Its name in the graph: another one where layers share a weight."""
        if any(tensor.name == name for tensor in self._graph.initializer):
            name = f"{name}.{self._node.output[0]}"
        self._graph.initializer.append(numpy_helper.from_array(values, name))
        return name


def _phase_weights(case: _Case) -> NDArray[Any]:
    """(C_out·s·s, C_in / groups, T, T): output channel o·s² + r·s + q is phase (r, q) of channel o.

    Tap m of the convolution reads x[b − (T − 1) + m], that is j = T − 1 − m, so its weight is w[r + s·(T − 1 − m)].
    """
    stride, groups = case.stride, case.groups
    inside, per_group, height, width = case.weight.shape
    rows, columns = case.down.taps, case.across.taps
    whole = np.zeros((inside, per_group, rows * stride, columns * stride), case.weight.dtype)
    whole[:, :, :height, :width] = case.weight
    split = whole.reshape(groups, inside // groups, per_group, rows, stride, columns, stride)
    flipped = split[:, :, :, ::-1, :, ::-1, :]
    # (g, in, out, m_y, r, m_x, q) → (g, out, r, q, in, m_y, m_x)
    ordered = flipped.transpose(0, 2, 4, 6, 1, 3, 5)
    return np.ascontiguousarray(ordered.reshape(groups * per_group * stride * stride, inside // groups, rows, columns))
