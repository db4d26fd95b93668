"""Joules a frame: what the machine used while a candidate ran, and that less what it draws when idle.

RAPL counts the processor package, NVML the GPU board, the INA3221 rails of a Jetson the whole module. None of them
sees the camera, the screen or a PC's power supply. Where a counter counts, its difference is exact; rails give watts,
which are read twice a second and summed up by the trapezoid rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from edgeseg.bench.nvml import NvmlCounters
from edgeseg.telemetry import Sensors, rapl_packages

RAILS = "module (INA3221)"
_RAILS_EVERY_S = 0.5
"""Reading the rails asks chips over I²C, which takes milliseconds: twice a second is about 1 % of the time."""

Joules = dict[str, float]
"""Part of the machine → energy since some moment."""


class Counters(Protocol):
    """Something that counts joules."""

    def read(self) -> Joules:
        """As they stand now."""
        ...

    def tick(self) -> None:
        """Called after each frame, for those that have to look in between."""
        ...


class RaplCounters:
    """Joules of the processor packages, as far as this user may read them."""

    def __init__(self, sys: Path = Path("/sys")) -> None:
        self._sys = sys
        self._last_uj: dict[Path, int] = {}
        self._sum_j: dict[Path, float] = {}

    def read(self) -> Joules:
        """Since the first reading. A counter's overflow is made good, one between two readings."""
        found: Joules = {}
        for package in rapl_packages(self._sys):
            used_uj = package.since(self._last_uj.get(package.folder, package.energy_uj))
            self._last_uj[package.folder] = package.energy_uj
            self._sum_j[package.folder] = self._sum_j.get(package.folder, 0.0) + used_uj / 1e6
            found[f"{package.name} (RAPL)"] = self._sum_j[package.folder]
        return found

    def tick(self) -> None:
        """Nothing: the counter goes round in minutes, and slices are shorter."""


class RailCounters:
    """Joules of a Jetson's module: watts at moments, and between two of them a straight line."""

    def __init__(self, watts: Callable[[], float | None], clock: Callable[[], float]) -> None:
        self._watts = watts
        self._clock = clock
        self._last: tuple[float, float] | None = None
        self._sum_j = 0.0
        self._absent = watts() is None

    def read(self) -> Joules:
        """Since the first reading; empty where there are no rails."""
        watts = None if self._absent else self._watts()
        if watts is not None:
            now_s = self._clock()
            if self._last is not None:
                self._sum_j += (now_s - self._last[0]) * (watts + self._last[1]) / 2
            self._last = (now_s, watts)
        return {} if self._last is None else {RAILS: self._sum_j}

    def tick(self) -> None:
        """Look again where the last look is some time ago."""
        if self._last is not None and self._clock() - self._last[0] >= _RAILS_EVERY_S:
            self.read()


def counters_here(sensors: Sensors, clock: Callable[[], float]) -> tuple[Counters, ...]:
    """All that this machine may have."""
    return RaplCounters(), RailCounters(sensors.rails_now_w, clock), NvmlCounters()


@dataclass
class Used:
    """What some slices used together."""

    seconds: float = 0.0
    frames: int = 0
    joules: Joules = field(default_factory=dict)


class EnergyMeter:
    """Sums up, for each of several users of the machine, what it used. One at a time."""

    def __init__(self, counters: Sequence[Counters], clock: Callable[[], float]) -> None:
        self._counters = counters
        self._clock = clock
        self._began: tuple[float, Joules] = (0.0, {})
        self._used: dict[int, Used] = {}
        self._idle = Used()

    def began(self, _number: int = 0) -> None:
        """Somebody begins."""
        self._began = (self._clock(), self._read())

    def tick(self) -> None:
        """A frame is done."""
        for counter in self._counters:
            counter.tick()

    def ended(self, number: int, runs: int) -> None:
        """Who began has ended, after so many frames."""
        self._add(self._used.setdefault(number, Used()), runs)

    def ended_rest(self) -> None:
        """What began was the machine's rest."""
        self._add(self._idle, 0)

    def _add(self, used: Used, runs: int) -> None:
        began_s, before = self._began
        now = self._read()
        used.seconds += self._clock() - began_s
        used.frames += runs
        for part, joules in now.items():
            if part in before:
                used.joules[part] = used.joules.get(part, 0.0) + joules - before[part]

    def _read(self) -> Joules:
        return {part: joules for counter in self._counters for part, joules in counter.read().items()}

    def energy(self, number: int) -> dict[str, Any] | None:
        """Of one user, part by part, with and without what the idle machine draws; `None` where nothing counts."""
        used = self._used.get(number, Used())
        if not used.frames or not used.seconds or not any(used.joules.values()):
            return None
        return {part: self._part(part, joules, used) for part, joules in used.joules.items() if joules > 0}

    def _part(self, part: str, joules: float, used: Used) -> dict[str, float | None]:
        idle_w = None
        if self._idle.seconds and part in self._idle.joules:
            idle_w = self._idle.joules[part] / self._idle.seconds
        net_j = None if idle_w is None else joules - idle_w * used.seconds
        return {
            "joules_per_frame": round(joules / used.frames, 5),
            "joules_per_frame_above_idle": None if net_j is None else round(net_j / used.frames, 5),
            "watts": round(joules / used.seconds, 3),
            "idle_watts": None if idle_w is None else round(idle_w, 3),
        }
