"""The default model's bundle, for commands that are given none."""

from __future__ import annotations

from pathlib import Path

from edgeseg.graph.deliver import deliver
from edgeseg.graph.recipe import ExportConfig
from edgeseg.models.checkpoint import load_checkpoint
from edgeseg.runtime.default import DEFAULT_NAME


def export_default(path: Path) -> None:
    """Write the default model's bundle to `path`: FP32 and FP16, frames of any size. Raises `GateError` if it fails."""
    deliver(load_checkpoint(None), ExportConfig(fp16=True, dynamic=True), path, name=DEFAULT_NAME).raise_if_failed()
