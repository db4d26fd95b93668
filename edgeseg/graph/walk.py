"""Which nodes of a sealed graph are the network: those between the image and the logits."""

from __future__ import annotations

from onnx import ModelProto, NodeProto

from edgeseg.graph.contract import IMAGE, LOGITS


def between(model: ModelProto) -> list[NodeProto]:
    """Nodes on a way from the image to the logits, in topological order."""
    reached, after = {IMAGE}, []
    for node in model.graph.node:
        if reached.intersection(node.input):
            reached.update(node.output)
            after.append(node)
    needed, found = {LOGITS}, []
    for node in reversed(after):
        if needed.intersection(node.output):
            needed.update(node.input)
            found.append(node)
    return found[::-1]
