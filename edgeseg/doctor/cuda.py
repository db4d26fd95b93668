"""The CUDA driver and its devices, asked as every GPU command asks: edgeseg.engine.driver."""

from __future__ import annotations

from typing import Any

from edgeseg.doctor.host import Finding, Host
from edgeseg.engine.driver import DriverUnavailable, Gpu, find_gpus


def find_cuda(host: Host) -> Finding:
    """The driver's CUDA version and its devices; `facts["devices"]` is empty where there is no driver."""
    try:
        gpus = find_gpus(host.load_library, host.platform)
    except DriverUnavailable as error:
        mend = f"{error.mend}." if error.installed else None
        return Finding("CUDA", error.problem, {"driver": None, "devices": []}, mend)
    version = gpus[0].driver_version
    listed = ", ".join(f"{gpu.name} ({gpu.architecture})" for gpu in gpus)
    facts = {"driver": version, "devices": [_device(gpu) for gpu in gpus]}
    return Finding("CUDA", f"driver for CUDA {version}: {listed}", facts)


def _device(gpu: Gpu) -> dict[str, Any]:
    return {
        "name": gpu.name,
        "compute_capability": "{}.{}".format(*gpu.compute_capability),
        "memory_gib": round(gpu.memory_bytes / 2**30, 1),
    }
