"""The self-test for real on ONNX Runtime's CPU, and on stand-ins for TensorRT and CUDA that answer as it does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_driver import RTX_4070
from fake_tensorrt import VERSIONS, Tensor
from tiny_bundle import tiny_bundle
from tiny_engine import Machine

from edgeseg.bundle import Bundle
from edgeseg.cli.main import main
from edgeseg.engine import driver
from edgeseg.engine.cuda import Cuda
from edgeseg.engine.selftest import checks, kits
from edgeseg.engine.selftest.graphs import SUITE, Upsampling, dividing_graph, upsampling_graph
from edgeseg.engine.selftest.kits import CpuKit, GpuKit, Opened
from edgeseg.engine.selftest.report import Item, SelftestReport
from edgeseg.engine.selftest.run import SelftestConfig, run_selftest
from edgeseg.engine.selftest.timing import LEAST_RUNS, measure, measure_in_turn
from edgeseg.engine.selftest.variants import best
from edgeseg.errors import ConfigError, GateError
from edgeseg.graph.lint import check_sealed
from edgeseg.runtime.ort import OrtSession
from edgeseg.runtime.session import Session
from edgeseg.types import Labels

Hw = tuple[int, int]
SMALL = Upsampling(4, 2, 1, classes=3, frame_hw=(23, 31))
QUICK = SelftestConfig(seconds=0.001, suite=(SMALL,), variants_of=SMALL)
FRAME_HW = (64, 96)


class Ticks:
    """A clock that goes on by a hundredth of a second at every look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.01
        return self.now


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setenv("EDGESEG_CACHE", str(tmp_path / "cache"))
    operators = dict.fromkeys(("fp32", "fp16", "int8-cpu", "int8-trt"), "ArgMax")
    return tiny_bundle(tmp_path / "a.edgeseg", FRAME_HW, operators=operators)


def selftest(bundle: Bundle, kit: kits.Kit, config: SelftestConfig = QUICK) -> SelftestReport:
    return run_selftest(
        bundle,
        kit,
        config,
        machine={"cpu": "a | b"},
        clock=Ticks(),
        now=lambda: datetime(2026, 11, 21, tzinfo=timezone.utc),
    )


def names(report: SelftestReport, section: str) -> list[str]:
    return [item.name for item in report.items if item.section == section]


def check_complete(report: SelftestReport, precisions: list[str]) -> None:
    assert report.failed == ()
    assert names(report, "latency") == precisions
    assert names(report, "parity with ONNX Runtime FP32 on the CPU") == precisions
    assert names(report, "golden frames") == [
        f"{name} {frame}" for name in precisions for frame in ("day_000", "night_000")
    ]
    forms = ("transposed", "sub-pixel", "decided-first")
    assert names(report, "transposed convolutions") == [
        f"{SMALL.name}, {form}, {precision}" for form in forms for precision in ("fp32", "fp16")
    ]
    assert names(report, "invalid frames") == ["sound frame", "NaN", "infinity"]
    assert names(report, "variants: upsampling") == list(forms)
    assert names(report, "variants: ArgMax") == ["argmax", "topk", "channels last"]
    assert set(report.best) == {"upsampling", "ArgMax"}
    json.dumps(report.to_dict(), allow_nan=False)


def test_on_the_cpu(bundle: Bundle) -> None:
    report = selftest(bundle, CpuKit(threads=1))
    check_complete(report, ["fp32", "fp16", "int8-cpu"])
    assert report.runtime["backend"] == "onnxruntime"
    assert "no transfer" in report.runtime["latency_includes"]
    assert report.created == "2026-11-21T00:00:00+00:00"
    page = report.to_markdown()
    assert page.startswith("# edgeseg selftest: all passed\n")
    assert "| fp32 day_000 | 1 | 0 | 0 | yes | ok |" in page
    assert "- cpu: a / b" in page


class AnsweringKit(GpuKit):
    """TensorRT and CUDA are stand-ins; what an engine computes is what ONNX Runtime makes of its graph."""

    def __init__(self, machine: Machine, spoil: Callable[[Labels], Labels] = lambda labels: labels) -> None:
        super().__init__(machine.gpu, machine.trt, Cuda(machine.gpu.index, machine.cuda))
        self._machine = machine
        self._spoil = spoil
        self._answers: dict[int, OrtSession] = {}
        machine.tensorrt.execute = self._execute

    def open_bundle(self, bundle: Bundle, precision: str, tell: Callable[[str], None]) -> Opened:
        self._say_tensors(FRAME_HW)
        opened = super().open_bundle(bundle, precision, tell)
        self._answer(opened.session, bundle.graph_bytes(precision))
        return opened

    def open_graph(self, graph: bytes, precision: str, frame_hw: Hw) -> Session:
        self._say_tensors(frame_hw)
        session = super().open_graph(graph, precision, frame_hw)
        self._answer(session, graph)
        return session

    def _say_tensors(self, frame_hw: Hw) -> None:
        self._machine.tensorrt.tensors = (
            Tensor("frame", "UINT8", (1, *frame_hw, 3), True),
            Tensor("labels", "UINT8", (1, *frame_hw), False),
        )

    def _answer(self, session: Any, graph: bytes) -> None:
        self._answers[id(session._runner._context)] = OrtSession(graph, threads=1)

    def _execute(self, context: Any, stream: int) -> bool:
        cuda, answer = self._machine.cuda, self._answers[id(context)]
        _, height, width, _ = shape = answer.inputs.shape
        frame, labels = context._addresses["frame"], context._addresses["labels"]
        assert height is not None
        assert width is not None
        count = height * width

        def kernel() -> None:
            pixels = cuda.memory(frame, 3 * count).reshape(shape)
            cuda.memory(labels, count)[:] = self._spoil(answer.run(pixels)).ravel()

        cuda.enqueue(stream, kernel)
        return True


@pytest.mark.trt_api
@pytest.mark.parametrize("version", VERSIONS)
def test_on_a_gpu_that_is_not_there(bundle: Bundle, version: str) -> None:
    machine = Machine(version, gpu=RTX_4070)
    report = selftest(bundle, AnsweringKit(machine))
    check_complete(report, ["fp32", "fp16", "int8-trt"])
    assert names(report, "engines") == ["fp32", "fp16", "int8-trt"]
    assert (report.runtime["gpu"], report.runtime["tensorrt"]) == (RTX_4070.name, version)
    assert "transfers are in" in report.runtime["latency_includes"]
    latency = report.to_dict()["sections"]["latency"]
    assert [item["cuda_graph"] for item in latency] == [True] * 3
    assert sorted(path.name for path in (bundle.path / "engines").glob("*.plan")) == [
        "fp16.plan",
        "fp32.plan",
        "int8-trt.plan",
    ]
    assert machine.cuda.live == {}


def test_an_engine_that_labels_wrongly_fails_everywhere_and_wins_nothing(bundle: Bundle) -> None:
    def shifted(labels: Labels) -> Labels:
        return np.roll(labels, 5, axis=2)

    report = selftest(bundle, AnsweringKit(Machine(gpu=RTX_4070), shifted))
    sections = {item.section for item in report.failed}
    assert {"golden frames", "transposed convolutions", "variants: ArgMax"} <= sections
    assert report.best == {}
    with pytest.raises(GateError, match=r"checks failed, first: golden frames, fp32 day_000: agreement 0\."):
        report.raise_if_failed()
    assert "**FAILED**" in report.to_markdown()


def test_what_breaks_is_written_down_and_the_rest_is_done(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any) -> Iterator[Item]:
        raise AttributeError("'IBuilder' object has no\nattribute 'x'")

    monkeypatch.setattr(checks, "invalid_items", missing)
    bundle.graph_path("fp16").write_bytes(b"torn")
    report = selftest(bundle, CpuKit(threads=1))
    assert [(item.section, item.name) for item in report.failed] == [
        ("bundle", "fp16"),
        ("invalid frames", "a graph that divides"),
    ]
    torn, broken = (item.error or "" for item in report.failed)
    assert "damaged or altered" in torn
    assert broken.startswith("AttributeError: 'IBuilder' object has no attribute 'x' (missing, line ")
    assert names(report, "latency") == ["fp32", "int8-cpu"]
    assert "**bundle, fp16**: " in report.to_markdown()


@pytest.mark.parametrize("case", SUITE, ids=lambda case: case.name)
def test_the_suite_is_of_sealed_graphs_that_use_all_classes(case: Upsampling) -> None:
    model = upsampling_graph(case)
    check_sealed(model, dynamic=False)
    frame = np.random.default_rng(7).integers(0, 256, (1, *case.frame_hw, 3), dtype=np.uint8)
    with OrtSession(model.SerializeToString()) as session:
        assert len(np.unique(session.run(frame))) >= case.classes - 2
    check_sealed(dividing_graph((32, 48)), dynamic=False)


class TestTiming:
    def test_percentiles_are_of_what_was_measured(self) -> None:
        clock = Ticks()
        latency = measure(lambda: None, clock, seconds=1.0)
        assert latency.p50_ms == latency.p99_ms == pytest.approx(10.0)
        # Two looks at the clock for each of the first ten runs, which are due anyway, and three for the others.
        assert latency.runs == pytest.approx(10 + (1.0 - 10 * 0.02) / 0.03, abs=2)

    def test_at_least_ten_runs_after_the_warm_up(self) -> None:
        clock, runs = Ticks(), []
        latency = measure(lambda: runs.append(clock.now), clock, seconds=0.001)
        assert latency.runs == LEAST_RUNS
        assert runs[-LEAST_RUNS] >= 0.2

    def test_several_take_turns(self) -> None:
        order: list[str] = []
        clock = Ticks()
        found = measure_in_turn({name: partial(order.append, name) for name in "ab"}, clock, seconds=0.001)
        assert "".join(order[-6:]) == "ababab"
        assert {name: latency.runs for name, latency in found.items()} == {"a": LEAST_RUNS, "b": LEAST_RUNS}


def test_the_fastest_right_variant_is_best() -> None:
    items = [
        Item("variants: ArgMax", "slow", True, {"p50_ms": 3.0}),
        Item("variants: ArgMax", "wrong", False, {"p50_ms": 1.0}),
        Item("variants: ArgMax", "fast", True, {"p50_ms": 2.0}),
        Item("latency", "fp32", None, {"p50_ms": 0.1}),
    ]
    assert best(items) == {"ArgMax": "fast"}


def test_seconds_out_of_range() -> None:
    with pytest.raises(ConfigError, match="seconds=0"):
        SelftestConfig(seconds=0)


class TestCommand:
    def test_without_a_driver_one_line_and_three(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def nothing(index: int) -> Any:
            raise driver.DriverUnavailable("no NVIDIA driver (libcuda.so.1 is not found)", "Install one")

        monkeypatch.setattr(kits, "require_gpu", nothing)
        assert main(["selftest", "--gpu", "--output", str(tmp_path / "report")]) == 3
        printed = capsys.readouterr()
        assert (printed.out, printed.err) == (
            "",
            "edgeseg: error: no NVIDIA driver (libcuda.so.1 is not found). Install one.\n",
        )
        assert list(tmp_path.iterdir()) == []

    def test_the_report_is_written_printed_and_judged(
        self, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        asked: list[SelftestConfig] = []

        def quickly(opened: Bundle, kit: kits.Kit, config: SelftestConfig, **given: Any) -> SelftestReport:
            asked.append(config)
            return run_selftest(opened, kit, QUICK, **given)

        monkeypatch.setattr("edgeseg.engine.selftest.run.run_selftest", quickly)
        command = ["selftest", str(bundle.path), "--threads", "1", "--output", str(tmp_path / "my.report")]
        assert main([*command, "--quick"]) == 0
        printed = capsys.readouterr()
        written = json.loads((tmp_path / "my.report.json").read_text())
        assert written["passed"]
        assert written["machine"]["python"]
        assert (tmp_path / "my.report.md").read_text() in printed.out
        assert "edgeseg: variants: ArgMax" in printed.err
        monkeypatch.setitem(checks.SUITE_AGREEMENT, "fp16", 1.1)
        assert main(command) == 1
        assert "checks failed, first: transposed convolutions" in capsys.readouterr().err
        assert asked == [SelftestConfig.quick(), SelftestConfig()]
        assert [(config.seconds, len(config.suite)) for config in asked] == [(0.5, 4), (3.0, 10)]
        assert not json.loads((tmp_path / "my.report.json").read_text())["passed"]
