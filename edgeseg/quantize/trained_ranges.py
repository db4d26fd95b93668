"""Ranges that a network learned with (`edgeseg train --qat`), as one more method beside those that were observed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edgeseg.errors import CheckpointError, ConfigError
from edgeseg.quantize.ranges import Range, RangeTable
from edgeseg.training.quantization import QUANTIZATION

TRAINED = "trained"
"""Name of the method."""

RANGES = "ranges"
"""Key in there: tensor of the graph → [low, high]."""


def with_trained_ranges(table: RangeTable, lineage: Mapping[str, Any]) -> RangeTable:
    """`table` with the method `TRAINED`, where the checkpoint of this lineage has ranges; else as it is.

    Tensors that training did not place, as at another input size, keep what was observed by the default method. Raises
    `CheckpointError` for ranges that are none.
    """
    told = lineage.get(QUANTIZATION)
    if not told:
        return table
    try:
        learned = {name: Range(float(low), float(high)) for name, (low, high) in told[RANGES].items()}
    except (KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
        raise CheckpointError(
            f"the ranges in the checkpoint cannot be used ({error}). Fine-tune it again: edgeseg train --qat"
        ) from error
    tensors = next(iter(table.ranges.values()))
    everything = {name: learned.get(name) or table.of(name) for name in tensors}
    return replace(table, ranges={**table.ranges, TRAINED: everything})
