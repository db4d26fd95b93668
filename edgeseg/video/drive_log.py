"""What a report on a drive is made of, gathered while the frames pass: shares, latency, incidents, thumbnails."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from edgeseg.types import Frame
from edgeseg.video.results import FrameResult
from edgeseg.video.scene.ahead import PERSON_AHEAD
from edgeseg.video.sinks.base import Sink

_THUMBNAIL_PX = 360
"""Width of a thumbnail."""
_MOST_VIEWS = 16
"""Thumbnails of the whole drive, evenly spread: there are from half as many to so many of them."""
_MOST_PICTURED = 48
"""Incidents with a thumbnail; later ones are told without, so that a report stays below some 2 MB."""


@dataclass(slots=True)
class Moment:
    """The frames of one second, added up."""

    frames: int = 0
    shares: dict[str, float] = field(default_factory=dict)
    """Class name → sum of its shares."""
    latency_ms: float = 0.0
    """Sum of the sessions' latencies."""

    def mean_shares(self) -> dict[str, float]:
        """Class name → mean share, 0 to 1."""
        return {name: total / self.frames for name, total in self.shares.items()}


@dataclass(slots=True)
class Incident:
    """Something that began and mostly also ended: somebody ahead, or a fault of the camera."""

    kind: str
    """`person_ahead`, `invalid`, or a name from `edgeseg.video.health.base.FAULTS`."""
    begin_s: float
    end_s: float
    thumbnail_jpeg: bytes | None


@dataclass(frozen=True, slots=True)
class View:
    """A thumbnail of the drive, JPEG."""

    time_s: float
    thumbnail_jpeg: bytes


class DriveLog(Sink):
    """Takes the results of a drive and keeps what `edgeseg.video.drive_report` shows of them.

    `fps` is the rate of a recording, in which a frame's time follows from its index; without it time stamps are taken.
    Memory grows by some 200 bytes for each second of the drive.
    """

    wants_picture = True

    def __init__(self, fps: float | None = None) -> None:
        super().__init__()
        self.seconds: dict[int, Moment] = {}
        """Second of the drive → what was seen in it."""
        self.incidents: list[Incident] = []
        """In the order in which they began."""
        self.views: list[View] = []
        self.end_s = 0.0
        """Time of the last frame, in seconds from the first."""
        self._fps = fps
        self._first_s: float | None = None
        self._open: dict[str, Incident] = {}
        self._every_s, self._next_view_s = 1.0, 0.0

    def write(self, result: FrameResult) -> None:
        """Take one result."""
        record = result.record
        stamp_s = record.index / self._fps if self._fps else record.timestamp_s
        self._first_s = stamp_s if self._first_s is None else self._first_s
        time_s = self.end_s = stamp_s - self._first_s
        moment = self.seconds.setdefault(int(time_s), Moment())
        moment.latency_ms += result.segmentation.latency_ms
        moment.frames += 1
        for name, share in (result.scene.shares if result.scene else {}).items():
            moment.shares[name] = moment.shares.get(name, 0.0) + share
        self._follow(result, time_s)
        if result.picture_bgr is not None and time_s >= self._next_view_s:
            self.views.append(View(time_s, _thumbnail(result.picture_bgr)))
            if len(self.views) > _MOST_VIEWS:
                self.views, self._every_s = self.views[::2], 2 * self._every_s
            self._next_view_s = self.views[-1].time_s + self._every_s

    def _follow(self, result: FrameResult, time_s: float) -> None:
        """Begin and end incidents."""
        now = set(result.health.faults)
        if result.scene is not None and result.scene.person_ahead:
            now.add(PERSON_AHEAD)
        if not result.segmentation.valid:
            now.add("invalid")
        for kind in now - self._open.keys():
            pictured = result.picture_bgr is not None and len(self.incidents) < _MOST_PICTURED
            picture = _thumbnail(result.picture_bgr) if pictured and result.picture_bgr is not None else None
            self._open[kind] = Incident(kind, time_s, time_s, picture)
            self.incidents.append(self._open[kind])
        for kind in list(self._open):
            self._open[kind].end_s = time_s
            if kind not in now:
                del self._open[kind]


def _thumbnail(picture_bgr: Frame) -> bytes:
    """JPEG of a picture BGR uint8 (H, W, 3), at most `_THUMBNAIL_PX` wide."""
    height, width = picture_bgr.shape[:2]
    if width > _THUMBNAIL_PX:
        size_wh = (_THUMBNAIL_PX, max(1, round(height * _THUMBNAIL_PX / width)))
        picture_bgr = np.asarray(cv2.resize(picture_bgr, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    _, coded = cv2.imencode(".jpg", picture_bgr, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return coded.tobytes()
