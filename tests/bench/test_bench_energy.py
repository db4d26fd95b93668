from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeseg.bench.energy import RAILS, EnergyMeter, RailCounters, RaplCounters
from edgeseg.bench.nvml import NvmlCounters


def rapl(root: Path, energy_uj: int) -> None:
    folder = root / "class/powercap/intel-rapl:0"
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in (("name", "package-0"), ("max_energy_range_uj", "1000000000"), ("energy_uj", energy_uj)):
        (folder / name).write_text(f"{value}\n")


class Steady:
    """Counts so many watts by the clock."""

    def __init__(self, clock: list[float], watts: list[float]) -> None:
        self._clock, self._watts, self._sum_j, self._last_s = clock, watts, 0.0, clock[0]

    def read(self) -> dict[str, float]:
        self._sum_j += self._watts[0] * (self._clock[0] - self._last_s)
        self._last_s = self._clock[0]
        return {"board": self._sum_j}

    def tick(self) -> None:
        pass


def test_joules_a_frame_with_and_without_what_the_idle_machine_draws() -> None:
    clock, watts = [0.0], [4.0]
    meter = EnergyMeter([Steady(clock, watts)], lambda: clock[0])
    meter.began()
    clock[0] += 2
    meter.ended_rest()
    for number, drawn, seconds, frames in ((0, 10.0, 1.0, 50), (1, 7.0, 1.0, 20), (0, 12.0, 3.0, 150)):
        watts[0] = drawn
        meter.began(number)
        clock[0] += seconds
        meter.ended(number, frames)
        watts[0] = 4.0
        clock[0] += 5
    assert meter.energy(0) == {
        "board": {
            "joules_per_frame": 46 / 200,
            "joules_per_frame_above_idle": (46 - 16) / 200,
            "watts": 11.5,
            "idle_watts": 4.0,
        }
    }
    found = meter.energy(1)
    assert found is not None
    assert found["board"]["joules_per_frame_above_idle"] == 3 / 20


def test_nothing_counts() -> None:
    meter = EnergyMeter([], lambda: 0.0)
    meter.began(0)
    meter.ended(0, 10)
    assert meter.energy(0) is None
    assert meter.energy(3) is None


def test_rapl_over_its_overflow(tmp_path: Path) -> None:
    counters = RaplCounters(tmp_path)
    seen = []
    for energy_uj in (990_000_000, 995_000_000, 20_000_000):
        rapl(tmp_path, energy_uj)
        seen.append(counters.read())
    assert [reading["package-0 (RAPL)"] for reading in seen] == pytest.approx([0, 5, 30])
    assert RaplCounters(tmp_path / "nothing").read() == {}


def test_rails_are_summed_up_by_the_trapezoid_rule_twice_a_second() -> None:
    clock, watts, looks = [0.0], [5.0], []

    def look() -> float | None:
        looks.append(clock[0])
        return watts[0]

    counters = RailCounters(look, lambda: clock[0])
    assert counters.read() == {RAILS: 0.0}
    watts[0] = 9.0
    for _ in range(10):
        clock[0] += 0.125
        counters.tick()
    assert looks == pytest.approx([0.0, 0.0, 0.5, 1.0])
    assert counters.read() == {RAILS: pytest.approx((5 + 9) / 2 * 0.5 + 9 * 0.75)}
    absent = RailCounters(lambda: None, lambda: clock[0])
    absent.tick()
    assert absent.read() == {}


class FakeNvml:
    """Two boards, of which the second one does not count."""

    def __init__(self) -> None:
        self.millijoules = 5000

    def nvmlInit_v2(self) -> int:  # noqa: N802 - NVML's names
        return 0

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:  # noqa: N802
        count._obj.value = 2
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: Any, device: Any) -> int:  # noqa: N802
        device._obj.value = 100 + index.value
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, device: Any, millijoules: Any) -> int:  # noqa: N802
        millijoules._obj.value = self.millijoules
        return 0 if device.value == 100 else 3


def test_nvml_counts_what_can_count() -> None:
    library = FakeNvml()
    counters = NvmlCounters(lambda _: library, "linux")
    assert counters.read() == {"GPU 0 (NVML)": 5.0}
    library.millijoules = 7500
    assert counters.read() == {"GPU 0 (NVML)": 7.5}


def test_no_nvml() -> None:
    def missing(name: str) -> Any:
        raise OSError(name)

    assert NvmlCounters(missing).read() == {}
