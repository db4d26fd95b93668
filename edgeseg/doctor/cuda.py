"""The CUDA driver, asked through its own C library: no CUDA toolkit, no torch, no TensorRT is needed or touched."""

from __future__ import annotations

import ctypes
from dataclasses import asdict, dataclass

from edgeseg.doctor.host import Finding, Host

# CUDA Driver API, cuda.h: CUdevice_attribute
_COMPUTE_CAPABILITY_MAJOR = 75
_COMPUTE_CAPABILITY_MINOR = 76
_NO_DEVICE = 100
_NAME_BYTES = 256


@dataclass(frozen=True)
class Gpu:
    """One CUDA device."""

    name: str
    compute_capability: str
    memory_gib: float


def find_cuda(host: Host) -> Finding:
    """The driver's CUDA version and its devices; `facts["devices"]` is empty where there is no driver."""
    name = "nvcuda.dll" if host.platform == "win32" else "libcuda.so.1"
    try:
        driver = host.load_library(name)
    except OSError:
        return Finding("CUDA", f"no driver ({name} is not found)", {"driver": None, "devices": []})
    code = driver.cuInit(0)
    if code != 0:
        why = "it finds no device" if code == _NO_DEVICE else f"cuInit gives error {code}"
        mend = "nvidia-smi says more; in a container, start it with --gpus all (on a Jetson: --runtime nvidia)."
        return Finding("CUDA", f"the driver does not start: {why}", {"driver": None, "devices": []}, mend)
    version = ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(version))
    count = ctypes.c_int()
    driver.cuDeviceGetCount(ctypes.byref(count))
    gpus = [_gpu(driver, index) for index in range(count.value)]
    text = f"{version.value // 1000}.{version.value % 1000 // 10}"
    listed = ", ".join(f"{gpu.name} (sm_{gpu.compute_capability.replace('.', '')})" for gpu in gpus) or "no device"
    return Finding(
        "CUDA", f"driver for CUDA {text}: {listed}", {"driver": text, "devices": [asdict(gpu) for gpu in gpus]}
    )


def _gpu(driver: ctypes.CDLL, index: int) -> Gpu:
    device = ctypes.c_int()
    driver.cuDeviceGet(ctypes.byref(device), index)
    name = ctypes.create_string_buffer(_NAME_BYTES)
    driver.cuDeviceGetName(name, _NAME_BYTES, device)
    numbers = []
    for attribute in (_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR):
        value = ctypes.c_int()
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        numbers.append(value.value)
    memory = ctypes.c_size_t()
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    return Gpu(name.value.decode(errors="replace"), f"{numbers[0]}.{numbers[1]}", round(memory.value / 2**30, 1))
