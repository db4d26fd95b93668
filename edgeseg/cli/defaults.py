"""Which bundle a command means when none is named."""

from __future__ import annotations

import sys
from pathlib import Path


def bundle_path(named: Path | None) -> Path:
    """The bundle named, or the default model's; where torch is and that is not there yet, it is exported first."""
    if named is not None:
        return named
    from edgeseg.runtime.default import default_bundle

    return default_bundle(_export_default)


def _export_default(path: Path) -> None:
    """Tell what takes so long, then export."""
    print(f"edgeseg: exporting the default model to {path}, once", file=sys.stderr)

    from edgeseg.graph.default import export_default

    export_default(path)
