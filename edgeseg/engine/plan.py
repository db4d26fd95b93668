"""From recipe, capabilities and device to a build plan: named steps that can be read, before anything is built."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do to TensorRT."""

    name: str
    """Key in `edgeseg.engine.apply.ACTIONS`."""
    reason: str
    """Why, in words."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Numbers, texts and TensorRT's names ("BuilderFlag.TF32"); never an enum's number, which differs by release."""


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """How one engine will be built."""

    tensorrt: str
    """Version planned for."""
    device: str
    precision: str
    graph: str
    """The bundle's graph that is parsed, one of `edgeseg.types.PRECISIONS`."""
    strongly_typed: bool
    """Whether the engine computes in exactly the types of the graph."""
    steps: tuple[Step, ...]
    warnings: tuple[str, ...] = ()
