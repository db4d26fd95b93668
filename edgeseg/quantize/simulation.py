"""An INT8 graph in PyTorch, to learn through: the program that was exported, rounded where the graph has Q/DQ pairs.

It is the exporter's own program that runs, with the network's own tensors, so that a tensor of the graph is found by
its name. What the passes made of the program is done here as they did it: batch normalisation is folded into the
convolutions before it, and a transposed convolution has a scale for each phase of each channel.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from onnx import NodeProto
from torch.fx import Node

from edgeseg.errors import ConfigError
from edgeseg.graph.contract import IMAGE, LOGITS
from edgeseg.graph.export import ExportedGraph
from edgeseg.quantize.fake import phases_first, phases_last
from edgeseg.quantize.placement import Placement

_aten = torch.ops.aten
_CONVOLUTIONS = (_aten.conv2d.default, _aten.convolution.default, _aten.conv_transpose2d.input)
_NORM = _aten._native_batch_norm_legit_no_training.default
_BETWEEN = (_aten.add.Tensor, _aten.slice.Tensor)
"""What the pass that folds batch normalisation looks through."""
_SAME = (_aten.alias.default, _aten.clone.default)
"""What hands its input on; the graph has no operator for it."""
_VIEWS = (_aten.view.default, _aten.reshape.default)

_SUFFIXES = ("", ".phases", ".shuffled", ".cropped")
"""What the passes append to a tensor's name where it holds the same values, some of which are cut off later."""

SEALED = "network."
"""Where the sealed module has the network."""


@dataclass(frozen=True)
class Hooks:
    """What a simulation asks for and tells while it runs."""

    device: torch.device
    tensor: Callable[[str], torch.Tensor]
    """The network's parameter or buffer of this name."""
    activation: Callable[[str, torch.Tensor], torch.Tensor]
    """(tensor of the graph, its values) → what its Q/DQ pair lets through."""
    weight: Callable[[torch.Tensor], torch.Tensor]
    """float (channels, n) → the same, each channel in steps of its own scale."""
    watch: Callable[[str, torch.Tensor], None]
    """Told (tensor of the graph, its values) before they are rounded."""


@dataclass(frozen=True)
class _Fold:
    """The batch normalisation that a convolution takes in."""

    norm: Node
    shifts: bool
    """Whether this one of the summands takes the shift."""


class Simulation:
    """One network at one size, quantised as `placement` says; `observed` names more tensors to be watched.

    Immutable, so that copies of a network share it. Raises `ConfigError` where a Q/DQ pair of the graph has no place
    in the program.
    """

    def __init__(self, exported: ExportedGraph, placement: Placement, observed: Collection[str] = ()) -> None:
        program, graph = exported.program, exported.model.graph
        signature = program.graph_signature
        self._owned = {
            placeholder: name.removeprefix(SEALED)
            for placeholder, name in {**signature.inputs_to_parameters, **signature.inputs_to_buffers}.items()
        }
        self._constants = {
            name: program.constants[source] for name, source in signature.inputs_to_lifted_tensor_constants.items()
        }
        names = {node: exported.renamed.get(node.name, node.name) for node in program.graph.nodes}
        by_name = {name: node for node, name in names.items()}
        self._image, self._logits = by_name[IMAGE], by_name[LOGITS]
        self._same: dict[Node, Node] = {}
        self._nodes = self._between(list(program.graph.nodes))
        written = {output for node in graph.node for output in node.output}
        self._owners = {
            name: node
            for node in (self._image, *self._nodes)
            for base in (names[node], f"{names[node]}.folded")
            for suffix in _SUFFIXES
            if (name := base + suffix) in written
        }
        kept_norms = {node.output[0] for node in graph.node if node.op_type == "BatchNormalization"}
        self._folds = dict(self._find_folds({self._owners.get(name) for name in kept_norms}))
        self._folded = {fold.norm for fold in self._folds.values()}
        self._rounded = {self._convolution(node) for node in graph.node if _has_int8_weights(node, placement)}
        self._pairs = {self._owner(name): name for name in placement.activations if placement.range_of(name) == name}
        self._watched = {self._owner(name): name for name in observed if name in self._owners} | self._pairs
        readers = {node.name: self._reader(node) for node in graph.node if node.output[0] in self._owners}
        self._direct = {(readers[name], self._owner(tensor)) for name, tensor in placement.direct}
        for reader, source in self._direct:
            if source not in self._inputs(reader):
                raise ConfigError(f"{names[reader]} does not read {names[source]} in PyTorch as it does in the graph.")
        self._last = self._last_uses()

    def __deepcopy__(self, memo: dict[int, Any]) -> Simulation:
        return self

    @property
    def watched(self) -> list[str]:
        """Tensors of the graph that have a range, in the order in which they are computed."""
        return [self._watched[node] for node in (self._image, *self._nodes) if node in self._watched]

    @property
    def tensors(self) -> set[str]:
        """Parameters and buffers of the network that it reads."""
        read = {source.name for node in self._nodes for source in node.all_input_nodes}
        return {name for placeholder, name in self._owned.items() if placeholder in read}

    @property
    def pairs(self) -> set[str]:
        """Tensors of the graph that are rounded here."""
        return set(self._pairs.values())

    @property
    def weights(self) -> set[str]:
        """Parameters of the network that are rounded."""
        return {self._owned[str(node.args[1])] for node in self._rounded}

    def __call__(self, images: torch.Tensor, hooks: Hooks) -> torch.Tensor:
        """float (N, 3, h, w), normalised → logits (N, C, h, w)."""
        exact: dict[Node, Any] = {}
        rounded: dict[Node, torch.Tensor] = {}
        for node in (self._image, *self._nodes):
            value = (
                images if node is self._image else self._compute(node, self._reads(node, exact, rounded, hooks), hooks)
            )
            exact[node] = value
            if node in self._watched:
                hooks.watch(self._watched[node], value)
            if node in self._pairs:
                rounded[node] = hooks.activation(self._pairs[node], value)
            for done in self._last.get(node, ()):
                exact.pop(done, None)
                rounded.pop(done, None)
        logits: torch.Tensor = exact[self._logits]
        return logits

    def _reads(
        self, node: Node, exact: dict[Node, Any], rounded: dict[Node, torch.Tensor], hooks: Hooks
    ) -> Callable[[Node], Any]:
        """What `node` gets for each of its inputs."""

        def read(source: Node) -> Any:
            if source.op == "placeholder":
                return self._constant(source, hooks)
            source = self._same.get(source, source)
            return exact[source] if (node, source) in self._direct else rounded.get(source, exact[source])

        return read

    def _constant(self, node: Node, hooks: Hooks) -> torch.Tensor:
        if node.name in self._owned:
            return hooks.tensor(self._owned[node.name])
        constant: torch.Tensor = self._constants[node.name].to(hooks.device)
        return constant

    def _compute(self, node: Node, read: Callable[[Node], Any], hooks: Hooks) -> Any:
        if node in self._folded:
            return (read(_node(node.args[0])),)
        if node.target in _CONVOLUTIONS:
            return self._convolve(node, read, hooks)
        args: list[Any] = [torch.fx.map_arg(argument, read) for argument in node.args]
        if node.target in _VIEWS:
            # Written for one image. Its batch is always the first axis, or part of it.
            args[1] = [-1, *args[1][1:]]
        named = dict(torch.fx.map_arg(dict(node.kwargs), read))
        if "device" in named:
            named["device"] = hooks.device
        return node.target(*args, **named)  # type: ignore[operator]

    def _convolve(self, node: Node, read: Callable[[Node], Any], hooks: Hooks) -> torch.Tensor:
        given = {name: torch.fx.map_arg(value, read) for name, value in _arguments(node).items()}
        transposed, stride = _is_transposed(node), given["stride"][0]
        weight, bias = given["weight"], given["bias"]
        if fold := self._folds.get(node):
            gamma, beta, mean, variance = (self._constant(_node(fold.norm.args[index]), hooks) for index in range(1, 5))
            scale = gamma * torch.rsqrt(variance + fold.norm.args[6])  # type: ignore[operator]
            per_group = scale.reshape(given["groups"], 1, -1, 1, 1)
            if transposed:
                weight = (weight.unflatten(0, (given["groups"], -1)) * per_group).flatten(0, 1)
            else:
                weight = weight * scale[:, None, None, None]
            bias = None if bias is None else bias * scale
            if fold.shifts:
                shift = beta - mean * scale
                bias = shift if bias is None else bias + shift
        if node in self._rounded and transposed:
            channels = phases_first(weight, given["groups"], stride)
            steps = hooks.weight(channels.flatten(1)).reshape(channels.shape)
            weight = phases_last(steps, given["groups"], stride, weight.shape)
        elif node in self._rounded:
            weight = hooks.weight(weight.flatten(1)).reshape(weight.shape)
        convolved: torch.Tensor = node.target(**{**given, "weight": weight, "bias": bias})  # type: ignore[operator]
        return convolved

    def _between(self, nodes: list[Node]) -> list[Node]:
        """What computes the logits from the image, in order."""
        needed = {self._logits}
        for node in reversed(nodes):
            if node in needed and node is not self._image:
                needed.update(node.all_input_nodes)
        between = []
        for node in nodes:
            if node in needed and node.op == "call_function" and node is not self._image:
                if node.target in _SAME:
                    source = node.all_input_nodes[0]
                    self._same[node] = self._same.get(source, source)
                else:
                    between.append(node)
        return between

    def _inputs(self, node: Node) -> list[Node]:
        return [self._same.get(source, source) for source in node.all_input_nodes]

    def _find_folds(self, kept: set[Node | None]) -> Iterator[tuple[Node, _Fold]]:
        """Convolution → the normalisation that the graph has in it; those in `kept` are operators of their own."""
        for node in self._nodes:
            if node.target is not _NORM or kept.intersection(node.users):
                continue
            for index, convolution in enumerate(self._summands(self._inputs(node)[0])):
                yield convolution, _Fold(node, shifts=index == 0)

    def _summands(self, node: Node) -> Iterator[Node]:
        """The convolutions whose sum `node` is, in the order in which the pass that folds finds them."""
        if node.target in _CONVOLUTIONS:
            yield node
        elif node.target in _BETWEEN:
            for source in self._inputs(node):
                yield from self._summands(source)
        else:
            raise ConfigError(
                f"a batch normalisation folded in the graph is not behind convolutions alone, but {node}."
            )

    def _owner(self, name: str) -> Node:
        """What computes the tensor of the graph called `name`."""
        owner: Node | None = self._owners.get(name)
        if owner is None:
            raise ConfigError(f"tensor {name} of the graph has no counterpart in PyTorch to be rounded like it.")
        return owner

    def _reader(self, node: NodeProto) -> Node:
        """What reads in PyTorch what `node` of the graph reads: what is before a folded normalisation, not itself."""
        owner = self._owner(node.output[0])
        source = owner.all_input_nodes[0] if owner.all_input_nodes else owner
        return _node(source.args[0]) if source in self._folded else owner

    def _convolution(self, node: NodeProto) -> Node:
        found = self._reader(node)
        if found.target not in _CONVOLUTIONS:
            raise ConfigError(f"{node.name} of the graph is no convolution in PyTorch, but {found.target}.")
        return found

    def _last_uses(self) -> dict[Node, list[Node]]:
        """Node → what nobody needs any more after it."""
        last: dict[Node, Node] = {}
        for node in self._nodes:
            for source in self._inputs(node):
                last[source] = node
        last.pop(self._logits, None)
        uses: dict[Node, list[Node]] = {}
        for source, node in last.items():
            uses.setdefault(node, []).append(source)
        return uses


def _node(argument: Any) -> Node:
    assert isinstance(argument, Node)
    return argument


def _has_int8_weights(node: NodeProto, placement: Placement) -> bool:
    return node.op_type == "Conv" and node.input[1] in placement.weights and node.name not in placement.kept


def _is_transposed(node: Node) -> bool:
    return node.target is _aten.conv_transpose2d.input or bool(_arguments(node).get("transposed"))


def _arguments(node: Node) -> dict[str, Any]:
    """All arguments of a call by name, defaults among them."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    given = {argument.name: argument.default_value for argument in schema if argument.has_default_value()}
    return given | dict(zip((argument.name for argument in schema), node.args, strict=False)) | dict(node.kwargs)
