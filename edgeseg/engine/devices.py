"""The machines that engines are planned for, by name."""

from __future__ import annotations

from dataclasses import dataclass

from edgeseg.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU and what belongs to it."""

    name: str
    """As `--device` takes it."""
    title: str
    """As people call it."""
    compute_capability: tuple[int, int]
    """CUDA's (major, minor)."""
    dla_cores: int = 0
    """Deep-learning accelerators."""
    integrated: bool = False
    """CPU and GPU share one memory: a Jetson."""
    workspace_mib: int = 4096
    """MiB that a layer may borrow while it runs, where a recipe says nothing."""


DEVICES = {
    device.name: device
    for device in (
        Device("orin-nano", "Jetson Orin Nano", (8, 7), integrated=True, workspace_mib=1024),
        Device("orin-nx", "Jetson Orin NX", (8, 7), dla_cores=2, integrated=True, workspace_mib=2048),
        Device("orin", "Jetson AGX Orin", (8, 7), dla_cores=2, integrated=True),
        Device("thor", "Jetson AGX Thor", (11, 0), integrated=True, workspace_mib=8192),
        Device("rtx20", "GeForce RTX 20, T4", (7, 5), workspace_mib=2048),
        Device("rtx30", "GeForce RTX 30, RTX A", (8, 6)),
        Device("rtx40", "GeForce RTX 40, L4, L40", (8, 9)),
        Device("rtx50", "GeForce RTX 50", (12, 0)),
        Device("a100", "A100", (8, 0), workspace_mib=8192),
        Device("h100", "H100, H200", (9, 0), workspace_mib=8192),
    )
}
"""Name → device. Compute capabilities: NVIDIA, CUDA GPUs, developer.nvidia.com/cuda-gpus."""


def find_device(name: str) -> Device:
    """The device called `name`; raises `ConfigError` naming those there are."""
    if name not in DEVICES:
        raise ConfigError(f"there is no device {name!r}; known: {', '.join(DEVICES)}.")
    return DEVICES[name]
