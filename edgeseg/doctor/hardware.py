"""Processor, memory, Jetson and cameras, as Linux describes them in /proc, /sys and /dev."""

from __future__ import annotations

import os
import platform
import re
from typing import Any

from edgeseg.doctor.host import Finding, Host

_JETPACK = {"32": "4", "34": "5", "35": "5", "36": "6", "38": "7"}
"""Major release of Linux for Tegra → of JetPack (developer.nvidia.com/embedded/jetpack-archive)."""


def find_processor(host: Host) -> Finding:
    """Name, usable threads and memory."""
    facts = {"name": _cpu_name(host), "threads": usable_threads(), "memory_gib": _memory_gib(host)}
    memory = "" if facts["memory_gib"] is None else f", {facts['memory_gib']} GiB memory"
    return Finding("processor", f"{facts['name']}, {facts['threads']} threads{memory}", facts)


def usable_threads() -> int:
    """Threads that this process may use: fewer than the machine has under taskset or in a container's cpuset."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def find_jetson(host: Host) -> Finding:
    """Model, release and power mode of a Jetson; `facts["model"]` is `None` anywhere else."""
    model = host.text("proc/device-tree/model")
    release = re.match(r"# R(\d+) \(release\), REVISION: ([\d.]+)", host.text("etc/nv_tegra_release") or "")
    if release is None and "jetson" not in (model or "").lower():
        return Finding("Jetson", "no", {"model": None})
    facts: dict[str, Any] = {"model": model, "l4t": None, "jetpack": None, "power_mode": _power_mode(host)}
    parts = [model or "unknown model"]
    if release is not None:
        facts.update(l4t=f"{release[1]}.{release[2]}", jetpack=_JETPACK.get(release[1]))
        parts.append(f"L4T {facts['l4t']}" + (f" (JetPack {facts['jetpack']})" if facts["jetpack"] else ""))
    if facts["power_mode"] is not None:
        parts.append(f"power mode {facts['power_mode']}")
    return Finding("Jetson", ", ".join(parts), facts)


def find_cameras(host: Host) -> Finding:
    """Device files of cameras with their names, and whether this user may open them."""
    numbers = [entry.name.removeprefix("video") for entry in (host.root / "dev").glob("video*")]
    cameras: dict[str, str] = {}
    closed: list[str] = []
    for number in sorted((number for number in numbers if number.isdigit()), key=int):
        # A webcam has a second device file, for metadata, which gives no pictures.
        if (host.text(f"sys/class/video4linux/video{number}/index") or "0") != "0":
            continue
        device = f"/dev/video{number}"
        cameras[device] = host.text(f"sys/class/video4linux/video{number}/name") or "unknown name"
        if not os.access(host.root / "dev" / f"video{number}", os.R_OK | os.W_OK):
            closed.append(device)
    summary = ", ".join(f"{device} ({name})" for device, name in cameras.items()) or "none"
    mend = f"{', '.join(closed)} may not be opened by this user: sudo usermod -aG video $USER" if closed else None
    return Finding("cameras", summary, {"devices": cameras, "closed": closed}, mend)


def machine_summary(host: Host | None = None) -> dict[str, Any]:
    """On what a measurement was made: processor, threads and memory, system, Python, and a Jetson's model and mode."""
    host = host or Host()
    jetson = find_jetson(host).facts
    return {
        **find_processor(host).facts,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "jetson": jetson["model"],
        "power_mode": jetson.get("power_mode"),
    }


def _cpu_name(host: Host) -> str:
    match = re.search(r"^(?:model name|Model|Hardware)\s*: *(.+)$", host.text("proc/cpuinfo") or "", re.MULTILINE)
    return match[1].strip() if match else platform.processor() or platform.machine()


def _memory_gib(host: Host) -> float | None:
    match = re.search(r"^MemTotal: *(\d+) kB", host.text("proc/meminfo") or "", re.MULTILINE)
    return round(int(match[1]) / 2**20, 1) if match else None


def _power_mode(host: Host) -> str | None:
    """`nvpmodel -q` prints `NV Power Mode: 15W`; where it is not allowed, the frequency governor says a little."""
    match = re.search(r"NV Power Mode: *(\S+)", host.output(["nvpmodel", "-q"]) or "")
    if match:
        return match[1]
    governor = host.text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return None if governor is None else f"unknown (governor {governor})"
