from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgeseg.bench.machine import Machine, others_share, warnings
from edgeseg.telemetry import Sensors


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(f"{text}\n")


def loaded(root: Path) -> Machine:
    for core, kilohertz in enumerate((1_500_000, 900_000)):
        folder = f"sys/devices/system/cpu/cpu{core}"
        write(root, f"{folder}/cpufreq/scaling_cur_freq", str(kilohertz))
        write(root, f"{folder}/cpufreq/scaling_max_freq", "1800000")
        write(root, f"{folder}/cpufreq/scaling_governor", "schedutil")
        write(root, f"{folder}/thermal_throttle/core_throttle_count", "3")
    write(root, "sys/class/thermal/thermal_zone0/type", "cpu")
    write(root, "sys/class/thermal/thermal_zone0/temp", "61300")
    write(root, "proc/loadavg", "0.30 0.20 0.10 1/100 4242")
    write(root, "proc/stat", "cpu  100 0 50 800 30 10 10 0 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0")
    return Machine(Sensors(root), root)


def test_what_linux_tells(tmp_path: Path) -> None:
    state = loaded(tmp_path).state()
    assert state.to_dict() == {
        "load_1min": 0.3,
        "governor": "schedutil",
        "clock_mhz": 1200.0,
        "max_clock_mhz": 1800.0,
        "temperatures_c": {"cpu": 61.3},
        "throttled": 6,
    }
    assert (state.busy_ticks, state.all_ticks) == (170, 1000)


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    state = Machine(Sensors(tmp_path), tmp_path).state()
    assert all(value in (None, {}) for value in state.to_dict().values())
    assert others_share(state, state) is None
    assert warnings(state, state, state, 2) == []


@pytest.mark.parametrize(("busy", "own", "share"), [(80, 60, 0.2), (80, 90, 0.0), (100, 0, 1.0)])
def test_who_else_had_the_processor(tmp_path: Path, busy: int, own: int, share: float) -> None:
    before = loaded(tmp_path).state()
    after = replace(before, busy_ticks=170 + busy, own_ticks=before.own_ticks + own, all_ticks=1100)
    assert others_share(before, after) == pytest.approx(share)


def test_what_to_heed(tmp_path: Path) -> None:
    calm = loaded(tmp_path).state()
    assert warnings(calm, calm, calm, 2) == []
    busy = replace(calm, load_1min=3.5)
    after = replace(calm, throttled=9, busy_ticks=220, all_ticks=1100)
    told = warnings(busy, calm, after, 2)
    assert [line.split(":")[0] for line in told] == [
        "the machine was busy before anything began",
        "other programs had 50% of the processor during the run. Stop them and measure again.",
        "the processor was slowed down by heat 3 times during the run",
    ]
