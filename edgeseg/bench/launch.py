"""Start-up and memory, from fresh processes: this one has loaded and warmed everything already."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_TIMEOUT_S = 600.0
"""A TensorRT engine may have to be built first, which takes minutes."""


@dataclass(frozen=True, slots=True)
class Start:
    """One fresh process."""

    python_ms: float
    """From its start to the first line of Python in it."""
    import_ms: float
    """Loading numpy, OpenCV and edgeseg."""
    open_ms: float
    """Checking the bundle's hashes, loading the runtime and making its session."""
    first_frame_ms: float
    """The first frame alone, which is slower than those that follow."""
    total_ms: float
    """From its start to the first frame's labels."""
    resident_mib: float | None
    """Memory in RAM after the first frame; `None` where the system does not tell."""
    peak_mib: float | None
    """The most in its life, up to the eleventh frame."""


@dataclass(frozen=True, slots=True)
class StartUp:
    """Several of them."""

    starts: tuple[Start, ...]

    def to_dict(self) -> dict[str, Any]:
        """The median of each figure, the slowest start, and how many there were."""
        total = [start.total_ms for start in self.starts]
        return {
            **{
                name: round(statistics.median(getattr(start, name) for start in self.starts), 2)
                for name in ("python_ms", "import_ms", "open_ms", "first_frame_ms", "total_ms")
            },
            "slowest_total_ms": round(max(total), 2),
            "processes": len(self.starts),
        }

    def memory_dict(self) -> dict[str, float] | None:
        """Memory in MiB, the largest of all processes; `None` where the system does not tell."""
        peaks = [start.peak_mib for start in self.starts if start.peak_mib is not None]
        resident = [start.resident_mib for start in self.starts if start.resident_mib is not None]
        if not peaks or not resident:
            return None
        return {"first_frame_mib": round(max(resident), 1), "peak_mib": round(max(peaks), 1)}


Launch = Callable[[Sequence[str]], tuple[float, str]]
"""Runs the child with these arguments; returns when it was started, on `time.monotonic`, and what it printed."""


class StartFailed(RuntimeError):  # noqa: N818 - it never leaves this package
    """A fresh process did not come to its end."""


def launch_child(arguments: Sequence[str]) -> tuple[float, str]:
    """Run `edgeseg.bench.child` in a new interpreter; raises `StartFailed` with the last line that it printed."""
    command = [sys.executable, "-m", "edgeseg.bench.child", *arguments]
    began_s = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
    except subprocess.CalledProcessError as error:
        raise StartFailed((error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise StartFailed(str(error)) from error
    return began_s, done.stdout


def measure_starts(arguments: Sequence[str], count: int, launch: Launch = launch_child) -> StartUp:
    """Start so many processes one after the other; raises `StartFailed`."""
    return StartUp(tuple(_start(*launch(arguments)) for _ in range(count)))


def _start(began_s: float, printed: str) -> Start:
    told: Mapping[str, Any] = json.loads(printed)
    moments_s = told["moments_s"]
    # The frame is drawn in between, which no camera needs.
    first_frame_s = moments_s["first_frame"] - moments_s["frame_drawn"]
    until_open_s = moments_s["open"] - began_s
    return Start(
        python_ms=1e3 * (moments_s["python"] - began_s),
        import_ms=1e3 * (moments_s["import"] - moments_s["python"]),
        open_ms=1e3 * (moments_s["open"] - moments_s["import"]),
        first_frame_ms=1e3 * first_frame_s,
        total_ms=1e3 * (until_open_s + first_frame_s),
        resident_mib=told["resident_mib"]["first_frame"],
        peak_mib=told["peak_mib"],
    )
