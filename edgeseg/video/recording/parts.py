"""Parts of a recording: a second each of MPEG-4, encoded by OpenCV into AVI, whose frames lie one behind the other.

An AVI has no index until it is closed, and needs none to be read from its start: that is why a torn one still gives
every frame that reached it. Layout: Microsoft, AVI RIFF File Reference.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import cv2

from edgeseg.types import Frame
from edgeseg.video.opencv import quiet_opencv
from edgeseg.video.recording.growing import Packet, Track

_FRAMES = (b"00dc", b"00db")
_VOP = b"\x00\x00\x01\xb6"  # a picture; its type is in the two bits that follow, 0 for one that needs no other
_GROUP = b"\x00\x00\x01\xb3"  # may come between the headers and a key frame's picture
_STREAM_RATE = 8 + 20  # of the stream header chunk: scale and rate, after its own eight bytes
_BITMAP_SIZE = 8 + 4  # of the stream format chunk: width and height


def open_part(path: Path, fps: float, size_wh: tuple[int, int]) -> cv2.VideoWriter:
    """OpenCV's writer for one part; it may not be open, where this OpenCV cannot encode MPEG-4."""
    with quiet_opencv():
        return cv2.VideoWriter(str(path.resolve()), cv2.VideoWriter.fourcc(*"mp4v"), fps, size_wh)


def write_part(writer: cv2.VideoWriter, picture: Frame) -> bool:
    """Whether the writer took the picture. OpenCV up to 4.12 returns nothing, and does not notice a full disk."""
    return writer.write(picture) is not False


def read_part(path: Path) -> tuple[Track | None, list[Packet]]:
    """What is readable of a part, whole or torn; no track where not even its first frame is.

    Raises `OSError` where the file cannot be read.
    """
    data = path.read_bytes()
    stream, bitmap, movie = (data.find(name) for name in (b"strh", b"strf", b"movi"))
    if data[:4] != b"RIFF" or min(stream, bitmap, movie) < 0:
        return None, []
    packets = _packets(data, movie + 4)
    if not packets:
        return None, []
    scale, rate = struct.unpack_from("<II", data, stream + _STREAM_RATE)
    width, height = struct.unpack_from("<II", data, bitmap + _BITMAP_SIZE)
    return Track(width, height, Fraction(rate, scale), _config(packets[0].data)), packets


def _packets(data: bytes, at: int) -> list[Packet]:
    packets = []
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        at += 8
        if name not in _FRAMES or at + size > len(data):
            break
        packets.append(_packet(data[at : at + size]))
        at += size + size % 2  # chunks begin at even positions
    return packets


def _packet(data: bytes) -> Packet:
    kind = data.find(_VOP) + len(_VOP)
    return Packet(data, data[kind : kind + 1] < b"\x40")


def _config(key_frame: bytes) -> bytes:
    ends = [end for end in (key_frame.find(_GROUP), key_frame.find(_VOP)) if end >= 0]
    return key_frame[: min(ends, default=0)]
