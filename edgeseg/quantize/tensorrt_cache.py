"""A range table as TensorRT's calibration cache, for DLA and for pipelines up to TensorRT 10 that calibrate no graph.

The format is text: a line `TRT-<version>-<calibrator>`, then one line `<tensor>: <scale>` for each tensor, the scale
being max|x| / 127 as the eight hexadecimal digits of a big-endian float32 (NVIDIA's sampleINT8, "Calibration file").
TensorRT 11 has neither calibrators nor the cache; there the Q/DQ graph is the only way.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection

from onnx import ModelProto

from edgeseg.errors import ConfigError
from edgeseg.quantize.dialects.trt import symmetric
from edgeseg.quantize.placement import may_be_int8
from edgeseg.quantize.ranges import DEFAULT_METHOD, RangeTable

CALIBRATOR = "EntropyCalibration2"
"""The calibrator that DLA asks for. The cache holds scales alone, whichever method of ours chose them."""

FIRST_MAJOR_WITHOUT = 11
"""TensorRT's major version that removed calibrators."""

_WIDE_FROM_MAJOR = 10
"""From here on a version takes two digits for minor and patch: 10.3.0 is 100300, where 8.6.1 was 8601."""


def calibration_cache(
    model: ModelProto,
    table: RangeTable,
    *,
    version: tuple[int, int, int],
    method: str = DEFAULT_METHOD,
    keep: Collection[str] = (),
) -> str:
    """The cache for the FP32 sealed graph `model`, whose tensors `table` ranges; `version` is TensorRT's, (8, 6, 1).

    Only tensors between image and class scores have a line, those that the nodes in `keep` write left out: TensorRT
    runs a layer without a scale in float, and that is where scores and class ids belong. Raises `ConfigError` for a
    version without calibration caches, for a table of another graph, and for a name that the format cannot hold.
    """
    table.check_graph(model)
    lines = [f"TRT-{_header(version)}-{CALIBRATOR}"]
    for tensor in may_be_int8(model, keep):
        if tensor != tensor.strip() or "\n" in tensor:
            raise ConfigError(f"tensor {tensor!r}: a calibration cache has one line per tensor; rename it.")
        found = table.of(tensor, method)
        lines.append(f"{tensor}: {struct.pack('>f', symmetric(found.low, found.high).scale).hex()}")
    return "\n".join(lines) + "\n"


def parse_version(text: str) -> tuple[int, int, int]:
    """`10.3.0`, as `dpkg` or `tensorrt.__version__` tell it, with or without a build number; raises `ConfigError`."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)(\.\d+)*$", text)
    if found is None:
        raise ConfigError(f"TensorRT version {text!r}: expected three numbers with dots, such as 10.3.0.")
    major, minor, patch = (int(number) for number in found.groups()[:3])
    _header((major, minor, patch))
    return major, minor, patch


def _header(version: tuple[int, int, int]) -> int:
    """TensorRT's version as its own header has it."""
    major, minor, patch = version
    if not 7 <= major < FIRST_MAJOR_WITHOUT or min(minor, patch) < 0:
        raise ConfigError(
            f"TensorRT {major}.{minor}.{patch} reads no calibration cache; versions 7 to 10 do. "
            "For later ones take the Q/DQ graph: --precision int8-trt"
        )
    return major * 10000 + minor * 100 + patch if major >= _WIDE_FROM_MAJOR else major * 1000 + minor * 100 + patch
