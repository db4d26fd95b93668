"""The machine's state around a measurement: clocks, temperatures, load, throttling, and who else uses the processor.

Sources: kernel.org/doc, "CPU Performance Scaling" (cpufreq in sysfs), "Thermal throttle" counters of x86 in
/sys/devices/system/cpu/cpu*/thermal_throttle, proc(5) for /proc/stat and /proc/loadavg. What a system does not have is
`None`.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from edgeseg.telemetry import Sensors

BUSY_LOAD = 0.25
"""Load average a thread above which the machine is called busy before the first frame."""
OTHERS = 0.1
"""Share of the processor that others may have had during the run before it is said."""


@dataclass(frozen=True, slots=True)
class MachineState:
    """At one moment."""

    load_1min: float | None
    """Load average of the last minute: threads that ran or wanted to."""
    governor: str | None
    clock_mhz: float | None
    """Mean current clock over all cores."""
    max_clock_mhz: float | None
    """The highest that the governor allows any core."""
    temperatures_c: dict[str, float]
    throttled: int | None
    """Times that a core was slowed down because of heat since the start of the machine."""
    busy_ticks: int | None
    """Ticks of the clock that all cores together have worked since its start."""
    own_ticks: int
    """Of these, for this process."""
    all_ticks: int | None
    """Ticks of all cores together, with the idle ones."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data, without what only differences tell."""
        value = asdict(self)
        for name in ("busy_ticks", "own_ticks", "all_ticks"):
            del value[name]
        return value


class Machine:
    """Looks at this one."""

    def __init__(self, sensors: Sensors, root: Path = Path("/")) -> None:
        self._sensors = sensors
        self._root = root

    def state(self) -> MachineState:
        """As it is now."""
        busy, every = self._ticks()
        own = os.times()
        return MachineState(
            load_1min=self._load(),
            governor=self._text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            clock_mhz=self._clocks_mhz("scaling_cur_freq", fmean),
            max_clock_mhz=self._clocks_mhz("scaling_max_freq", max),
            temperatures_c={name: round(value, 1) for name, value in self._sensors.read().temperatures_c.items()},
            throttled=self._throttled(),
            busy_ticks=busy,
            own_ticks=round((own.user + own.system) * os.sysconf("SC_CLK_TCK")) if hasattr(os, "sysconf") else 0,
            all_ticks=every,
        )

    def _load(self) -> float | None:
        text = self._text("proc/loadavg")
        return None if text is None else float(text.split()[0])

    def _clocks_mhz(self, name: str, together: Any) -> float | None:
        files = self._root.glob(f"sys/devices/system/cpu/cpu[0-9]*/cpufreq/{name}")
        kilohertz = [float(text) for file in files if (text := _read(file)) is not None and text.isdigit()]
        return round(together(kilohertz) / 1e3, 1) if kilohertz else None

    def _throttled(self) -> int | None:
        files = self._root.glob("sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count")
        counts = [int(text) for file in files if (text := _read(file)) is not None and text.isdigit()]
        return sum(counts) if counts else None

    def _ticks(self) -> tuple[int | None, int | None]:
        """Busy and all, from the first line of /proc/stat: user nice system idle iowait irq softirq steal guest …"""
        line = (self._text("proc/stat") or "").splitlines()[:1]
        ticks = [int(word) for word in line[0].split()[1:9]] if line and line[0].startswith("cpu ") else []
        return (sum(ticks) - ticks[3] - ticks[4], sum(ticks)) if len(ticks) == 8 else (None, None)

    def _text(self, path: str) -> str | None:
        return _read(self._root / path)


def others_share(before: MachineState, after: MachineState) -> float | None:
    """Share of the processor's time, 0 to 1, that went to other processes between two moments."""
    if before.busy_ticks is None or after.busy_ticks is None or before.all_ticks is None or after.all_ticks is None:
        return None
    passed = after.all_ticks - before.all_ticks
    if passed <= 0:
        return None
    others = after.busy_ticks - before.busy_ticks - (after.own_ticks - before.own_ticks)
    return min(1.0, max(0.0, others / passed))


def warnings(arrived: MachineState, before: MachineState, after: MachineState, threads: int) -> list[str]:
    """What a person should know before the figures are believed, a line each.

    `arrived` is the machine as it was found, `before` and `after` enclose what was measured.
    """
    told = []
    if arrived.load_1min is not None and arrived.load_1min > BUSY_LOAD * threads:
        told.append(
            f"the machine was busy before anything began: load average {arrived.load_1min:g} where {threads} fit. "
            "Ratios measured in turn still hold; milliseconds do not."
        )
    share = others_share(before, after)
    if share is not None and share > OTHERS:
        told.append(f"other programs had {share:.0%} of the processor during the run. Stop them and measure again.")
    if before.throttled is not None and after.throttled is not None and after.throttled > before.throttled:
        told.append(
            f"the processor was slowed down by heat {after.throttled - before.throttled} times during the run: these "
            "are the figures of a hot machine."
        )
    return told


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None
