"""Temperatures and power of this machine, as Linux gives them in /sys: thermal zones, hwmon, INA3221 rails, RAPL.

Sources: kernel.org/doc, "Generic Thermal Sysfs", "hwmon sysfs interface", "Kernel driver ina3221", "Power Capping
Framework"; for the rails' names NVIDIA's Jetson Linux Developer Guide, "Platform Power and Performance". What a machine
does not have, or this user may not read, is left out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_FRESH_S = 1.0
"""A reading is used for so long: on a Jetson each one asks chips over I²C, which takes milliseconds."""
_PLAUSIBLE_C = (-40.0, 125.0)
"""Industrial temperature range. Zones that are switched off report −273 or −40."""
_NO_SENSORS = ("PMIC-Die",)
"""Zones of older Jetsons that always report 100 °C: a placeholder in the device tree, not a measurement."""
_INPUT_RAILS = ("VDD_IN", "POM_5V_IN")
"""Rails through which all power of a Jetson module flows: Orin Nano and NX, Xavier NX; Nano."""
_NOT_IN_SUM = ("VDDQ_VDD2_1V8AO",)
"""AGX Orin's memory: taken to be fed by VIN_SYS_5V0, which is measured too."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """One reading."""

    temperatures_c: dict[str, float] = field(default_factory=dict)
    """Sensor → degrees Celsius."""
    power_w: dict[str, float] = field(default_factory=dict)
    """Rail → watts."""

    @property
    def hottest(self) -> str | None:
        """The sensor with the highest temperature; `None` where no sensor can be read."""
        return max(self.temperatures_c, key=self.temperatures_c.__getitem__, default=None)

    @property
    def total_w(self) -> float | None:
        """What the module draws: its input rail, or the sum where there is none; `None` where no rail can be read."""
        for rail in _INPUT_RAILS:
            if rail in self.power_w:
                return self.power_w[rail]
        rails = [watts for rail, watts in self.power_w.items() if rail not in _NOT_IN_SUM]
        return sum(rails) if rails else None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, rounded; `None` where nothing can be read."""
        total_w = self.total_w
        return {
            "hottest": self.hottest,
            "total_w": None if total_w is None else round(total_w, 2),
            "temperatures_c": {name: round(value, 1) for name, value in self.temperatures_c.items()},
            "power_w": {name: round(value, 2) for name, value in self.power_w.items()},
        }


@dataclass(frozen=True, slots=True)
class RaplPackage:
    """The energy counter of one processor package, as it stands."""

    folder: Path
    name: str
    energy_uj: int
    """Microjoules since some moment. Begins again at 0 after `range_uj`."""
    range_uj: int | None

    def since(self, before_uj: int) -> int:
        """Microjoules since the counter stood at `before_uj`."""
        used_uj = self.energy_uj - before_uj
        return used_uj if used_uj >= 0 else used_uj + (self.range_uj or -used_uj)


def rapl_packages(sys: Path = Path("/sys")) -> list[RaplPackage]:
    """Those that this user may read: often only root may."""
    found: list[RaplPackage] = []
    for folder in _sorted(sys.glob("class/powercap/intel-rapl:*")):
        energy_uj = _number(folder / "energy_uj")
        if folder.name.count(":") == 1 and energy_uj is not None:  # intel-rapl:0:1 is a part of intel-rapl:0
            name = _text(folder / "name") or folder.name
            found.append(RaplPackage(folder, name, energy_uj, _number(folder / "max_energy_range_uj")))
    return found


class Sensors:
    """Reads this machine's sensors, at most once a second. May be called from several threads."""

    def __init__(self, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic) -> None:
        self._sys = root / "sys"
        self._clock = clock
        self._lock = threading.Lock()
        self._newest = Telemetry()
        self._read_s: float | None = None
        self._energy_uj: dict[Path, tuple[float, int]] = {}

    def read(self) -> Telemetry:
        """The newest reading."""
        with self._lock:
            now_s = self._clock()
            if self._read_s is None or now_s - self._read_s >= _FRESH_S:
                self._read_s = now_s
                self._newest = Telemetry(self._temperatures(), {**self._rails(), **self._rapl(now_s)})
            return self._newest

    def rails_now_w(self) -> float | None:
        """What the module draws now, by its INA3221 rails, in watts; `None` where it has none. Takes milliseconds."""
        return Telemetry(power_w=self._rails()).total_w

    def _temperatures(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for zone in _sorted(self._sys.glob("class/thermal/thermal_zone*")):
            _add(found, _text(zone / "type") or zone.name, _number(zone / "temp"))
        if not found:  # the zones show most sensors of hwmon too, so both would list them twice
            for sensor in _sorted(self._sys.glob("class/hwmon/hwmon*/temp*_input")):
                chip = _text(sensor.parent / "name") or sensor.parent.name
                label = _text(sensor.with_name(sensor.name.replace("_input", "_label")))
                _add(found, chip if label is None else f"{chip} {label}", _number(sensor))
        return found

    def _rails(self) -> dict[str, float]:
        """Watts of each channel of an INA3221 that the device tree names: millivolts times milliamperes."""
        rails: dict[str, float] = {}
        for chip in _sorted(self._sys.glob("class/hwmon/hwmon*")):
            if _text(chip / "name") != "ina3221":
                continue
            for channel in (1, 2, 3):
                name = _text(chip / f"in{channel}_label")
                millivolts = _number(chip / f"in{channel}_input")
                milliamperes = _number(chip / f"curr{channel}_input")
                if name and name != "NC" and millivolts is not None and milliamperes is not None:
                    rails[name] = millivolts * milliamperes / 1e6
        return rails

    def _rapl(self, now_s: float) -> dict[str, float]:
        """Watts of each processor package, from the energy since the reading before."""
        packages: dict[str, float] = {}
        for package in rapl_packages(self._sys):
            before = self._energy_uj.get(package.folder)
            self._energy_uj[package.folder] = (now_s, package.energy_uj)
            if before is not None and now_s > before[0]:
                packages[package.name] = package.since(before[1]) / 1e6 / (now_s - before[0])
        return packages


def _add(found: dict[str, float], name: str, millidegrees: int | None) -> None:
    """Note a temperature, unless it is none; a second sensor of the same name gets a number."""
    if millidegrees is None or name in _NO_SENSORS:
        return
    celsius = millidegrees / 1000
    if not _PLAUSIBLE_C[0] < celsius < _PLAUSIBLE_C[1]:
        return
    same = sum(other == name or other.startswith(f"{name} #") for other in found)
    found[f"{name} #{same + 1}" if same else name] = celsius


def _sorted(paths: Iterable[Path]) -> list[Path]:
    """By their numbers: thermal_zone2 before thermal_zone10."""
    return sorted(paths, key=lambda path: (str(path.parent), len(path.name), path.name))


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip() or None
    except OSError:  # absent, not allowed, or a sensor that is asleep (EAGAIN)
        return None


def _number(path: Path) -> int | None:
    text = _text(path)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None
