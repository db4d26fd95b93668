"""A growing Matroska file: a cluster for each group, and an index of the clusters at the end.

Elements and their numbers: RFC 8794 (EBML) and RFC 9559 (Matroska). Until it is finished the segment is of unknown
size, which is what the format has for live streams.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Sequence

from edgeseg.video.recording.ebml import (
    LONGEST_HEAD,
    UNKNOWN_SIZE,
    VOID,
    element,
    elements,
    read_element,
    size,
    unsigned,
    void,
)
from edgeseg.video.recording.growing import GrowingVideo, Packet, Track, rate_of, read_at, write_at

_EBML, _SEGMENT, _SEEK_HEAD, _INFO = 0x1A45DFA3, 0x18538067, 0x114D9B74, 0x1549A966
_TRACKS, _CLUSTER, _CUES = 0x1654AE6B, 0x1F43B675, 0x1C53BB6B
_DURATION, _TRACK, _CONFIG, _FRAME_NS, _VIDEO, _WIDTH, _HEIGHT = 0x4489, 0xAE, 0x63A2, 0x23E383, 0xE0, 0xB0, 0xBA
_TIME, _BLOCK = 0xE7, 0xA3
_SEEK_BYTES = 96
"""Kept free at the start, for the places of the elements below."""
_DURATION_BYTES = 11
_HEADER_BYTES = 1 << 16
"""Far more than everything before the first cluster."""


class MatroskaVideo(GrowingVideo):
    """One MPEG-4 track in a Matroska file."""

    def __init__(self, file: io.FileIO, track: Track) -> None:
        super().__init__(file, track)
        self._clusters: list[tuple[int, int]] = []
        """First frame and place of each."""
        header = _header(track)
        self._find_places(header)
        self._add(header)

    @classmethod
    def resume(cls, file: io.FileIO) -> MatroskaVideo | None:
        """Go on with what a killed run left: every whole cluster."""
        header = read_at(file, 0, _HEADER_BYTES)
        track = _track_of(header)
        if track is None:
            return None
        video = cls.__new__(cls)
        GrowingVideo.__init__(video, file, track)
        video._clusters = []
        video._find_places(header)
        video._find_clusters(os.fstat(file.fileno()).st_size)
        file.truncate(video._end)
        return video

    def append(self, packets: Sequence[Packet]) -> None:
        """Add one cluster."""
        begin_ms = self._ms(self.frames)
        parts = [element(_TIME, unsigned(begin_ms))]
        for index, packet in enumerate(packets, self.frames):
            flags = 0x80 if packet.key else 0
            head = struct.pack(">BhB", 0x81, self._ms(index) - begin_ms, flags)  # of track 1
            parts += [bytes([_BLOCK]), size(len(head) + len(packet.data)), head, packet.data]
        content = b"".join(parts)
        place = self._end
        self._add(_CLUSTER.to_bytes(4, "big") + size(len(content), 8) + content)
        self._clusters.append((self.frames, place))
        self.frames += len(packets)

    def finish(self) -> None:
        """Write the index, then into the header where it is, how long all lasts and how large all is."""
        base = self._segment.begin
        points = (
            element(0xBB, element(0xB3, unsigned(self._ms(first))) + element(0xB7, _place(place - base)))
            for first, place in self._clusters
        )
        cues_at = self._end
        self._add(element(_CUES, b"".join(points)))
        seeks = b"".join(
            element(0x4DBB, element(0x53AB, name.to_bytes(4, "big")) + element(0x53AC, unsigned(at - base)))
            for name, at in ((_INFO, self._info.at), (_TRACKS, self._tracks.at), (_CUES, cues_at))
        )
        head = element(_SEEK_HEAD, seeks)
        write_at(self._file, base, head + void(_SEEK_BYTES - len(head)))
        seconds = self.frames / self.track.rate
        write_at(self._file, self._duration_at, element(_DURATION, struct.pack(">d", float(1000 * seconds))))
        write_at(self._file, base - 8, size(self._end - base, 8))
        os.fsync(self._file.fileno())

    def _ms(self, frame: int) -> int:
        return round(1000 * frame / self.track.rate)

    def _find_clusters(self, file_bytes: int) -> None:
        """Note every whole cluster. The frames before one are counted by its time, exact up to 999 frames a second.

        Before a cluster is begun, the one before it is on the disk: only the last can be other than it was written.
        """
        self._end = self._tracks.end
        while (found := _cluster_at(self._file, self._end, file_bytes)) is not None:
            end, begin_ms = found
            self._clusters.append((round(begin_ms * self.track.rate / 1000), self._end))
            self._end = end
        if self._clusters:
            self.frames, place = self._clusters[-1]
            last = _frames_of_cluster(read_at(self._file, place, self._end - place))
            if last is None:
                self._clusters.pop()
                self._end = place
            self.frames += last or 0

    def _find_places(self, header: bytes) -> None:
        self._segment = next(found for found in elements(header) if found.name == _SEGMENT)
        inside = {found.name: found for found in elements(header, self._segment.begin)}
        self._info, self._tracks = inside[_INFO], inside[_TRACKS]
        kept_free = (VOID, _DURATION)  # the one until the other is written
        told = elements(header, self._info.begin, self._info.end)
        self._duration_at = next(found.at for found in told if found.name in kept_free)


def _header(track: Track) -> bytes:
    ebml = b"".join(
        [
            *(element(name, b"\x01") for name in (0x4286, 0x42F7)),  # version of EBML, and to read it
            element(0x42F2, b"\x04"),  # longest name
            element(0x42F3, b"\x08"),  # longest size
            element(0x4282, b"matroska"),
            element(0x4287, b"\x04"),  # version of Matroska
            element(0x4285, b"\x02"),  # and of what is needed to read it: simple blocks
        ]
    )
    info = b"".join(
        [
            element(0x2AD7B1, unsigned(1_000_000)),  # times are in milliseconds
            void(_DURATION_BYTES),
            *(element(name, b"edgeseg") for name in (0x4D80, 0x5741)),  # muxing and writing application
        ]
    )
    entry = b"".join(
        [
            *(element(name, b"\x01") for name in (0xD7, 0x73C5, 0x83)),  # number, unique number, video
            element(0x9C, b"\x00"),  # no lacing
            element(0x86, b"V_MPEG4/ISO/ASP"),
            element(_CONFIG, track.config),
            element(_FRAME_NS, unsigned(round(10**9 / track.rate))),
            element(_VIDEO, element(_WIDTH, unsigned(track.width)) + element(_HEIGHT, unsigned(track.height))),
        ]
    )
    return b"".join(
        [
            element(_EBML, ebml),
            _SEGMENT.to_bytes(4, "big") + UNKNOWN_SIZE,
            void(_SEEK_BYTES),
            element(_INFO, info),
            element(_TRACKS, element(_TRACK, entry)),
        ]
    )


def _track_of(header: bytes) -> Track | None:
    """What a header says of its track; `None` for one that is not whole, or not of this kind."""
    begin, end = 0, len(header)
    for name in (_SEGMENT, _TRACKS, _TRACK):
        found = next((inside for inside in elements(header, begin, end) if inside.name == name), None)
        if found is None or (name != _SEGMENT and found.end > len(header)):
            return None
        begin, end = found.begin, found.end
    entry = {inside.name: inside for inside in elements(header, begin, end)}
    if not {_CONFIG, _FRAME_NS, _VIDEO} <= entry.keys():
        return None
    video = {inside.name: inside for inside in elements(header, entry[_VIDEO].begin, entry[_VIDEO].end)}
    frame_ns, width, height = (
        int.from_bytes(header[number.begin : number.end], "big")
        for number in (entry[_FRAME_NS], video[_WIDTH], video[_HEIGHT])
    )
    config = header[entry[_CONFIG].begin : entry[_CONFIG].end]
    return Track(width, height, rate_of(10**9 / frame_ns), config)


def _cluster_at(file: io.FileIO, at: int, file_bytes: int) -> tuple[int, int] | None:
    """Where the cluster at `at` ends and its time in milliseconds; `None` where there is none that ends in the file."""
    head = read_at(file, at, 3 * LONGEST_HEAD)
    cluster = read_element(head, at)
    if cluster is None or cluster.name != _CLUSTER or cluster.end > file_bytes:
        return None
    time = read_element(head[cluster.begin - at :], cluster.begin)
    if time is None or time.name != _TIME:
        return None
    return cluster.end, int.from_bytes(head[time.begin - at : time.end - at], "big")


def _frames_of_cluster(cluster: bytes) -> int | None:
    """How many frames it has; `None` where its content is not what was written."""
    time, *blocks = elements(cluster, next(elements(cluster)).begin)
    if any(block.name != _BLOCK for block in blocks) or [time, *blocks][-1].end != len(cluster):
        return None
    return len(blocks)


def _place(at: int) -> bytes:
    return element(0xF7, b"\x01") + element(0xF1, unsigned(at))  # track, place of the cluster
