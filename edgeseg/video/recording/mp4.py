"""A growing MP4 file: fragments while it grows, one index at the end.

Boxes: ISO/IEC 14496-12 (the file), 14496-14 (MPEG-4 in it), 14496-1 (the decoder's configuration). A fragmented file
plays at every moment, but is slow to seek in, and not every program takes one. So when it is finished an index of the
whole file is written at its end, and the head that promised fragments becomes, with all of them, the body of one `mdat`
box: sixteen bytes are changed, nothing is copied.
"""

from __future__ import annotations

import io
import os
import struct
from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from edgeseg.video.recording.growing import GrowingVideo, Packet, Track, rate_of, read_at, write_at

_TYPE = struct.pack(">I4s4sI4s4s4s", 28, b"ftyp", b"isom", 512, b"isom", b"iso6", b"mp41")
_SWITCH_AT = len(_TYPE)
_SWITCH = struct.pack(">I4s8x", 16, b"free")
"""Stands before the head, and becomes the head of the one `mdat`."""
_HEAD_AT = _SWITCH_AT + len(_SWITCH)
_HEAD_BYTES = 1 << 16
"""Far more than the head has."""
_MATRIX = struct.pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)  # the picture as it is
_KEY_FLAGS, _OTHER_FLAGS = 0x02000000, 0x01010000  # needs no other frame; needs others, and is no place to start
_RUN_AT = 68
"""Of the box with the frames' sizes in a fragment's head, as it is written here: see `_fragment_head`."""


class _Samples:
    """Size of each frame, which of them are key frames, and where each group lies."""

    def __init__(self) -> None:
        self.sizes = array("I")
        self.keys = array("I")
        """Frame numbers from 1, as the file has them."""
        self.groups: list[tuple[int, int]] = []
        """Place of the first frame's data, and how many frames."""

    def add(self, place: int, frames: Iterable[tuple[int, bool]]) -> None:
        """One group: size of each frame and whether it is a key frame."""
        before = len(self.sizes)
        for size, key in frames:
            self.sizes.append(size)
            if key:
                self.keys.append(len(self.sizes))
        self.groups.append((place, len(self.sizes) - before))


class _Box(NamedTuple):
    kind: bytes
    begin: int
    """Where its content begins."""
    end: int


class Mp4Video(GrowingVideo):
    """One MPEG-4 track in an MP4 file."""

    def __init__(self, file: io.FileIO, track: Track) -> None:
        super().__init__(file, track)
        self._samples = _Samples()
        self._add(_TYPE + _SWITCH + _movie(track, _Samples(), fragmented=True))

    @classmethod
    def resume(cls, file: io.FileIO) -> Mp4Video | None:
        """Go on with what a killed run left: every whole fragment."""
        head = read_at(file, 0, _HEAD_BYTES)
        movie = _box(head, _HEAD_AT)
        track = None
        if head.startswith(_TYPE) and movie is not None and movie.kind == b"moov" and movie.end <= len(head):
            track = _track_of(head, movie)
        if movie is None or track is None:
            return None
        write_at(file, _SWITCH_AT, _SWITCH)
        video = cls.__new__(cls)
        GrowingVideo.__init__(video, file, track)
        video._samples = _Samples()
        file_bytes = os.fstat(file.fileno()).st_size
        video._end = movie.end
        while (end := video._take_fragment(file_bytes)) is not None:
            video._end = end
        video.frames = len(video._samples.sizes)
        file.truncate(video._end)
        return video

    def append(self, packets: Sequence[Packet]) -> None:
        """Add one fragment."""
        sizes = [(len(packet.data), packet.key) for packet in packets]
        head = _fragment_head(len(self._samples.groups) + 1, self.frames * self.track.rate.denominator, sizes)
        data = b"".join(packet.data for packet in packets)
        place = self._end + len(head) + 8
        self._add(head + struct.pack(">I4s", len(data) + 8, b"mdat") + data)
        self._samples.add(place, sizes)
        self.frames += len(packets)

    def finish(self) -> None:
        """Write the index, then make one body of everything before it."""
        body = struct.pack(">I4sQ", 1, b"mdat", self._end - _SWITCH_AT)
        self._add(_movie(self.track, self._samples, fragmented=False))
        write_at(self._file, _SWITCH_AT, body)
        os.fsync(self._file.fileno())

    def _take_fragment(self, file_bytes: int) -> int | None:
        """Note the fragment at the end of what is known; returns where it ends, `None` where there is no whole one."""
        start = read_at(self._file, self._end, _RUN_AT + 20)
        head = _box(start, 0)
        if head is None or head.kind != b"moof" or start[_RUN_AT + 4 : _RUN_AT + 8] != b"trun":
            return None
        count = struct.unpack_from(">I", start, _RUN_AT + 12)[0] if len(start) == _RUN_AT + 20 else 0
        entries = read_at(self._file, self._end + _RUN_AT + 20, 8 * count)
        data_at = self._end + head.end
        data = _box(read_at(self._file, data_at, 8), 0)
        if len(entries) < 8 * count or data is None or data.kind != b"mdat" or data_at + data.end > file_bytes:
            return None
        frames = [(size, flags == _KEY_FLAGS) for size, flags in struct.iter_unpack(">II", entries)]
        self._samples.add(data_at + 8, frames)
        return data_at + data.end


def _fragment_head(number: int, begin_ticks: int, frames: Sequence[tuple[int, bool]]) -> bytes:
    """A fragment's `moof`; its frames' data begin 8 bytes behind it, after the head of their `mdat`."""
    entries = b"".join(struct.pack(">II", size, _KEY_FLAGS if key else _OTHER_FLAGS) for size, key in frames)
    data_offset = _RUN_AT + 20 + len(entries) + 8
    return _make(
        b"moof",
        _full(b"mfhd", struct.pack(">I", number)),
        _make(
            b"traf",
            _full(b"tfhd", struct.pack(">I", 1), flags=0x020000),  # track 1; places count from this box
            _full(b"tfdt", struct.pack(">Q", begin_ticks), version=1),
            _full(b"trun", struct.pack(">Ii", len(frames), data_offset), entries, flags=0x000601),  # sizes and flags
        ),
    )


def _movie(track: Track, samples: _Samples, *, fragmented: bool) -> bytes:
    """The head of the file, or the index at its end."""
    per_second, per_frame = track.rate.numerator, track.rate.denominator
    duration = len(samples.sizes) * per_frame
    times = struct.pack(">QQIQ", 0, 0, per_second, duration)
    movie = _full(
        b"mvhd",
        times,
        struct.pack(">IH10x", 1 << 16, 1 << 8),
        _MATRIX,
        struct.pack(">24xI", 2),
        version=1,
    )
    header = _full(
        b"tkhd",
        struct.pack(">QQI4xQ8xhhH2x", 0, 0, 1, duration, 0, 0, 0),
        _MATRIX,
        struct.pack(">II", track.width << 16, track.height << 16),
        version=1,
        flags=3,  # shown
    )
    source = _make(b"dinf", _full(b"dref", struct.pack(">I", 1), _full(b"url ", flags=1)))  # in this file
    media = _make(
        b"mdia",
        _full(b"mdhd", times, struct.pack(">HH", 0x55C4, 0), version=1),  # of no language
        _full(b"hdlr", struct.pack(">4x4s12x", b"vide"), b"video\0"),
        _make(b"minf", _full(b"vmhd", bytes(8), flags=1), source, _table(track, samples)),
    )
    parts = [movie, _make(b"trak", header, media)]
    if fragmented:
        parts.append(_make(b"mvex", _full(b"trex", struct.pack(">5I", 1, 1, per_frame, 0, 0))))
    return _make(b"moov", *parts)


def _table(track: Track, samples: _Samples) -> bytes:
    entry = _make(
        b"mp4v",
        struct.pack(">6xH16xHH", 1, track.width, track.height),
        struct.pack(">II4xH32xHh", 72 << 16, 72 << 16, 1, 24, -1),
        _full(b"esds", _descriptors(track.config)),
    )
    frames = len(samples.sizes)
    runs = [  # first group, frames in each group from there on, description
        (number, count, 1)
        for number, (_, count) in enumerate(samples.groups, 1)
        if number == 1 or count != samples.groups[number - 2][1]
    ]
    places = [place for place, _ in samples.groups]
    return _make(
        b"stbl",
        _full(b"stsd", struct.pack(">I", 1), entry),
        _full(b"stts", _entries([(frames, track.rate.denominator)] if frames else [])),
        _full(b"stss", struct.pack(">I", len(samples.keys)), _big_endian(samples.keys)),
        _full(b"stsc", _entries(runs)),
        _full(b"stsz", struct.pack(">4xI", frames), _big_endian(samples.sizes)),
        _full(b"co64", struct.pack(f">I{len(places)}Q", len(places), *places)),
    )


def _descriptors(config: bytes) -> bytes:
    """Stream 1: MPEG-4 visual (0x20), a visual stream (4), buffer and rates not told, its configuration."""
    decoder = struct.pack(">BB3xII", 0x20, 4 << 2 | 1, 0, 0) + _descriptor(5, config)
    return _descriptor(3, struct.pack(">HB", 1, 0), _descriptor(4, decoder), _descriptor(6, b"\x02"))


def _descriptor(tag: int, *content: bytes) -> bytes:
    """Its size takes four bytes of seven bits."""
    data = b"".join(content)
    sizes = [0x80 | len(data) >> shift & 0x7F for shift in (21, 14, 7)]
    return bytes([tag, *sizes, len(data) & 0x7F]) + data


def _entries(rows: Sequence[tuple[int, ...]]) -> bytes:
    return struct.pack(">I", len(rows)) + b"".join(struct.pack(f">{len(row)}I", *row) for row in rows)


def _big_endian(numbers: array[int]) -> bytes:
    """At once: an hour has a hundred thousand frames, and a service that is stopped two seconds."""
    return np.asarray(numbers, ">u4").tobytes()


def _make(kind: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return struct.pack(">I4s", 8 + len(data), kind) + data


def _full(kind: bytes, *content: bytes, version: int = 0, flags: int = 0) -> bytes:
    return _make(kind, struct.pack(">I", version << 24 | flags), *content)


def _box(data: bytes, at: int) -> _Box | None:
    """The box that begins at `at`; `None` where none does."""
    if at + 8 > len(data):
        return None
    size, kind = struct.unpack_from(">I4s", data, at)
    return _Box(kind, at + 8, at + size) if size >= 8 else None


def _track_of(head: bytes, movie: _Box) -> Track | None:
    """What a head written here says of its track."""
    inside = head[movie.begin : movie.end]
    times, entry, config, defaults = (inside.find(kind) + 4 for kind in (b"mdhd", b"mp4v", b"esds", b"trex"))
    if min(times, entry, config, defaults) < 4:
        return None
    (per_second,) = struct.unpack_from(">I", inside, times + 4 + 16)
    (per_frame,) = struct.unpack_from(">I", inside, defaults + 4 + 8)
    width, height = struct.unpack_from(">HH", inside, entry + 24)
    decoder = inside.find(_descriptor(6, b"\x02"), config)
    begin = config + 4 + 5 + 3 + 5 + 13 + 5
    if decoder < begin or not per_frame:
        return None
    return Track(width, height, rate_of(per_second / per_frame), inside[begin:decoder])
