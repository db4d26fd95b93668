"""The synthetic drive as a source: `synthetic://drive?seed=7&scene=rain&frames=300&size=360x640&fps=30`.

`fault=frozen&fault_at=60` breaks its camera from that frame on, to rehearse what is then to be seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgeseg.errors import SourceError
from edgeseg.video.sources.base import Clock, FrameRecord, Source
from edgeseg.video.sources.query import count, read_settings, size_hw

_KEYS: dict[str, Callable[[str], Any]] = {
    "seed": int,
    "scene": str,
    "frames": count,
    "size": size_hw,
    "fps": float,
    "fault": str,
    "fault_at": count,
}


class SyntheticSource(Source):
    """Every frame of a `SyntheticDrive`, without end unless `frames` says where."""

    def __init__(self, uri: str, clock: Clock, frames: int | None, settings: dict[str, Any]) -> None:
        from edgeseg.data.synthetic import SyntheticDrive

        drive = SyntheticDrive(**settings)
        super().__init__(uri, clock, drive.fps)
        self._drive = drive
        self._frames = frames
        self._settings = settings

    def _take(self) -> FrameRecord | None:
        if self.captured == self._frames:
            return None
        started = self.clock()
        frame_bgr, _ = self._drive.frame(self.captured)
        media_s = self.captured / self._drive.fps
        return FrameRecord(self.captured, frame_bgr, started, f"{self.captured:06d}", media_s)

    def again(self) -> SyntheticSource:
        """The same drive from its first frame."""
        return SyntheticSource(self.uri, self.clock, self._frames, self._settings)


_FAULT_AT = 60
"""Two seconds of a healthy camera, in which its usual sharpness and colours are learned."""


def open_synthetic(rest: str, clock: Clock) -> Source:
    """Open what follows `synthetic://`; raises `SourceError` listing the known keys, `ConfigError` for bad values."""
    uri = f"synthetic://{rest}"
    place, _, query = rest.partition("?")
    if place != "drive":
        raise SourceError(f"{uri}: there is only synthetic://drive, with settings such as ?seed=7&scene=rain.")
    settings = read_settings(uri, query, _KEYS)
    frames = settings.pop("frames", None)
    if "size" in settings:
        settings["size_hw"] = settings.pop("size")
    fault, begin = settings.pop("fault", None), settings.pop("fault_at", _FAULT_AT)
    source = SyntheticSource(uri, clock, frames, settings)
    if fault is None:
        return source
    from edgeseg.video.health.inject import inject

    return inject(fault, source, begin, severity=0.5, rng=np.random.default_rng(settings.get("seed", 0)))
