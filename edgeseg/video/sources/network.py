"""Network streams through OpenCV's FFmpeg: rtsp://, rtsps://, and Motion JPEG or MPEG-TS over http:// and https://."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import cv2

from edgeseg.errors import SourceError, UnavailableError
from edgeseg.video.opencv import OpenCvBuild, opencv_build, quiet_opencv
from edgeseg.video.sources.base import Clock
from edgeseg.video.sources.capture import LiveCapture
from edgeseg.video.sources.diagnosis import why_closed
from edgeseg.video.sources.redact import redact

_OPEN_MS = 5000
_READ_MS = 5000
"""Without it FFmpeg's read of a silent stream hangs for OpenCV's 30 s. A silent stream is given up long before; this is
how long its reader still hangs, and how long a key frame may take."""

_OPTIONS = "rtsp_flags;prefer_tcp|fpsprobesize;2"
"""RTP over TCP, as OpenCV itself chooses where the variable is not set: over UDP each lost packet is a torn picture.
And two frames in place of 20 to find out the rate: a stream of 30 frames/s opens in 0.1 s instead of
0.7 s, one of 5 in 0.6 s instead of 4.2 s (measured with Motion JPEG over RTSP)."""

OpenStream = Callable[[str, int, list[int]], Any]
"""Address, API and pairs of property and value → what `cv2.VideoCapture` is."""


def open_stream(
    scheme: str,
    rest: str,
    clock: Clock,
    *,
    build: OpenCvBuild | None = None,
    open_capture: OpenStream = cv2.VideoCapture,
    diagnose: Callable[[str], str] = why_closed,
) -> LiveCapture:
    """Open `scheme://rest`; raises `SourceError` with the likely cause in one line, never with a password in it.

    What the user has set in OPENCV_FFMPEG_CAPTURE_OPTIONS holds, such as `rtsp_transport;udp`: OpenCV passes it on at
    each opening. Raises `UnavailableError` where OpenCV has no FFmpeg.
    """
    uri = f"{scheme}://{rest}"
    shown = redact(uri)
    _check_address(uri, shown)
    build = build or opencv_build()
    if not build.ffmpeg:
        raise UnavailableError(
            f"{shown}: OpenCV {build.version} here has no FFmpeg. "
            "Try: 'gst://rtspsrc location=ADDRESS latency=0 ! decodebin'"
        )
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", _OPTIONS)
    # One thread: FFmpeg's decoders hold back one more frame for each further one (measured with MPEG-4 at 25 frames/s:
    # six threads show a picture 5 frames, or 0.2 s, later than one).
    settings = [
        *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_MS),
        *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, _READ_MS),
        *(cv2.CAP_PROP_N_THREADS, 1),
    ]
    with quiet_opencv():
        capture = open_capture(uri, cv2.CAP_FFMPEG, settings)
    if not capture.isOpened():
        capture.release()
        raise SourceError(f"{shown}: {diagnose(uri)}")
    frames = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    if frames > 0:  # far below zero for a stream that has no end
        capture.release()
        raise SourceError(
            f"{shown}: a recorded file of {frames:.0f} frames, no live stream. Download it, and give the file."
        )
    # FFmpeg makes up 25 frames/s and the time stamps that go with it, where pictures are only strung together.
    guessed = scheme.startswith("http") and int(capture.get(cv2.CAP_PROP_FOURCC)) == cv2.VideoWriter.fourcc(*"MJPG")
    hint = "Is the camera on, and does its network hold?"
    return LiveCapture(shown, shown, capture, clock, hint=hint, fps_known=not guessed)


open_rtsp = partial(open_stream, "rtsp")
open_rtsps = partial(open_stream, "rtsps")
open_http = partial(open_stream, "http")
open_https = partial(open_stream, "https")


def _check_address(uri: str, shown: str) -> None:
    try:
        parts = urlsplit(uri)
        whole = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number: mostly the second half of a password
        whole = False
    if not whole or any(character.isspace() for character in uri):
        raise SourceError(
            f"{shown}: expected SCHEME://USER:PASSWORD@HOST:PORT/PATH. In user and password write %40 for @, "
            "%3A for :, %2F for /, %20 for a blank."
        )
