"""The energy counter of an NVIDIA GPU, through the driver's management library: no package is needed.

Names, signatures and units: NVML API Reference Guide. `nvmlDeviceGetTotalEnergyConsumption` counts millijoules of the
whole board since the driver was loaded, from Volta on; Jetsons have no NVML counter, their rails tell.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any


class NvmlCounters:
    """Joules of each GPU board, by its name. Empty where there is no driver, or it does not count."""

    def __init__(self, load_library: Callable[[str], Any] = ctypes.CDLL, platform: str = sys.platform) -> None:
        self._nvml: Any = None
        self._boards: dict[str, ctypes.c_void_p] = {}
        try:
            nvml = load_library("nvml.dll" if platform == "win32" else "libnvidia-ml.so.1")
        except OSError:
            return
        if nvml.nvmlInit_v2() != 0:
            return
        self._nvml = nvml
        count = ctypes.c_uint()
        if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            return
        for index in range(count.value):
            device = ctypes.c_void_p()
            if nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(device)) == 0:
                self._boards[f"GPU {index} (NVML)"] = device
        self._boards = {name: device for name, device in self._boards.items() if self._joules(device) is not None}

    def read(self) -> dict[str, float]:
        """Joules since the driver was loaded."""
        found = {name: self._joules(device) for name, device in self._boards.items()}
        return {name: joules for name, joules in found.items() if joules is not None}

    def tick(self) -> None:
        """Nothing: the driver counts on its own."""

    def _joules(self, device: ctypes.c_void_p) -> float | None:
        millijoules = ctypes.c_ulonglong()
        if self._nvml.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(millijoules)) != 0:
            return None
        return millijoules.value / 1e3
