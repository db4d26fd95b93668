"""TensorRT's calibration cache: header, one scale a line, and no scale where nothing may be int8."""

from __future__ import annotations

import struct

import pytest
from tiny_int8 import residual, residual_table

from edgeseg.errors import ConfigError
from edgeseg.graph.contract import IMAGE
from edgeseg.quantize.ranges import Range, RangeTable
from edgeseg.quantize.tensorrt_cache import calibration_cache, parse_version


def test_lines_are_scales_as_big_endian_hex() -> None:
    table = residual_table()
    text = calibration_cache(residual(), table, version=(8, 6, 1), method="min-max")
    header, *lines = text.splitlines()
    assert header == "TRT-8601-EntropyCalibration2"
    scales = {}
    for line in lines:
        tensor, digits = line.split(": ")
        assert len(digits) == 8
        (scales[tensor],) = struct.unpack(">f", bytes.fromhex(digits))
    found = table.of("sum", "min-max")
    assert scales["sum"] == pytest.approx(max(-found.low, found.high) / 127, rel=1e-6)
    assert text.endswith("\n")


def test_the_digits_of_a_known_scale() -> None:
    # NVIDIA's sampleINT8 lists "data: 3c008912": 0.0078452...
    scale = struct.unpack(">f", bytes.fromhex("3c008912"))[0]
    table = residual_table()
    known = {**table.ranges["min-max"], IMAGE: Range(-0.5, scale * 127)}
    altered = RangeTable(table.graph_sha256, "", 1, {"min-max": known})
    assert f"{IMAGE}: 3c008912\n" in calibration_cache(residual(), altered, version=(10, 3, 0), method="min-max")


def test_class_scores_ids_and_kept_layers_have_none() -> None:
    text = calibration_cache(residual(), residual_table(), version=(8, 6, 1), method="min-max", keep=["third"])
    names = [line.split(": ")[0] for line in text.splitlines()[1:]]
    assert {"logits", "real_ids", "third_out", "planes"}.isdisjoint(names)
    assert {IMAGE, "first_out", "second_out", "third_relu"} <= set(names)


@pytest.mark.parametrize(
    ("version", "header"), [((7, 1, 3), "7103"), ((8, 5, 2), "8502"), ((10, 3, 0), "100300"), ((10, 16, 1), "101601")]
)
def test_versions_as_tensorrt_writes_them(version: tuple[int, int, int], header: str) -> None:
    text = calibration_cache(residual(), residual_table(), version=version, method="min-max")
    assert text.startswith(f"TRT-{header}-EntropyCalibration2\n")


@pytest.mark.parametrize(("text", "version"), [("8.6.1", (8, 6, 1)), ("10.3.0.30", (10, 3, 0)), ("7.1.3", (7, 1, 3))])
def test_versions_as_people_write_them(text: str, version: tuple[int, int, int]) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize("text", ["10", "8.6", "eight", "8.6.1-cuda", "11.0.0", ""])
def test_what_is_no_version_with_a_cache(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected three numbers|reads no calibration cache"):
        parse_version(text)


@pytest.mark.parametrize("version", [(6, 0, 1), (11, 0, 0), (8, -1, 0)])
def test_versions_without_a_cache_are_refused(version: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match=r"reads no calibration cache"):
        calibration_cache(residual(), residual_table(), version=version)


def test_another_graph_is_refused() -> None:
    other = residual()
    other.graph.name = "other"
    with pytest.raises(ConfigError, match=r"ranges are of graph"):
        calibration_cache(other, residual_table(), version=(8, 6, 1))
