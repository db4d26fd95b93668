"""The machines that engines are planned for, by name; a GPU that is here describes itself."""

from __future__ import annotations

from dataclasses import dataclass

from edgeseg.engine.driver import Gpu
from edgeseg.engine.versions import Version
from edgeseg.errors import ConfigError

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU and what belongs to it."""

    name: str
    """As `--device` takes it."""
    title: str
    """As people call it."""
    compute_capability: tuple[int, int] | None
    """CUDA's (major, minor); None: any."""
    dla_cores: int | None = 0
    """Deep-learning accelerators; None: TensorRT will tell."""
    integrated: bool = False
    """CPU and GPU share one memory: a Jetson."""
    workspace_mib: int = 4096
    """MiB that a layer may borrow while it runs, where a recipe says nothing."""
    since: Version | None = None
    """The first TensorRT that knows it, where that is later than the first that edgeseg takes."""

    def __str__(self) -> str:
        if self.compute_capability is None:
            return self.title
        return f"{self.title} (compute capability {self.compute_capability[0]}.{self.compute_capability[1]})"


DEVICES = {
    device.name: device
    for device in (
        Device("any", "any GPU", None, dla_cores=None, workspace_mib=1024),
        Device("orin-nano", "Jetson Orin Nano", (8, 7), integrated=True, workspace_mib=1024),
        Device("orin-nx", "Jetson Orin NX", (8, 7), dla_cores=2, integrated=True, workspace_mib=2048),
        Device("orin", "Jetson AGX Orin", (8, 7), dla_cores=2, integrated=True),
        Device("thor", "Jetson AGX Thor", (11, 0), integrated=True, workspace_mib=8192, since=Version(10, 13)),
        Device("rtx20", "GeForce RTX 20, T4", (7, 5), workspace_mib=2048),
        Device("rtx30", "GeForce RTX 30, RTX A", (8, 6)),
        Device("rtx40", "GeForce RTX 40, L4, L40", (8, 9)),
        Device("rtx50", "GeForce RTX 50", (12, 0), since=Version(10, 8)),
        Device("a100", "A100", (8, 0), workspace_mib=8192),
        Device("h100", "H100, H200", (9, 0), workspace_mib=8192),
    )
}
"""Name → device. Compute capabilities and DLA cores: NVIDIA, "CUDA GPUs" and the data sheets of the Jetson modules (an
Orin NX with 8 GB has one DLA core). `since`: TensorRT's release notes (Blackwell), JetPack 7's (Thor). The workspaces
are ours: an eighth of the memory of the smallest such board or card, or about that."""


def find_device(name: str) -> Device:
    """The device called `name`; raises `ConfigError` naming those there are."""
    if name not in DEVICES:
        raise ConfigError(f"there is no device {name!r}; known: {', '.join(DEVICES)}.")
    return DEVICES[name]


def device_of(gpu: Gpu) -> Device:
    """The GPU that is here. Only TensorRT knows its DLA cores. A layer may borrow an eighth of the memory, or 8 GiB."""
    return Device(
        name="here",
        title=gpu.name,
        compute_capability=gpu.compute_capability,
        dla_cores=None if gpu.integrated else 0,
        integrated=gpu.integrated,
        workspace_mib=max(1, min(8192, gpu.memory_bytes // _MIB // 8)),
    )
