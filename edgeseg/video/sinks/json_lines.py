"""A line of JSON for each frame; every key is explained in docs/json-lines.md."""

from __future__ import annotations

import io
import json
import math
import os
import stat
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgeseg import __version__
from edgeseg.errors import ConfigError, OutputError
from edgeseg.types import Frame
from edgeseg.video.results import FrameResult, Pulse
from edgeseg.video.scene.base import FreeSpace, Person
from edgeseg.video.sinks.background import Background
from edgeseg.video.sinks.base import Sink
from edgeseg.video.sources.base import Source

SCHEMA = 1
"""Number of the lines' form; a new key does not change it, another meaning of an old one does."""

_SYNC_S = 1.0
"""So often the lines are forced onto the disk, for a power cut. A kill loses no line that was written."""


class JsonLinesSink(Sink):
    """Appends one line of JSON for each frame to a file, whole lines only, each in the file when `write` returns.

    An existing file is continued; each run begins with a line that says so. NaN and infinities become null.
    Raises `ConfigError` for a name that cannot be a file, `OutputError` where the file system refuses.
    """

    def __init__(
        self, path: Path, source: Source | None = None, *, wall_clock: Callable[[], float] = time.time
    ) -> None:
        if str(path) == "-":
            raise ConfigError(
                "--json-lines -: the report is printed there. Name a file, such as drive.jsonl, or a FIFO."
            )
        if path.is_dir():
            raise ConfigError(f"{path} is a folder; name a file in it, such as {path / 'drive.jsonl'}.")
        super().__init__()
        self._path = path
        self._source = source
        self._clock = time.perf_counter if source is None else source.clock
        self._wall_minus_source_s = wall_clock() - self._clock()
        self._waiting = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torn = _ends_torn(path)
            self._file = io.FileIO(path, "a")
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror}). Choose another folder.") from error
        self._on_disk = stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)
        begin = {
            "event": "run",
            "schema": SCHEMA,
            "edgeseg": __version__,
            "uri": None if source is None else source.uri,
        }
        try:
            self._append(b"\n" if torn else b"")
            self._put({**begin, **self._now()})
        except OutputError:
            self._file.close()
            raise
        self._synced_s = self._clock()
        self._sync: Background[None] = Background(self._fsync, "edgeseg-json-lines", 1)

    def write(self, result: FrameResult) -> None:
        """Append the frame's line; raises `OutputError` where the file system refuses it."""
        if self._waiting:
            self._waiting = False
            self._put({"event": "resumed", **self._now()})
        self._put(self._frame(result))
        now_s = self._clock()
        if now_s - self._synced_s >= _SYNC_S and self._sync.idle:
            self._synced_s = now_s
            self._sync.put(None)

    def waiting(self, picture_bgr: Frame) -> None:  # noqa: ARG002 - what it shows is told in words
        """Append a line when the waiting begins; the next frame appends one that it is over."""
        if not self._waiting:
            self._waiting = True
            self._put({"event": "waiting", **self._now()})

    def close(self) -> None:
        """Force all onto the disk and close the file."""
        if self._file.closed:
            return
        try:
            self._sync.close()
            self._fsync([])
        except OSError as error:
            raise self._refused(error) from error
        finally:
            self._file.close()

    def _frame(self, result: FrameResult) -> dict[str, Any]:
        record, scene = result.record, result.scene
        return {
            "event": None if scene is None else scene.event,
            "frame": record.index,
            "name": record.name,
            "time_s": _number(record.timestamp_s),
            "time_utc": self._utc(record.timestamp_s),
            "media_s": _number(record.media_s),
            "valid": result.segmentation.valid,
            "age_ms": _number(result.pulse.age_ms),
            "stages_ms": _numbers(result.pulse.stages_ms),
            "fps": _number(result.pulse.fps),
            "shares": None if scene is None else _numbers(scene.shares),
            "free_space": None if scene is None or scene.free_space is None else _free_space(scene.free_space),
            "people": [] if scene is None else [_person(person) for person in scene.people],
            "person_ahead": scene is not None and scene.person_ahead,
            "faults": list(result.health.faults),
            "degraded": result.pulse.degraded,
            "counters": _counters(result.pulse),
            "source": self._state(),
        }

    def _now(self) -> dict[str, Any]:
        now_s = self._clock()
        return {"time_s": _number(now_s), "time_utc": self._utc(now_s), "source": self._state()}

    def _state(self) -> dict[str, Any] | None:
        if self._source is None:
            return None
        state = self._source.state
        return {"link": state.link, "reconnects": state.reconnects}

    def _utc(self, source_s: float) -> str:
        moment = datetime.fromtimestamp(source_s + self._wall_minus_source_s, timezone.utc)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _put(self, line: dict[str, Any]) -> None:
        self._append(json.dumps(line, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")

    def _append(self, data: bytes) -> None:
        try:
            while data:  # a FIFO, or a disk that is nearly full, takes a part of it
                data = data[self._file.write(data) :]
        except OSError as error:
            raise self._refused(error) from error

    def _fsync(self, _: list[None]) -> None:
        if self._on_disk:
            os.fsync(self._file.fileno())

    def _refused(self, error: OSError) -> OutputError:
        return OutputError(f"{self._path}: cannot be continued ({error.strerror or error}). Is the disk full?")


def _ends_torn(path: Path) -> bool:
    """Whether a file is there whose last line a kill has torn."""
    if not path.is_file() or not path.stat().st_size:
        return False
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) != b"\n"


def _free_space(free: FreeSpace) -> dict[str, Any]:
    return {
        "polygon": free.polygon_xy.tolist(),
        "columns": free.columns_x.tolist(),
        "rows": free.rows_y.tolist(),
        "distances_m": None if free.distances_m is None else [_number(value) for value in free.distances_m.tolist()],
    }


def _person(person: Person) -> dict[str, Any]:
    return {
        "box": list(person.box_xywh),
        "area_px": person.area_px,
        "on_road": person.on_road,
        "distance_m": _number(person.distance_m),
    }


def _counters(pulse: Pulse) -> dict[str, int]:
    return {
        "captured": pulse.captured,
        "processed": pulse.processed,
        "dropped": pulse.dropped,
        "failed": pulse.failed,
        "deadline_misses": pulse.deadline_misses,
    }


def _numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in values.items()}


def _number(value: float | None) -> float | None:
    """Rounded to what can matter, a millionth; JSON has neither NaN nor infinities."""
    return round(float(value), 6) if value is not None and math.isfinite(value) else None
