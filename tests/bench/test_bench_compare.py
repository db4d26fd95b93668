from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_benchmark import HW, MACHINE, always, benchmark
from tiny_bundle import tiny_bundle

from edgeseg.bench.candidate import all_wanted
from edgeseg.bench.compare import OldReport
from edgeseg.bench.config import BenchConfig
from edgeseg.bench.markdown import to_markdown
from edgeseg.bench.page import to_html
from edgeseg.bench.report import BenchmarkReport
from edgeseg.bundle import Bundle
from edgeseg.cli.benchmark import format_report
from edgeseg.errors import ConfigError


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "road.edgeseg", HW)


def run(bundle: Bundle, milliseconds: float, *precisions: str, **settings: Any) -> BenchmarkReport:
    wanted = all_wanted([bundle], precisions or ("fp32",), ["onnxruntime"])
    latencies = dict.fromkeys(precisions or ("fp32",), always(milliseconds))
    return benchmark(Path("/nonexistent"), wanted, latencies, starts=0, frames=1, **settings)


def kept(folder: Path, report: BenchmarkReport, **changes: Any) -> Path:
    path = folder / "old.json"
    path.write_text(json.dumps({**report.to_dict(), **changes}, allow_nan=False))
    return path


def test_faster_than_it_was(bundle: Bundle, tmp_path: Path) -> None:
    old = OldReport.read(kept(tmp_path, run(bundle, 30, end_to_end=True)))
    old.require_same(MACHINE, BenchConfig())
    found = old.compare(run(bundle, 20, end_to_end=True).candidates, np.random.default_rng(0))
    (one,) = found["candidates"]
    assert one["label"] == "tiny fp32 fake"
    assert one["session"]["speed"] == pytest.approx(1.5)
    assert one["session_p95"] == one["frame_to_labels_p95"] == pytest.approx(1.5)
    assert one["end_to_end_fps"] == pytest.approx(1.5, rel=0.02)
    assert found["left_out"] == {}


def test_what_cannot_be_compared_is_left_out_and_said(bundle: Bundle, tmp_path: Path) -> None:
    old = OldReport.read(kept(tmp_path, run(bundle, 30)))
    found = old.compare(run(bundle, 20, "fp16").candidates, np.random.default_rng(0))
    assert found["candidates"] == []
    assert found["left_out"] == {"tiny fp16 fake": "the old report has no such candidate, only tiny fp32 fake"}
    found = old.compare(run(bundle, 20, camera_hw=(96, 128)).candidates, np.random.default_rng(0))
    assert found["left_out"] == {"tiny fp32 fake": "frames of 64x80 then, 96x128 now"}
    loops = run(bundle, 20, end_to_end=True).candidates
    assert old.compare(loops, np.random.default_rng(0))["candidates"][0]["end_to_end_fps"] is None


@pytest.mark.parametrize(
    ("machine", "threads", "message"),
    [
        ({"name": "Other CPU"}, None, "name Made-up CPU then, Other CPU now"),
        ({"power_mode": "15W"}, None, "power_mode None then, 15W now"),
        ({}, 1, "--threads None then, 1 now"),
    ],
)
def test_another_machine_or_setting_is_refused(
    bundle: Bundle, tmp_path: Path, machine: dict[str, str], threads: int | None, message: str
) -> None:
    old = OldReport.read(kept(tmp_path, run(bundle, 30)))
    with pytest.raises(ConfigError, match=message):
        old.require_same({**MACHINE, **machine}, BenchConfig(threads=threads))
    old.require_same({**MACHINE, "python": "3.14"}, BenchConfig(duration_s=60))


def test_what_is_no_report(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        OldReport.read(tmp_path / "nothing.json")
    other = tmp_path / "other.json"
    for content, message in (("{", "is not JSON"), ("[]", "no report of"), ('{"kind": "x"}', "no report of")):
        other.write_text(content)
        with pytest.raises(ConfigError, match=message):
            OldReport.read(other)
    damages: list[dict[str, Any]] = [{"candidates": [{"label": "tiny"}]}, {"machine": 3}, {"settings": {}}]
    for damage in damages:
        with pytest.raises(ConfigError, match="is damaged"):
            OldReport.read(kept(tmp_path, run(bundle, 30), **damage))
    with pytest.raises(ConfigError, match="has schema 99"):
        OldReport.read(kept(tmp_path, run(bundle, 30), schema=99))


def test_every_report_says_what_was_left_out_and_what_the_old_one_warned_of(bundle: Bundle, tmp_path: Path) -> None:
    old = OldReport.read(kept(tmp_path, run(bundle, 30), warnings=["it was hot."]))
    report = run(bundle, 20, "fp32", "fp16")
    report = replace(report, comparison=old.compare(report.candidates, np.random.default_rng(0)))
    for text in (to_markdown(report), to_html(report), format_report(report)):
        assert "old.json: it was hot." in text
        assert "tiny fp16 fake against" in text
        assert "times as fast as in" in text
