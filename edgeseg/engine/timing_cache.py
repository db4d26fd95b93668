"""What TensorRT measured of kernels, kept for the next build: a file for each TensorRT, GPU and compute capability."""

from __future__ import annotations

import re
from pathlib import Path

from edgeseg.engine.driver import Gpu
from edgeseg.files import write_bytes

MAX_BYTES = 1 << 30
"""A timing cache has some hundred kB to some MB; a larger file is none."""


def timing_cache_path(folder: Path, tensorrt: str, gpu: Gpu) -> Path:
    """The file in `folder` for this library and GPU; a cache of another one would choose kernels by wrong times.

    The number of multiprocessors tells GPUs of one name apart, as the modules of the Jetson Orin.
    """
    name = re.sub(r"[^A-Za-z0-9.]+", "-", gpu.name).strip("-") or "gpu"
    major, minor = gpu.compute_capability
    return folder / f"tensorrt-{tensorrt}_{name}_sm{major}{minor}x{gpu.multiprocessors}.timing"


def read_timing_cache(path: Path) -> bytes:
    """What was kept; nothing where there is no such file, or none that can be read: the build then measures anew."""
    try:
        return path.read_bytes() if path.stat().st_size <= MAX_BYTES else b""
    except OSError:
        return b""


def write_timing_cache(path: Path, content: bytes) -> None:
    """Keep it, whole or not at all. Two builds at a time: the later one's stays, and the next build measures a bit."""
    write_bytes(path, content)
