"""JSON that seals itself: its field `sha256` is the SHA-256 of its own bytes with these 64 digits written as zeros.

Hashes tell damage and mixed-up files. They do not tell an attacker, who would write matching hashes: against him, fetch
the files over a channel that you trust, or sign them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

UNSEALED = "0" * 64
"""What stands in the field `sha256` until it is sealed."""

DIGEST = re.compile(r"[0-9a-f]{64}")


def sealed_json(value: Mapping[str, Any]) -> bytes:
    """`value`, whose field `sha256` is `UNSEALED`, as indented JSON with its seal.

    Raises `TypeError` or `ValueError` for what JSON cannot hold: arrays, NaN.
    """
    unsealed = (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()
    return unsealed.replace(UNSEALED.encode(), hashlib.sha256(unsealed).hexdigest().encode(), 1)


def seal_holds(data: bytes, seal: str) -> bool:
    """Whether `seal`, read from the field `sha256` of `data`, is its hash."""
    if not DIGEST.fullmatch(seal):
        return False
    return hashlib.sha256(data.replace(seal.encode(), UNSEALED.encode(), 1)).hexdigest() == seal


def parse_json(data: bytes) -> Any:
    """The JSON in `data`; raises `ValueError` for anything that is none, NaN and infinities included."""
    try:
        return json.loads(data, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
