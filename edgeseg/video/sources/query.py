"""Settings behind the ? of an address."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from edgeseg.errors import SourceError


def read_settings(uri: str, query: str, known: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    """`"seed=7&size=360x640"` → values, each read by its function in `known`.

    Raises `SourceError` for a key that is not known, and where a function raises `ValueError`.
    """
    settings: dict[str, Any] = {}
    for key, text in parse_qsl(query, keep_blank_values=True):
        if key not in known:
            raise SourceError(f"{uri}: unknown setting {key!r}; known are: {', '.join(known)}.")
        try:
            settings[key] = known[key](text)
        except ValueError as error:
            raise SourceError(f"{uri}: {key}={text!r} cannot be used: {error}.") from error
    return settings


def size_hw(text: str) -> tuple[int, int]:
    """`"360x640"` → height and width."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise ValueError("expected HEIGHTxWIDTH, such as 360x640")
    return int(match[1]), int(match[2])


def count(text: str) -> int:
    """A whole number from 1."""
    value = int(text)
    if value < 1:
        raise ValueError("expected 1 or more")
    return value
