"""What the stages of the loop hand on: one frame with all that was made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeseg.types import Frame, Segmentation
from edgeseg.video.health.base import HEALTHY, Health
from edgeseg.video.scene.base import Scene
from edgeseg.video.sources.base import FrameRecord


@dataclass(frozen=True, slots=True)
class Pulse:
    """How the loop is doing at one frame. Latencies in milliseconds."""

    fps: float = 0.0
    """Frames a second, smoothed; 0 until two frames are through."""
    age_ms: float = 0.0
    """From this frame's capture to the moment that its picture is painted: what a driver sees is so old."""
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    """Stage → latency of this frame, names from `edgeseg.video.stats.STAGES`."""
    recent_age_ms: tuple[float, ...] = ()
    """Frame ages of the newest frames, oldest first, at most 120, for a curve."""
    captured: int = 0
    processed: int = 0
    dropped: int = 0
    failed: int = 0
    deadline_ms: float | None = None
    deadline_misses: int = 0
    """Frames so far whose age was above the deadline."""
    degraded: str | None = None
    """Why the loop runs on less than was asked for, in one line."""


@dataclass(frozen=True, slots=True)
class FrameResult:
    """One frame with what was made of it."""

    record: FrameRecord
    segmentation: Segmentation
    status: str = ""
    """The line of text in the picture: rate and latency."""
    picture_bgr: Frame | None = None
    """BGR uint8 (H, W, 3), painted only where a sink wants pictures. Sinks share it: none may draw into it."""
    scene: Scene | None = None
    health: Health = HEALTHY
    pulse: Pulse = field(default_factory=Pulse)
