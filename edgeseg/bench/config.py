"""What a benchmark measures, and for how long."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from edgeseg.errors import ConfigError

WARMUP_S = 0.2
MIN_DURATION_S = 3.0
MIN_RUNS = 10
"""trtexec's defaults: --warmUp=200 (ms), --duration=3 (s), --iterations=10 (NVIDIA TensorRT documentation, trtexec)."""


@dataclass(frozen=True, slots=True)
class BenchConfig:
    """One benchmark. Raises `ConfigError` for numbers that measure nothing."""

    duration_s: float = MIN_DURATION_S
    """Measured time of each candidate, and of its camera loop, in seconds, without the warm-up."""
    warmup_s: float = WARMUP_S
    """Each candidate runs so long, in seconds, before it is measured, and so does its camera loop."""
    rest_s: float = 2.0
    """Before the first measured frame the machine rests so long, in seconds: what it draws then is its idle power."""
    rounds: int = 20
    """In so many slices the measured time is cut; several candidates take turns, slice by slice."""
    camera_hw: tuple[int, int] | None = None
    """Height and width of the frames in pixels; None: what each graph takes."""
    end_to_end: bool = False
    """Also run the camera loop, with overlay."""
    camera_fps: float | None = None
    """Frames per second of the loop's camera; None: it has a new frame whenever the loop is free."""
    threads: int | None = None
    """CPU threads of the runtime; None: its own choice."""
    starts: int = 3
    """Fresh processes in which start-up and memory are measured; 0: not at all."""
    frames: int = 8
    """Different frames, drawn beforehand, that are used in turn."""

    def __post_init__(self) -> None:
        if not 0 < self.duration_s < math.inf:
            raise ConfigError(f"--duration {self.duration_s:g}: expected seconds above 0, such as 3.")
        if self.camera_fps is not None and not 0 < self.camera_fps < math.inf:
            raise ConfigError(f"--camera-fps {self.camera_fps:g}: expected frames a second above 0, such as 30.")
        if self.camera_fps is not None and not self.end_to_end:
            raise ConfigError("--camera-fps: it is the camera loop's. Add --end-to-end.")
        if self.rounds < 2:
            raise ConfigError(f"rounds={self.rounds}: a confidence interval needs 2 or more.")
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"--threads {self.threads}: expected 1 or more.")
        if self.starts < 0:
            raise ConfigError(f"--starts {self.starts}: expected 0 or more processes.")
        if self.frames < 1:
            raise ConfigError(f"frames={self.frames}: expected 1 or more.")

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        value = asdict(self)
        value["camera_hw"] = None if self.camera_hw is None else list(self.camera_hw)
        return value
