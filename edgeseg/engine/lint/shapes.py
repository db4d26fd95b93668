"""Rules about sizes: an engine is built for sizes that it is told."""

from __future__ import annotations

from collections.abc import Iterator

from edgeseg.engine.lint.finding import ERROR, Fault, Rule
from edgeseg.engine.lint.target import Target
from edgeseg.engine.lint.view import GraphView


def open_inputs(view: GraphView) -> Iterator[Fault]:
    """Inputs with an open size, as faults without an advice."""
    for value in view.inputs:
        sizes = view.shape_of(value.name)
        if sizes is None or None in sizes:
            text = "unknown" if sizes is None else " x ".join("?" if size is None else str(size) for size in sizes)
            yield Fault(f"input {value.name}", f"an open shape: {text}", "")


def _profile(view: GraphView, target: Target) -> Iterator[Fault]:
    if not target.profile:
        advice = "Name camera_min, camera_opt and camera_max in a recipe's [engine], or export with --camera-size."
        yield from (fault._replace(advice=advice) for fault in open_inputs(view))


RULES = (Rule("open-shape", ERROR, "without a profile TensorRT builds for fixed sizes only", _profile),)
