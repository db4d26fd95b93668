"""What every rewrite of a graph needs: its constants, and another list of nodes."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import GraphProto, NodeProto, TensorProto


def fixed_constants(graph: GraphProto) -> dict[str, TensorProto]:
    """Initializers by name, without those that are inputs of the graph too: these are defaults, which a caller may
    override."""
    given = {value.name for value in graph.input}
    return {tensor.name: tensor for tensor in graph.initializer if tensor.name not in given}


def set_nodes(graph: GraphProto, nodes: Sequence[NodeProto]) -> None:
    """Make `nodes` all there are, old ones among them or not; those in `graph` are copies afterwards."""
    # Copied first, because deleting the nodes would empty those that stay.
    kept = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)


def replace_nodes(graph: GraphProto, old: Sequence[NodeProto], new: Sequence[NodeProto]) -> None:
    """Put `new` in the place of the last of `old`, which are nodes of `graph`; all others become copies."""
    gone = {id(node) for node in old}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node is old[-1]:
            nodes.extend(new)
        elif id(node) not in gone:
            nodes.append(node)
    set_nodes(graph, nodes)
