"""The NVIDIA driver, asked through its own C library before anything else: TensorRT without one ends the process.

`tensorrt.Runtime(logger)` on a machine without a driver gives an object whose first use is a segmentation fault. So no
TensorRT object is made here but behind `require_gpu`. No CUDA toolkit, torch or TensorRT is needed to ask.

Names, attributes and error codes: CUDA Driver API, cuda.h (CUdevice_attribute, CUresult).
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeseg.errors import BackendUnavailable, UnavailableError
from edgeseg.lazy import require

LoadLibrary = Callable[[str], Any]

_MULTIPROCESSORS = 16
_INTEGRATED = 18
_COMPUTE_CAPABILITY_MAJOR = 75
_COMPUTE_CAPABILITY_MINOR = 76
_NAME_BYTES = 256

_NO_DEVICE = 100
_REASONS = {
    _NO_DEVICE: "it finds no device",
    34: "it is the toolkit's stub of the driver, for linking only",
    35: "it is older than the CUDA that asks for it",
    802: "the system is not ready: NVLink's fabric manager does not run",
    803: "its kernel module and its library are of different versions: restart the machine",
    804: "it is a compatibility package for data-centre GPUs, and this GPU is none",
}
"""CUresult → in words."""

_MEND = "nvidia-smi says more; in a container, start it with --gpus all (on a Jetson: --runtime nvidia)"
_NO_DRIVER = (
    "On a PC, sudo ubuntu-drivers install; a Jetson has it with JetPack; in a container, start it with --gpus all (on "
    "a Jetson: --runtime nvidia). Without an NVIDIA GPU, use --backend onnxruntime"
)
_TEGRA_RELEASE = Path("/etc/nv_tegra_release")


class DriverUnavailable(BackendUnavailable):
    """There is no driver that answers: what is the matter, and what to do about it."""

    def __init__(self, problem: str, mend: str, *, installed: bool = True) -> None:
        super().__init__(f"{problem}. {mend}.")
        self.problem = problem
        self.mend = mend
        self.installed = installed
        """Whether there is a driver at all."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One CUDA device. That there is one is the proof that a driver answered."""

    index: int
    """As CUDA counts, within CUDA_VISIBLE_DEVICES."""
    name: str
    compute_capability: tuple[int, int]
    memory_bytes: int
    multiprocessors: int
    """Number of streaming multiprocessors. It tells modules apart whose GPUs have one name: every Orin is "Orin"."""
    integrated: bool
    """Whether it shares its memory with the processor, as a Jetson's does."""
    driver_version: str
    """The CUDA version that the driver was made for: "12.6"."""
    uuid: str

    @property
    def architecture(self) -> str:
        """Compute capability as compilers write it: sm_87."""
        return "sm_{}{}".format(*self.compute_capability)


def find_gpus(load_library: LoadLibrary = ctypes.CDLL, platform: str = sys.platform) -> tuple[Gpu, ...]:
    """All CUDA devices, one at least; raises `DriverUnavailable` where there is none, or no driver."""
    name = "nvcuda.dll" if platform == "win32" else "libcuda.so.1"
    try:
        driver = load_library(name)
    except OSError:
        raise DriverUnavailable(f"no NVIDIA driver ({name} is not found)", _NO_DRIVER, installed=False) from None
    code = driver.cuInit(0)
    if code != 0:
        why = _REASONS.get(code, f"cuInit gives error {code}")
        raise DriverUnavailable(f"the NVIDIA driver does not start: {why}", _MEND)
    version = ctypes.c_int()
    _ask(driver, "cuDriverGetVersion", ctypes.byref(version))
    count = ctypes.c_int()
    _ask(driver, "cuDeviceGetCount", ctypes.byref(count))
    if count.value == 0:
        raise DriverUnavailable(f"the NVIDIA driver does not start: {_REASONS[_NO_DEVICE]}", _MEND)
    driver_version = f"{version.value // 1000}.{version.value % 1000 // 10}"
    return tuple(_gpu(driver, index, driver_version) for index in range(count.value))


def require_gpu(index: int = 0, load_library: LoadLibrary = ctypes.CDLL, platform: str = sys.platform) -> Gpu:
    """The device `index`; raises `BackendUnavailable` (exit code 3), in one line, where it or the driver is missing."""
    gpus = find_gpus(load_library, platform)
    if not 0 <= index < len(gpus):
        names = ", ".join(f"{gpu.index}: {gpu.name}" for gpu in gpus)
        raise BackendUnavailable(f"there is no GPU {index} here; there is {names}.")
    return gpus[index]


def import_tensorrt() -> Any:
    """The module `tensorrt`, or `BackendUnavailable` with the line that installs it.

    Importing is harmless; making one of its objects is not: `require_gpu` first.
    """
    try:
        trt = require("tensorrt", extra="tensorrt")
    except UnavailableError as error:
        if _TEGRA_RELEASE.exists():
            raise BackendUnavailable(
                "tensorrt cannot be imported here. On a Jetson it comes with JetPack: sudo apt install "
                "python3-libnvinfer, and make the venv with --system-site-packages."
            ) from error
        raise BackendUnavailable(str(error)) from error
    if not hasattr(trt, "Runtime"):
        raise BackendUnavailable(
            "the tensorrt that is installed here is damaged. Repair it: pip install --force-reinstall tensorrt"
        )
    return trt


def _gpu(driver: Any, index: int, driver_version: str) -> Gpu:
    device = ctypes.c_int()
    _ask(driver, "cuDeviceGet", ctypes.byref(device), index)
    name = ctypes.create_string_buffer(_NAME_BYTES)
    _ask(driver, "cuDeviceGetName", name, _NAME_BYTES, device)
    memory = ctypes.c_size_t()
    _ask(driver, "cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    uuid = (ctypes.c_ubyte * 16)()
    _ask(driver, "cuDeviceGetUuid", ctypes.byref(uuid), device)

    def attribute(number: int) -> int:
        value = ctypes.c_int()
        _ask(driver, "cuDeviceGetAttribute", ctypes.byref(value), number, device)
        return value.value

    return Gpu(
        index=index,
        name=name.value.decode(errors="replace"),
        compute_capability=(attribute(_COMPUTE_CAPABILITY_MAJOR), attribute(_COMPUTE_CAPABILITY_MINOR)),
        memory_bytes=memory.value,
        multiprocessors=attribute(_MULTIPROCESSORS),
        integrated=bool(attribute(_INTEGRATED)),
        driver_version=driver_version,
        uuid=_uuid_text(bytes(uuid)),
    )


def _ask(driver: Any, function: str, *arguments: Any) -> None:
    code = getattr(driver, function)(*arguments)
    if code != 0:
        raise DriverUnavailable(f"the NVIDIA driver fails: {function} gives error {code}", _MEND)


def _uuid_text(value: bytes) -> str:
    """As nvidia-smi -L prints it."""
    digits = value.hex()
    return f"GPU-{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
