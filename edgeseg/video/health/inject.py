"""Camera faults on demand: wrap any source, and from some frame on its camera is broken.

For rehearsing the banners, `synthetic://drive?fault=frozen&fault_at=60`, and for measuring the detectors.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np

from edgeseg.errors import ConfigError
from edgeseg.video.health import inject_pictures as pictures
from edgeseg.video.health.base import FAULTS
from edgeseg.video.sources.base import FrameRecord, Source, SourceState

RING = 32
"""Frames that a driver's ring buffer holds."""


class Fault(Protocol):
    """Takes every record in order, and how many frames ago the fault began: 0 at its first frame, below before it."""

    def __call__(self, record: FrameRecord, since: int) -> FrameRecord:
        """The record as the broken camera gives it."""


def _painted(make: pictures.Make) -> Callable[[float, np.random.Generator], Fault]:
    def build(severity: float, rng: np.random.Generator) -> Fault:
        paint = make(severity, rng)

        def fault(record: FrameRecord, since: int) -> FrameRecord:
            return record if since < 0 else replace(record, frame_bgr=paint(record.frame_bgr, since))

        return fault

    return build


class _Resent:
    """The last good picture again and again."""

    def __init__(self, _severity: float, _rng: np.random.Generator) -> None:
        self._kept: FrameRecord | None = None

    def __call__(self, record: FrameRecord, since: int) -> FrameRecord:
        if since < 0 or self._kept is None:
            self._kept = replace(record, frame_bgr=record.frame_bgr.copy())
        return replace(record, frame_bgr=self._kept.frame_bgr)


class _ResentCoded(_Resent):
    """The same picture through a video encoder: single blocks change by a level or two as it refines them."""

    def __init__(self, severity: float, rng: np.random.Generator) -> None:
        super().__init__(severity, rng)
        self._rng = rng

    def __call__(self, record: FrameRecord, since: int) -> FrameRecord:
        sent = super().__call__(record, since)
        if since < 0:
            return sent
        picture = sent.frame_bgr.copy()
        height, width = picture.shape[:2]
        for _ in range(1 + height * width // 64_000):
            v, u = int(self._rng.integers(max(1, height - 8))), int(self._rng.integers(max(1, width - 8)))
            block = picture[v : v + 8, u : u + 8]
            brighter = self._rng.integers(2)
            block[:] = np.minimum(block, 254) + 1 if brighter else np.maximum(block, 1) - 1
        return replace(sent, frame_bgr=picture)


class _Backwards:
    """The ring buffer is played from its newest frame to its oldest, over and over."""

    def __init__(self, _severity: float, _rng: np.random.Generator) -> None:
        self._ring: deque[FrameRecord] = deque(maxlen=RING)

    def __call__(self, record: FrameRecord, since: int) -> FrameRecord:
        if since < 0:
            self._ring.append(replace(record, frame_bgr=record.frame_bgr.copy()))
        if since < 0 or len(self._ring) < 2:
            return record
        return replace(record, frame_bgr=self._ring[-2 - since % (len(self._ring) - 1)].frame_bgr)


class _Muddled:
    """Each frame is one of the newest eight, in no order."""

    def __init__(self, _severity: float, rng: np.random.Generator) -> None:
        self._rng = rng
        self._ring: deque[FrameRecord] = deque(maxlen=8)

    def __call__(self, record: FrameRecord, since: int) -> FrameRecord:
        self._ring.append(replace(record, frame_bgr=record.frame_bgr.copy()))
        if since < 0:
            return record
        return replace(record, frame_bgr=self._ring[int(self._rng.integers(len(self._ring)))].frame_bgr)


class _StampsBackwards:
    """The pictures are in order, and their time stamps run back."""

    def __init__(self, _severity: float, _rng: np.random.Generator) -> None:
        self._last_s = 0.0

    def __call__(self, record: FrameRecord, since: int) -> FrameRecord:
        stamp_s = record.timestamp_s if record.media_s is None else record.media_s
        if since < 0:
            self._last_s = stamp_s
            return record
        return replace(record, media_s=2 * self._last_s - stamp_s)


VARIANTS: Mapping[str, Mapping[str, Callable[[float, np.random.Generator], Fault]]] = {
    "blackout": {
        "no light": _painted(pictures.no_light),
        "covered sensor": _painted(pictures.covered_sensor),
        "no signal, grey": _painted(pictures.no_signal_grey),
        "no signal, blue": _painted(pictures.no_signal_blue),
    },
    "whiteout": {"overexposed": _painted(pictures.overexposed), "glare": _painted(pictures.glare)},
    "frozen": {"sent again": _Resent, "coded again": _ResentCoded},
    "blurred": {
        "defocused": _painted(pictures.defocused),
        "condensation": _painted(pictures.condensation),
        "dirt film": _painted(pictures.dirt_film),
    },
    "occluded": {
        "hand": _painted(pictures.hand),
        "cover": _painted(pictures.cover),
        "mud": _painted(pictures.mud),
    },
    "wrong_colours": {
        "blue and red swapped": _painted(pictures.swapped_channels),
        "chroma swapped": _painted(pictures.swapped_chroma),
        "no chroma": _painted(pictures.no_chroma),
        "one chroma plane": _painted(pictures.one_chroma),
        "luma for chroma": _painted(pictures.luma_for_chroma),
        "channel lost": _painted(pictures.lost_channel),
        "cast": _painted(pictures.cast),
    },
    "reversed_time": {"backwards": _Backwards, "muddled": _Muddled, "stamps backwards": _StampsBackwards},
}
"""Fault → the ways in which it comes."""


def make_fault(kind: str, severity: float, rng: np.random.Generator, variant: str | None = None) -> Fault:
    """A fault of `FAULTS`, in one of its `VARIANTS`, drawn where none is named; `severity` is 0 (just a fault) to 1.

    Raises `ConfigError` for what is not known.
    """
    if kind not in VARIANTS:
        raise ConfigError(f"fault {kind!r} is unknown; choose one of: {', '.join(FAULTS)}.")
    if not 0 <= severity <= 1:
        raise ConfigError(f"severity {severity}: expected 0 to 1.")
    variants = VARIANTS[kind]
    drawn = tuple(variants)[int(rng.integers(len(variants)))]
    name = variant or drawn
    if name not in variants:
        raise ConfigError(f"{kind} has no variant {name!r}; choose one of: {', '.join(variants)}.")
    return variants[name](severity, rng)


class FaultySource(Source):
    """Another source, whose camera has a fault from its frame `begin` on."""

    def __init__(self, source: Source, make: Callable[[], Fault], begin: int) -> None:
        super().__init__(source.uri, source.clock, source.fps)
        self.live, self.files, self.notes = source.live, source.files, source.notes
        self._source, self._make, self._begin = source, make, begin
        self._fault = make()

    @property
    def state(self) -> SourceState:
        """That of the wrapped source."""
        return self._source.state

    def again(self) -> FaultySource:
        """The wrapped source from its first frame, whole until the fault begins again."""
        return FaultySource(self._source.again(), self._make, self._begin)

    def _take(self) -> FrameRecord | None:
        return self.read()

    def read(self, timeout_s: float = 1.0) -> FrameRecord | None:
        """The wrapped source's next frame, as the broken camera gives it."""
        try:
            record = self._source.read(timeout_s)
        finally:
            self.captured, self.dropped, self.ended = self._source.captured, self._source.dropped, self._source.ended
        return None if record is None else self._fault(record, record.index - self._begin)

    def close(self) -> None:
        """Close the wrapped source."""
        self._source.close()


def inject(kind: str, source: Source, begin: int, severity: float, rng: np.random.Generator) -> FaultySource:
    """`source` with a fault of `FAULTS` from its frame `begin` on; see `make_fault`."""
    seed = int(rng.integers(2**32))
    return FaultySource(source, lambda: make_fault(kind, severity, np.random.default_rng(seed)), begin)
