"""All of a benchmark, in order: open, start fresh processes, warm up, rest, take turns, run the camera loop, tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from typing import Any

import numpy as np

from edgeseg import __version__
from edgeseg.bench.camera import CameraRun, run_camera
from edgeseg.bench.candidate import Candidate, Open, Wanted, draw_frames, open_candidates
from edgeseg.bench.config import MIN_RUNS, BenchConfig
from edgeseg.bench.energy import EnergyMeter
from edgeseg.bench.launch import Launch, StartFailed, StartUp, launch_child, measure_starts
from edgeseg.bench.machine import Machine, warnings
from edgeseg.bench.missing import not_measured
from edgeseg.bench.ratios import ratio_in_turn
from edgeseg.bench.report import BenchmarkReport, Deadline, Measured
from edgeseg.bench.rounds import Slice, run_slice, take_turns, warm_up
from edgeseg.bench.steadiness import Steadiness, steadiness
from edgeseg.bundle import Bundle
from edgeseg.types import Frame
from edgeseg.video.timing import REAL_TIME, Timing


@dataclass(frozen=True, slots=True)
class Tools:
    """What a benchmark looks at and is run with; a test brings its own."""

    meter: EnergyMeter
    machine: Machine
    rng: np.random.Generator
    """For the confidence intervals."""
    timing: Timing = REAL_TIME
    launch: Launch = launch_child
    draw: Callable[[tuple[int, int], int], list[Frame]] = draw_frames
    """Height and width, how many → frames BGR uint8 (H, W, 3)."""
    tell: Callable[[str], None] = lambda _: None
    """Takes a line on what is being done."""
    today: Callable[[], datetime] = lambda: datetime.now(timezone.utc)


def run_benchmark(
    wanted: Sequence[Wanted],
    opener: Open,
    config: BenchConfig,
    tools: Tools,
    *,
    machine: Mapping[str, Any],
    deadline_ms: float | None = None,
) -> BenchmarkReport:
    """Measure all candidates that can be opened; `machine` says on what. Raises what the first one raises if none can.

    A candidate that fails while it runs ends the benchmark with its error: half a comparison is none.
    """
    clock = tools.timing.clock
    arrived = tools.machine.state()

    @cache
    def frames(size_hw: tuple[int, int]) -> list[Frame]:
        tools.tell(f"drawing {config.frames} frames of {size_hw[0]}x{size_hw[1]}")
        return tools.draw(size_hw, config.frames)

    def frames_of(bundle: Bundle) -> list[Frame]:
        contract = bundle.contract
        return frames(config.camera_hw or contract.camera_hw or contract.network_hw)

    candidates, refused = open_candidates(wanted, opener, frames_of, clock)
    try:
        started, not_started = _starts(candidates, config, tools)
        for candidate in candidates:
            warm_up(candidate, config.warmup_s, clock)
        tools.tell(f"resting for {config.rest_s:g} s")
        tools.meter.began()
        tools.timing.sleep(config.rest_s)
        tools.meter.ended_rest()
        before = tools.machine.state()
        for candidate in candidates:
            warm_up(candidate, config.warmup_s, clock)
        slices = take_turns(
            candidates,
            rounds=config.rounds,
            slice_s=config.duration_s / config.rounds,
            min_runs=-(-MIN_RUNS // config.rounds),
            clock=clock,
            watch=tools.meter,
            tell=lambda done: tools.tell(f"round {done} of {config.rounds}"),
        )
        cameras = [_camera(candidate, config, tools) for candidate in candidates]
        after = tools.machine.state()
        measured = [
            Measured(
                facts={**candidate.to_dict(), "threads": config.threads},
                slices=tuple(slices[number]),
                ratio=ratio_in_turn(_rounds(slices[0]), _rounds(slices[number]), tools.rng) if number else None,
                steadiness=_steadiness(slices[number]) if len(candidates) == 1 else None,
                camera=cameras[number][0],
                bare_fps=cameras[number][1],
                start_up=started[number],
                energy=tools.meter.energy(number),
            )
            for number, candidate in enumerate(candidates)
        ]
    finally:
        for candidate in candidates:
            candidate.close()
    threads = config.threads or int(machine.get("threads") or 1)
    return BenchmarkReport(
        edgeseg=__version__,
        created=tools.today().isoformat(timespec="seconds"),
        config=config,
        machine=machine,
        arrived=arrived,
        before=before,
        after=after,
        candidates=tuple(measured),
        refused=refused,
        not_measured=tuple(not_measured(measured, config, before, refused, not_started)),
        warnings=(*warnings(arrived, before, after, threads), *_resize_notes(measured)),
        deadline=None if deadline_ms is None else Deadline(deadline_ms),
    )


def _starts(
    candidates: Sequence[Candidate], config: BenchConfig, tools: Tools
) -> tuple[list[StartUp | None], dict[str, str]]:
    """Start-up and memory of each candidate, and why where a process failed."""
    found: list[StartUp | None] = []
    failed: dict[str, str] = {}
    for candidate in candidates:
        if config.starts == 0:
            found.append(None)
            continue
        tools.tell(f"{candidate.label}: starting {config.starts} fresh processes")
        segmenter, (height, width) = candidate.segmenter, candidate.frame_hw
        arguments = [str(candidate.bundle.path), "--precision", segmenter.precision, "--backend", segmenter.backend]
        arguments += ["--frame-hw", f"{height}x{width}"]
        arguments += [] if config.threads is None else ["--threads", str(config.threads)]
        try:
            found.append(measure_starts(arguments, config.starts, tools.launch))
        except StartFailed as error:
            found.append(None)
            failed[candidate.label] = str(error)
    return found, failed


def _camera(candidate: Candidate, config: BenchConfig, tools: Tools) -> tuple[CameraRun | None, float | None]:
    """The loop, and the bare session's frames a second right before and after it: at another time it was another."""
    if not config.end_to_end:
        return None, None
    tools.tell(f"{candidate.label}: camera loop for {config.duration_s:g} s")

    def bare() -> Slice:
        return run_slice(candidate, config.duration_s / 6, MIN_RUNS // 2, tools.timing.clock)

    before = bare()
    camera = run_camera(
        candidate.segmenter,
        candidate.frames,
        seconds=config.duration_s,
        warmup_s=config.warmup_s,
        camera_fps=config.camera_fps,
        timing=tools.timing,
    )
    after = bare()
    return camera, len(before.timed + after.timed) / (before.session_s + after.session_s)


def _rounds(slices: Sequence[Slice]) -> list[float]:
    return [one.median_ms for one in slices]


def _steadiness(slices: Sequence[Slice]) -> Steadiness | None:
    """Of a candidate that ran alone, so that its slices are one run without a pause."""
    at_s = [moment for one in slices for moment in one.at_s]
    latency_ms = [run.session_ms for one in slices for run in one.timed]
    return steadiness(at_s, latency_ms, sum(one.wall_s for one in slices))


def _resize_notes(measured: Sequence[Measured]) -> list[str]:
    notes = []
    for one in measured:
        if one.facts["host_resize"]:
            frame, graph = ("x".join(map(str, one.facts[name])) for name in ("frame_hw", "graph_hw"))
            notes.append(
                f"{one.label}: its graph takes {graph} only, so frames of {frame} were resized on the host. That is in "
                f"frame to labels and the camera loop, not in session. Export with --camera-size {frame} to avoid it."
            )
    return notes
