"""Building an engine: the plan is applied, watched and can be stopped; what comes out is a raw plan and a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgeseg.engine.plan import BuildPlan


@dataclass(frozen=True, slots=True)
class BuiltEngine:
    """A serialised engine and what is known of it. Nothing is on disk yet."""

    plan_bytes: bytes
    """TensorRT's own format, as trtexec and DeepStream load it."""
    plan: BuildPlan
    """How it was built."""
    seconds: float
    layers: tuple[dict[str, Any], ...] = ()
    """What the engine's inspector says of each layer."""
    fallback: tuple[str, ...] = ()
    """Layers that DLA was asked to run and cannot, so that the GPU does."""
    warnings: tuple[str, ...] = ()
