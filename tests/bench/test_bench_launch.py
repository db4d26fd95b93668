from __future__ import annotations

import json

import pytest
from tiny_benchmark import printed_by_child

from edgeseg.bench.launch import StartFailed, launch_child, measure_starts


def test_a_process_that_fails_tells_its_last_line() -> None:
    with pytest.raises(StartFailed, match="BundleError: nowhere"):
        launch_child(["nowhere", "--precision", "fp32", "--backend", "onnxruntime", "--frame-hw", "64x80"])


def test_the_frame_that_is_drawn_in_between_does_not_count() -> None:
    start = measure_starts([], 1, lambda _: (3.0, printed_by_child(3.0))).to_dict()
    assert start["total_ms"] == pytest.approx(550 + 40)
    assert start["first_frame_ms"] == pytest.approx(40)


def test_times_are_the_median_and_memory_is_the_most() -> None:
    peaks, began = iter([120.0, 180.0, 130.0]), iter([0.0, -0.3, 0.0])

    def launch(_: object) -> tuple[float, str]:
        told = json.loads(printed_by_child(0.0))
        told["peak_mib"] = next(peaks)
        return next(began), json.dumps(told)

    starts = measure_starts([], 3, launch)
    assert starts.to_dict()["total_ms"] == pytest.approx(590)
    assert starts.to_dict()["slowest_total_ms"] == pytest.approx(890)
    assert starts.memory_dict() == {"first_frame_mib": 100, "peak_mib": 180}


def test_a_system_that_does_not_tell_memory() -> None:
    told = json.loads(printed_by_child(0.0))
    told.update(peak_mib=None, resident_mib={"first_frame": None})
    assert measure_starts([], 1, lambda _: (0.0, json.dumps(told))).memory_dict() is None
