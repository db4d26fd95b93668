"""Heavy libraries, imported where they are used; a missing one is an install command."""

from __future__ import annotations

import importlib
from typing import Any

from edgeseg.errors import UnavailableError


def require(module: str, extra: str) -> Any:
    """Import `module`, or raise `UnavailableError` naming the extra of edgeseg that brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UnavailableError(
            f"{module} cannot be imported here ({error}). Install it with: pip install 'edgeseg[{extra}]'"
        ) from error
