"""Networks, one architecture a file, all built through `build_model(spec)`."""

from __future__ import annotations

from edgeseg.models.registry import NETWORKS, ModelSpec, build_model

__all__ = ["NETWORKS", "ModelSpec", "build_model"]
