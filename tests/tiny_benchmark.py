"""Benchmarks on a virtual clock: sessions take the time that the test says, and fresh processes are made up."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from tiny_bundle import noise
from virtual_time import VirtualTime

from edgeseg.bench.candidate import Wanted
from edgeseg.bench.config import BenchConfig
from edgeseg.bench.energy import Counters, EnergyMeter
from edgeseg.bench.machine import Machine
from edgeseg.bench.report import BenchmarkReport
from edgeseg.bench.run import Tools, run_benchmark
from edgeseg.errors import BackendUnavailable
from edgeseg.runtime.fake import FakeSession, by_brightness
from edgeseg.runtime.segmenter import Segmenter
from edgeseg.telemetry import Sensors

MACHINE = {
    "name": "Made-up CPU",
    "threads": 2,
    "memory_gib": 4.0,
    "system": "Linux x86_64",
    "python": "3.11",
    "jetson": None,
    "power_mode": None,
}
HW = (64, 80)
Latency = Callable[[], float]
"""How many milliseconds the next frame takes."""


def always(milliseconds: float) -> Latency:
    return lambda: milliseconds


def printed_by_child(began_s: float) -> str:
    """A start of 50 + 200 + 300 + 40 ms, with a frame drawn in 5 ms."""
    moments = {"python": 0.05, "import": 0.25, "open": 0.55, "frame_drawn": 0.555, "first_frame": 0.595}
    told = {
        "moments_s": {name: began_s + moment for name, moment in moments.items()},
        "resident_mib": {"import": 40.0, "open": 90.0, "first_frame": 100.0},
        "peak_mib": 120.0,
    }
    return json.dumps(told)


def made_up_launch(_: Sequence[str]) -> tuple[float, str]:
    return 7.0, printed_by_child(7.0)


def benchmark(
    root: Path,
    wanted: Sequence[Wanted],
    latencies: dict[str, Latency],
    *,
    counters: Callable[[VirtualTime], Sequence[Counters]] = lambda _: (),
    launch: Callable[[Sequence[str]], tuple[float, str]] = made_up_launch,
    deadline_ms: float | None = None,
    machine: dict[str, Any] | None = None,
    **settings: Any,
) -> BenchmarkReport:
    """A report of candidates whose precision has a latency; others cannot be opened. `root` stands for /."""
    with VirtualTime() as timing:

        def opener(one: Wanted) -> Segmenter:
            if one.precision not in latencies:
                raise BackendUnavailable(f"{one.precision} is not here.")
            session = FakeSession(
                by_brightness(len(one.bundle.label_map)),
                camera_hw=one.bundle.contract.camera_hw,
                delay_s=1.0,
                sleep=lambda _: timing.sleep(latencies[one.precision]() / 1e3),
            )
            return Segmenter.from_session(session, one.bundle.label_map, precision=one.precision, clock=timing.clock)

        tools = Tools(
            EnergyMeter(counters(timing), timing.clock),
            Machine(Sensors(root, timing.clock), root),
            np.random.default_rng(0),
            timing,
            launch,
            lambda size_hw, count: [noise(np.random.default_rng(number), size_hw) for number in range(count)],
            today=lambda: datetime(2026, 1, 2, tzinfo=timezone.utc),
        )
        return run_benchmark(
            wanted, opener, BenchConfig(**settings), tools, machine=machine or MACHINE, deadline_ms=deadline_ms
        )
