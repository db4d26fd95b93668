"""A second output beside the labels: how sure the network is of each, 255 times its softmax probability.

The probability of the class that is given is the largest, and that is 1 / Σ exp(logit − largest logit): a maximum, a
difference, an exponential, a sum, and one division a pixel instead of one a class. Nothing overflows, because no term
is above 1. The exponentials are float32 in an FP16 graph too.

It is taken where ArgMax reads the logits, in phases if the graph decides before it shuffles, and then goes the way on
which the graph sends its class ids, through copies of the same operators: shuffle, crop, resize by nearest neighbour.
So a pixel's confidence is always that of its own label. A frame whose logits are no numbers has confidence 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, ValueInfoProto, helper, numpy_helper

from edgeseg.errors import ConfigError
from edgeseg.graph.contract import CONFIDENCE, LABELS, LOGITS
from edgeseg.graph.passes.mark_invalid import SOUND, VALIDITY

_CERTAIN = 255.0
"""The uint8 that stands for a probability of 1."""

_CHANNEL = 1
_DECIDES = ("Cast", "Max", "ArgMax")
"""What is between the logits and the first operator that moves the ids: the decision and the mark of invalid frames."""


def give_confidence(model: ModelProto) -> int:
    """Add the output `confidence` behind `labels`; returns 1. Follows `mark_invalid`, whose answer it uses.

    Raises `ConfigError` for a graph whose labels do not come from an ArgMax over the logits.
    """
    graph = model.graph
    decide, moves = _way_of_the_ids(model)
    marked = any(VALIDITY in node.output for node in graph.node)
    keepdims = next((entry.i for entry in decide.attribute if entry.name == "keepdims"), 1)
    nodes = _probabilities(decide, keepdims, marked=marked)
    for number, move in enumerate(moves, 1):
        copy = NodeProto.FromString(move.SerializeToString())
        copy.name = f"{CONFIDENCE}.move{number}"
        copy.input[0] = nodes[-1].output[0]
        copy.output[0] = CONFIDENCE if move.output[0] == LABELS else f"{CONFIDENCE}.{number}"
        nodes.append(copy)
    graph.node.extend(nodes)
    constants = {"channel": np.array([_CHANNEL], np.int64), "certain": np.array(_CERTAIN, np.float32)}
    if marked:
        constants["none"] = np.array(0, np.float32)
    graph.initializer.extend(
        numpy_helper.from_array(values, f"{CONFIDENCE}.{name}") for name, values in constants.items()
    )
    labels = next(value for value in graph.output if value.name == LABELS)
    confidence = ValueInfoProto.FromString(labels.SerializeToString())
    confidence.name = CONFIDENCE
    graph.output.append(confidence)
    return 1


def _way_of_the_ids(model: ModelProto) -> tuple[NodeProto, list[NodeProto]]:
    """ArgMax, and the operators that bring its ids to the labels, in the order of computation."""
    producer = {name: node for node in model.graph.node for name in node.output}
    moves: list[NodeProto] = []
    node = producer.get(LABELS)
    while node is not None and node.op_type != "ArgMax":
        moves.insert(0, node)
        node = producer.get(node.input[0])
    if node is None or list(node.input) != [LOGITS]:
        raise ConfigError(f"no confidence: the labels of this graph are no ArgMax of its {LOGITS}.")
    while moves[0].op_type in _DECIDES and moves[0].output[0] != LABELS:
        del moves[0]
    return node, moves


def _probabilities(decide: NodeProto, keepdims: int, *, marked: bool) -> list[NodeProto]:
    """Nodes from the logits to 255 times the largest probability, rounded, of the shape of the ids."""
    at = f"{CONFIDENCE}.{{}}".format
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("ReduceMax", [LOGITS, at("channel")], at("largest"), {"keepdims": 1}),
        ("Sub", [LOGITS, at("largest")], at("below"), {}),
        ("Exp", [at("below")], at("terms"), {}),
        ("ReduceSum", [at("terms"), at("channel")], at("sum"), {"keepdims": keepdims}),
        ("Div", [at("certain"), at("sum")], at("exact"), {}),
        ("Round", [at("exact")], at("level"), {}),
    ]
    if marked:
        # Not a product with 0 or 1, which would leave a NaN what it is.
        steps.append(("Where", [SOUND, at("level"), at("none")], at("sound"), {}))
    nodes = []
    for operator, inputs, output, attributes in steps:
        node = helper.make_node(operator, inputs, [output], f"{output}.node", **attributes)
        node.metadata_props.extend(decide.metadata_props)
        nodes.append(node)
    return nodes
