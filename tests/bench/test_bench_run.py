from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny_benchmark import HW, always, benchmark
from tiny_bundle import tiny_bundle
from virtual_time import VirtualTime

from edgeseg.bench.candidate import Wanted, all_wanted, draw_frames
from edgeseg.bench.config import BenchConfig
from edgeseg.bench.launch import StartFailed
from edgeseg.bundle import Bundle
from edgeseg.errors import BackendUnavailable, ConfigError, GateError

QUICK: dict[str, Any] = {"starts": 1, "duration_s": 4.0, "frames": 2}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "road.edgeseg", HW).path


def wanted(bundle: Path, *precisions: str) -> list[Wanted]:
    return all_wanted([Bundle.open(bundle)], precisions, ["onnxruntime"])


def test_one_candidate_alone(bundle: Path, tmp_path: Path) -> None:
    started = itertools.count()

    def cooling_down() -> float:
        """10 ms at first, 15 ms once it has run for 300 frames."""
        return 10 if next(started) < 300 else 15

    report = benchmark(tmp_path, wanted(bundle, "fp32"), {"fp32": cooling_down}, **QUICK)
    (one,) = report.candidates
    found = report.to_dict()
    assert found["session"] == found["candidates"][0]["session"]
    assert found["session"]["latency"]["min_ms"] == 10
    assert found["session"]["latency"]["p95_ms"] == 15
    assert found["session"]["fps"] == pytest.approx(1e3 / one.session.mean_ms, abs=1e-3)
    assert sum(part.wall_s for part in one.slices) == pytest.approx(4, abs=0.3)
    assert one.steadiness is not None
    assert (one.steadiness.burst_ms, one.steadiness.sustained_ms) == pytest.approx((10, 15))
    assert found["end_to_end"] is None
    assert found["candidates"][0]["against_first"] is None
    assert found["candidates"][0]["start_up"] == {
        "python_ms": 50,
        "import_ms": 200,
        "open_ms": 300,
        "first_frame_ms": 40,
        "total_ms": 590,
        "slowest_total_ms": 590,
        "processes": 1,
    }
    assert found["candidates"][0]["memory"] == {"first_frame_mib": 100, "peak_mib": 120}
    assert found["machine"]["name"] == "Made-up CPU"
    missing = {entry["what"]: entry["why"] for entry in found["not_measured"]}
    assert {"energy", "temperatures", "what heat does", "whether the labels are right"} <= set(missing)
    assert missing["the camera loop: frame age, stages, overlay"] == "not asked for: --end-to-end"


def test_several_take_turns_and_the_ratio_is_exact(bundle: Path, tmp_path: Path) -> None:
    report = benchmark(
        tmp_path, wanted(bundle, "fp32", "fp16", "int8"), {"fp32": always(30), "fp16": always(20)}, **QUICK
    )
    base, fast = report.candidates
    assert base.ratio is None
    assert fast.ratio is not None
    assert (fast.ratio.speed, fast.ratio.low, fast.ratio.high) == pytest.approx((1.5, 1.5, 1.5))
    assert len(base.slices) == len(fast.slices) == 20
    assert report.refused == {"tiny int8 onnxruntime": "int8 is not here."}
    missing = {one.what: one.why for one in report.not_measured}
    assert missing["tiny int8 onnxruntime"] == "int8 is not here."
    assert "took turns" in missing["sustained against burst"]


def test_the_same_twice_is_two_candidates(bundle: Path, tmp_path: Path) -> None:
    twice = [*wanted(bundle, "fp32"), *wanted(bundle, "fp32")]
    report = benchmark(tmp_path, twice, {"fp32": always(30)}, **QUICK)
    assert [one.label for one in report.candidates] == ["tiny fp32 fake", "tiny fp32 fake #2"]


def test_bundles_of_one_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    bundles = [tiny_bundle(tmp_path / f"{name}.edgeseg", HW) for name in ("a", "b")]
    assert [one.title for one in all_wanted(bundles, ["fp32"], ["onnxruntime"])] == [
        str(tmp_path / "a.edgeseg"),
        str(tmp_path / "b.edgeseg"),
    ]


def test_the_camera_loop(bundle: Path, tmp_path: Path) -> None:
    report = benchmark(tmp_path, wanted(bundle, "fp32"), {"fp32": always(25)}, end_to_end=True, **QUICK)
    camera = report.candidates[0].camera
    assert camera is not None
    found = report.to_dict()["end_to_end"]
    assert found["fps"] == pytest.approx(40, rel=0.01)
    assert found["latency_ms"] == pytest.approx(25)
    assert found["share_of_session_fps"] == pytest.approx(1, rel=0.01)
    assert set(found["stages_ms"]) == {"capture", "inference", "analysis", "overlay", "output", "queues", "total"}
    assert camera.report.dropped <= 2
    assert camera.interval.jitter_ms == pytest.approx(0, abs=1e-6)


def test_a_camera_with_a_rate_drops_what_the_loop_cannot_take(bundle: Path, tmp_path: Path) -> None:
    report = benchmark(
        tmp_path, wanted(bundle, "fp32"), {"fp32": always(50)}, end_to_end=True, camera_fps=60.0, **QUICK
    )
    camera = report.candidates[0].camera
    assert camera is not None
    assert camera.fps == pytest.approx(20, rel=0.05)
    assert camera.report.dropped > 100
    assert camera.age.p50_ms >= 50
    assert report.to_dict()["end_to_end"]["camera_fps"] == 60


def test_a_loop_too_slow_for_three_pictures_is_not_measured(bundle: Path, tmp_path: Path) -> None:
    settings = {**QUICK, "duration_s": 1.0}
    report = benchmark(
        tmp_path, wanted(bundle, "fp32"), {"fp32": always(900)}, end_to_end=True, deadline_ms=5000, **settings
    )
    assert report.candidates[0].camera is None
    assert any(one.what == "the camera loop of tiny fp32 fake" for one in report.not_measured)
    with pytest.raises(GateError, match="fewer than three pictures"):
        report.raise_if_failed()


@pytest.mark.parametrize(("limit_ms", "passes"), [(33.0, True), (29.0, False)])
def test_the_deadline_is_held_against_the_95th_percentile(
    bundle: Path, tmp_path: Path, limit_ms: float, passes: bool
) -> None:
    number = itertools.count()
    slow_now_and_then = lambda: 500.0 if next(number) % 50 == 0 else 30.0  # noqa: E731
    report = benchmark(tmp_path, wanted(bundle, "fp32"), {"fp32": slow_now_and_then}, deadline_ms=limit_ms, **QUICK)
    assert report.candidates[0].whole.p99_ms == pytest.approx(500)
    assert report.to_dict()["gate"]["passed"] is passes
    assert report.to_dict()["gate"]["metric"] == "frame_to_labels.p95_ms"
    if passes:
        report.raise_if_failed()
    else:
        with pytest.raises(GateError, match=r"at most 29 ms: tiny fp32 fake takes 30\.0 ms"):
            report.raise_if_failed()


def test_a_deadline_does_not_hold_for_what_could_not_be_measured(bundle: Path, tmp_path: Path) -> None:
    report = benchmark(tmp_path, wanted(bundle, "fp32", "int8"), {"fp32": always(5)}, deadline_ms=33, **QUICK)
    with pytest.raises(GateError, match="tiny int8 onnxruntime could not be measured"):
        report.raise_if_failed()


def test_nothing_can_be_opened(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match="fp32 is not here"):
        benchmark(tmp_path, wanted(bundle, "fp32"), {}, **QUICK)


def test_a_process_that_fails_is_said(bundle: Path, tmp_path: Path) -> None:
    def failing(_: Sequence[str]) -> tuple[float, str]:
        raise StartFailed("no memory")

    report = benchmark(tmp_path, wanted(bundle, "fp32"), {"fp32": always(5)}, launch=failing, **QUICK)
    assert report.candidates[0].to_dict()["start_up"] is None
    assert ("start-up and memory of tiny fp32 fake", "no memory") in {
        (one.what, one.why) for one in report.not_measured
    }


def test_frames_that_the_graph_does_not_take_are_said_to_be_resized(bundle: Path, tmp_path: Path) -> None:
    report = benchmark(tmp_path, wanted(bundle, "fp32"), {"fp32": always(5)}, camera_hw=(96, 128), **QUICK)
    assert report.candidates[0].facts["frame_hw"] == [96, 128]
    assert any("frames of 96x128 were resized on the host" in line for line in report.warnings)


def test_energy_is_above_what_the_rest_drew(bundle: Path, tmp_path: Path) -> None:
    class Counting:
        def __init__(self, timing: VirtualTime) -> None:
            self._timing = timing

        def read(self) -> dict[str, float]:
            return {"board": 5.0 * self._timing.clock()}

        def tick(self) -> None:
            pass

    report = benchmark(
        tmp_path,
        wanted(bundle, "fp32"),
        {"fp32": always(20)},
        counters=lambda timing: [Counting(timing)],
        **QUICK,
    )
    energy = report.candidates[0].energy
    assert energy is not None
    assert energy["board"]["joules_per_frame"] == pytest.approx(0.1)
    assert energy["board"]["joules_per_frame_above_idle"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"duration_s": 0.0}, "--duration 0"),
        ({"duration_s": float("nan")}, "--duration nan"),
        ({"camera_fps": 30.0}, "Add --end-to-end"),
        ({"camera_fps": -1.0, "end_to_end": True}, "--camera-fps -1"),
        ({"threads": 0}, "--threads 0"),
        ({"starts": -1}, "--starts -1"),
    ],
)
def test_numbers_that_measure_nothing(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BenchConfig(**settings)  # type: ignore[arg-type]


def test_the_frames_differ() -> None:
    frames = draw_frames((64, 80), 3)
    assert all(frame.shape == (64, 80, 3) and frame.flags.c_contiguous for frame in frames)
    assert not any((one == other).all() for one, other in itertools.combinations(frames, 2))
