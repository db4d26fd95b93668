"""The synthetic drive as a source: `synthetic://drive?seed=7&scene=rain&frames=300&size=360x640&fps=30`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from edgeseg.errors import SourceError
from edgeseg.video.sources.base import Clock, FrameRecord, Source


def _size_hw(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise ValueError("expected HEIGHTxWIDTH, such as 360x640")
    return int(match[1]), int(match[2])


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError("expected 1 or more")
    return value


_KEYS: dict[str, Callable[[str], Any]] = {
    "seed": int,
    "scene": str,
    "frames": _count,
    "size": _size_hw,
    "fps": float,
}


class SyntheticSource(Source):
    """Every frame of a `SyntheticDrive`, without end unless `frames` says where."""

    def __init__(self, uri: str, clock: Clock, frames: int | None, settings: dict[str, Any]) -> None:
        from edgeseg.data.synthetic import SyntheticDrive

        drive = SyntheticDrive(**settings)
        super().__init__(uri, clock, drive.fps)
        self._drive = drive
        self._frames = frames

    def _take(self) -> FrameRecord | None:
        if self.captured == self._frames:
            return None
        started = self.clock()
        frame_bgr, _ = self._drive.frame(self.captured)
        return FrameRecord(self.captured, frame_bgr, started, f"{self.captured:06d}")


def open_synthetic(rest: str, clock: Clock) -> SyntheticSource:
    """Open what follows `synthetic://`; raises `SourceError` listing the known keys, `ConfigError` for bad values."""
    uri = f"synthetic://{rest}"
    place, _, query = rest.partition("?")
    if place != "drive":
        raise SourceError(f"{uri}: there is only synthetic://drive, with settings such as ?seed=7&scene=rain.")
    settings: dict[str, Any] = {}
    for key, text in parse_qsl(query, keep_blank_values=True):
        if key not in _KEYS:
            raise SourceError(f"{uri}: unknown setting {key!r}; known are: {', '.join(_KEYS)}.")
        try:
            settings[key] = _KEYS[key](text)
        except ValueError as error:
            raise SourceError(f"{uri}: {key}={text!r} cannot be used: {error}.") from error
    frames = settings.pop("frames", None)
    if "size" in settings:
        settings["size_hw"] = settings.pop("size")
    return SyntheticSource(uri, clock, frames, settings)
