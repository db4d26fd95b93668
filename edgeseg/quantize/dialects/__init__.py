"""One range table and one placement, written in the words of each back end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from onnx import ModelProto

from edgeseg.errors import ConfigError
from edgeseg.graph.fp16 import Fp16Graph, convert_to_fp16
from edgeseg.graph.observe import TensorStatistics
from edgeseg.quantize.dialects.cpu import write_cpu
from edgeseg.quantize.dialects.grey_levels import frame_stays_bytes, image_in_grey_levels
from edgeseg.quantize.dialects.layout import channels_last
from edgeseg.quantize.dialects.scores import scores_as_product
from edgeseg.quantize.dialects.stem import stem_over_blocks
from edgeseg.quantize.dialects.trt import write_trt
from edgeseg.quantize.lint import check_int8
from edgeseg.quantize.placement import CPU, TRT, Placement, place
from edgeseg.quantize.ranges import DEFAULT_METHOD, RangeTable
from edgeseg.quantize.trained_ranges import TRAINED

DIALECTS = {CPU: "int8-cpu", TRT: "int8-trt"}
"""Dialect → name of the precision in a bundle."""


@dataclass(frozen=True)
class QuantizedGraph:
    """An INT8 graph, where it is quantised, and a report for the manifest."""

    model: ModelProto
    placement: Placement
    report: Mapping[str, Any]


def quantize(
    model: ModelProto,
    table: RangeTable,
    *,
    dialect: str,
    method: str = DEFAULT_METHOD,
    keep: Collection[str] = (),
    fp16: bool = True,
    statistics: Mapping[str, TensorStatistics] | None = None,
    dynamic: bool = False,
) -> QuantizedGraph:
    """FP32 sealed graph → Q/DQ graph of `dialect` ("cpu" or "trt"), with the ranges that `method` chose.

    `keep` are names of nodes that stay in float. Around the int8 convolutions the TensorRT dialect is FP16, or FP32
    with `fp16=False`; `statistics` go to the FP16 pass (without them it knows the peaks, from the table). Tensors keep
    their names. `dynamic` allows the camera's size to be open. Raises `ConfigError` where table and graph do not
    belong together, and `GateError` where the written graph breaks a rule of its dialect.
    """
    if dialect not in DIALECTS:
        raise ConfigError(f"dialect {dialect!r}; expected one of {', '.join(DIALECTS)}.")
    table.check_graph(model)
    # A network that was trained with rounding was trained with that of a normalised image.
    base = image_in_grey_levels(model, keep) if dialect == CPU and method != TRAINED else model
    placement = place(base, dialect, keep=keep)
    report: dict[str, Any] = {"dialect": dialect, "method": method}
    if dialect == CPU:
        reordered = channels_last(base)
        stem_over_blocks(reordered, placement.kept)
        scores_as_product(reordered)
        written = write_cpu(reordered, place(reordered, CPU, keep=keep), table, method)
        frame_stays_bytes(written)
    else:
        if fp16:
            half = _half(model, table, statistics, dynamic)
            base, report["fp16"] = half.model, half.to_dict()
        written = write_trt(model, base, placement, table, method)
    check_int8(written, dialect)
    report |= {
        "int8_convolutions": len(placement.weights),
        "activations": len(placement.activations),
        "kept_float": dict(placement.kept),
    }
    return QuantizedGraph(written, placement, report)


def _half(
    model: ModelProto, table: RangeTable, statistics: Mapping[str, TensorStatistics] | None, dynamic: bool
) -> Fp16Graph:
    peaks = {name: TensorStatistics(max(-found.low, found.high)) for name, found in table.ranges["min-max"].items()}
    return convert_to_fp16(model, statistics or peaks, dynamic=dynamic)
