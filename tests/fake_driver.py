"""`libcuda.so.1` for machines without one: it answers as the CUDA Driver API does, through ctypes' pointers."""

from __future__ import annotations

from typing import Any

from edgeseg.engine.driver import Gpu

ORIN = Gpu(0, "Orin", (8, 7), 8 * 2**30, 8, True, "12.6", "GPU-00000000-0000-0000-0000-000000000000")
"""A Jetson Orin Nano with 8 GB."""
RTX_4070 = Gpu(0, "NVIDIA GeForce RTX 4070", (8, 9), 12 * 2**30, 46, False, "12.8", "GPU-" + ORIN.uuid[4:])


class FakeDriver:
    """A driver with these GPUs, or with an error from one of its functions."""

    def __init__(self, code: int = 0, *, gpus: tuple[Gpu, ...] = (ORIN,), failing: str = "cuInit") -> None:
        self._code = code
        self._failing = failing
        self._gpus = gpus

    def _end(self, function: str) -> int:
        return self._code if function == self._failing else 0

    def cuInit(self, _: int) -> int:  # noqa: N802 - the CUDA Driver API's names
        return self._end("cuInit")

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        major, minor = map(int, ORIN.driver_version.split("."))
        version._obj.value = 1000 * major + 10 * minor
        return self._end("cuDriverGetVersion")

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = len(self._gpus)
        return self._end("cuDeviceGetCount")

    def cuDeviceGet(self, device: Any, index: int) -> int:  # noqa: N802
        device._obj.value = index
        return self._end("cuDeviceGet")

    def cuDeviceGetName(self, name: Any, _: int, device: Any) -> int:  # noqa: N802
        name.value = self._gpus[device.value].name.encode()
        return self._end("cuDeviceGetName")

    def cuDeviceGetUuid(self, uuid: Any, _: Any) -> int:  # noqa: N802
        uuid._obj[:] = bytes(range(16))
        return self._end("cuDeviceGetUuid")

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> int:  # noqa: N802
        gpu = self._gpus[device.value]
        major, minor = gpu.compute_capability
        value._obj.value = {16: gpu.multiprocessors, 18: int(gpu.integrated), 75: major, 76: minor}[attribute]
        return self._end("cuDeviceGetAttribute")

    def cuDeviceTotalMem_v2(self, memory: Any, device: Any) -> int:  # noqa: N802
        memory._obj.value = self._gpus[device.value].memory_bytes
        return self._end("cuDeviceTotalMem_v2")


def no_library(name: str) -> Any:
    """What ctypes.CDLL does on a machine without a driver."""
    raise OSError(f"{name}: cannot open shared object file")
