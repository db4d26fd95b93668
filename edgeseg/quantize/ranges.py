"""What every tensor's values span on the calibration frames: one table, made once, used by every dialect."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from edgeseg.errors import ConfigError, DataError
from edgeseg.files import write_json

SCHEMA = 1
"""Version of the JSON file."""

METHODS = ("min-max", "moving-average", "percentile", "entropy", "mse")


@dataclass(frozen=True, slots=True)
class Range:
    """The interval that quantisation must cover, in the tensor's own units; what lies outside saturates."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise DataError(f"a range from {self.low} to {self.high}; expected finite numbers, the lower one first.")


@dataclass(frozen=True)
class RangeTable:
    """The ranges of a graph's tensors by every method, and what they were observed on."""

    graph_sha256: str
    """Of the FP32 `ModelProto.SerializeToString()` that was observed."""
    calibration_digest: str
    frames: int
    ranges: Mapping[str, Mapping[str, Range]]
    """Method → tensor → range."""

    def of(self, tensor: str, method: str = "entropy") -> Range:
        """The range of one tensor. Raises `ConfigError` for an unknown method, `DataError` for an unknown tensor."""
        if method not in self.ranges:
            raise ConfigError(f"no ranges by method {method!r}; the table has {', '.join(self.ranges)}.")
        if tensor not in self.ranges[method]:
            raise DataError(f"the range table has no tensor {tensor!r}; observe this very graph again.")
        return self.ranges[method][tensor]

    def save(self, path: Path | str) -> None:
        """Write the table as versioned JSON."""
        write_json(path, {"schema": SCHEMA, **asdict(self)})

    @staticmethod
    def load(path: Path | str) -> RangeTable:
        """Read what `save` wrote. Raises `DataError` for anything else."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content.pop("schema") != SCHEMA:
                raise DataError(f"{path}: not a range table of schema {SCHEMA}; observe the ranges again.")
            ranges = {
                method: {tensor: Range(**values) for tensor, values in tensors.items()}
                for method, tensors in content.pop("ranges").items()
            }
            return RangeTable(ranges=ranges, **content)
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}).") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path}: not a range table ({error}); observe the ranges again.") from error
