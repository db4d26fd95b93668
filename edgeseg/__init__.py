"""edgeseg: road-scene segmentation from PyTorch to the device, with proof that nothing was lost on the way."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeseg.bundle import Bundle
    from edgeseg.runtime.segmenter import Segmenter
    from edgeseg.video.sources import open_source

__version__ = "0.1.0"

_PUBLIC = {
    "Bundle": "edgeseg.bundle",
    "Segmenter": "edgeseg.runtime.segmenter",
    "open_source": "edgeseg.video.sources",
}

__all__ = ["Bundle", "Segmenter", "__version__", "open_source"]


def __getattr__(name: str) -> Any:
    """Load public names when first used, so that `import edgeseg` costs next to nothing (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'edgeseg' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
