"""Video files: every frame, in order, and no faith in what the container promises."""

from __future__ import annotations

from pathlib import Path

import cv2

from edgeseg.errors import SourceError
from edgeseg.video.opencv import opencv_build, quiet_opencv
from edgeseg.video.pixels import to_bgr8
from edgeseg.video.sources.base import Clock, FrameRecord, Source
from edgeseg.video.sources.capture import media_s
from edgeseg.video.sources.redact import redact

_HEAD_BYTES = 1024
_TS_PACKET_BYTES = 188  # ISO/IEC 13818-1, 2.4.3.2: each packet starts with the sync byte 0x47
_QUICKTIME_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")  # any may come first in a file


def container_of(head: bytes) -> str | None:
    """Name of the video container that a file starting with `head` is; `None` if it is none that is known here.

    FFmpeg goes by content too, and obeys a text playlist in a file named .mp4, which may lead anywhere on the network.
    """
    if head[4:8] in _QUICKTIME_ATOMS:
        return "mp4"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    starts = {
        b"\x1aE\xdf\xa3": "mkv",
        b"FLV\x01": "flv",
        b"OggS": "ogg",
        b"\x00\x00\x01\xba": "mpeg",
        b"\x00\x00\x01\xb3": "mpeg",
        b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "wmv",
        b"YUV4MPEG2 ": "y4m",
    }
    for magic, name in starts.items():
        if head.startswith(magic):
            return name
    syncs = head[0::_TS_PACKET_BYTES]
    return "ts" if len(syncs) > 2 and set(syncs) == {0x47} else None


class VideoFile(Source):
    """Decodes a video file frame by frame."""

    def __init__(self, path: Path, clock: Clock) -> None:
        _check_container(path)
        self._capture = _open_capture(path)
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        super().__init__(str(path), clock, fps if 1 <= fps <= 480 else None)  # containers also say 0, NaN and 90000
        self.files = (path,)
        self._path = path
        self._promised = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))

    def _take(self) -> FrameRecord | None:
        started = self.clock()
        with quiet_opencv():
            decoded, pixels = self._capture.read()
        if decoded:
            frame_bgr = to_bgr8(pixels, f"{self._path}, frame {self.captured}")
            stamp_s = media_s(self._capture, self.captured)
            return FrameRecord(self.captured, frame_bgr, started, f"{self.captured:06d}", stamp_s)
        if self.captured == 0:
            raise SourceError(f"{self._path}: opens as a video, but no frame can be decoded. Copy the file again.")
        if self.captured < self._promised:
            self.notes.append(
                f"{self._path.name}: the container promises {self._promised} frames, {self.captured} could be decoded"
            )
        return None

    def again(self) -> VideoFile:
        """The same video from its first frame."""
        return VideoFile(self._path, self.clock)

    def close(self) -> None:
        """Close the file."""
        self._capture.release()


def open_video(path: str, clock: Clock) -> VideoFile:
    """Open the video file at `path`; raises `SourceError` for one that is missing or no video."""
    return VideoFile(Path(path), clock)


def _check_container(path: Path) -> None:
    if not path.exists():
        raise SourceError(
            f"no such file: {redact(str(path))}. A source is a video, image, folder or glob, a camera number, or an "
            "address such as rtsp://HOST/PATH or synthetic://drive."
        )
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from error
    if not head:
        raise SourceError(f"{path}: the file is empty. Copy it again.")
    if container_of(head) is None:
        raise SourceError(
            f"{path}: not a video (it starts with {head[:8]!r}); expected mp4, mov, mkv, avi, ts, webm or the like."
        )


def _open_capture(path: Path) -> cv2.VideoCapture:
    build = opencv_build()
    readers: dict[str, int] = {}
    if build.ffmpeg:
        readers["FFmpeg"] = cv2.CAP_FFMPEG
    if build.gstreamer:
        readers["GStreamer"] = cv2.CAP_GSTREAMER
    # By name, because OpenCV's own readers for image sequences and Motion JPEG, the last it would try, write to stderr.
    for api in readers.values() or [cv2.CAP_ANY]:
        with quiet_opencv():
            # An absolute path, because FFmpeg reads `name:rest` as a protocol.
            capture = cv2.VideoCapture(str(path.resolve()), api)
        if capture.isOpened():
            return capture
    having = " and ".join(readers) or "neither FFmpeg nor GStreamer"
    raise SourceError(
        f"{path}: cannot be opened as a video: torn, or of a codec that this OpenCV (with {having}) lacks. "
        f"Try: ffmpeg -i {path.name} -c:v libx264 whole.mp4"
    )
