"""Any GStreamer pipeline: `gst://v4l2src device=/dev/video0 ! videoconvert`.

It needs an OpenCV that was built with GStreamer: JetPack's was, pip's was not. The one on the machines that test this
was not either: pipelines were composed and refused there, but none was run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import cv2

from edgeseg.errors import SourceError, UnavailableError
from edgeseg.video.opencv import OpenCvBuild, opencv_build, quiet_opencv
from edgeseg.video.sources.base import Clock
from edgeseg.video.sources.capture import LiveCapture
from edgeseg.video.sources.redact import redact

_END = "videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
"""The newest frame wins in the pipeline too."""

OpenPipeline = Callable[[str, int], Any]
"""Pipeline and API → what `cv2.VideoCapture` is."""


def open_gstreamer(
    rest: str, clock: Clock, *, build: OpenCvBuild | None = None, open_capture: OpenPipeline = cv2.VideoCapture
) -> LiveCapture:
    """Open what follows `gst://`: a pipeline that ends in an appsink, or gets one that keeps the newest BGR frame.

    Raises `SourceError` for a pipeline that does not start, and `UnavailableError` where OpenCV has no GStreamer.
    """
    uri = redact(f"gst://{rest}")
    if not rest.strip():
        raise SourceError("gst://: expected a pipeline, such as 'gst://v4l2src device=/dev/video0'.")
    capture = open_pipeline(uri, pipeline_of(rest), build, open_capture)
    if capture is None:
        raise SourceError(
            f"{uri}: the pipeline does not start. Try it with fakesink in place of appsink: gst-launch-1.0 …"
        )
    return LiveCapture(uri, uri, capture, clock, hint="See what GStreamer says with GST_DEBUG=3 in the environment.")


def pipeline_of(rest: str) -> str:
    """The pipeline, which gets a last element if it has none that frames can be taken from."""
    pipeline = rest.strip().rstrip("!").rstrip()
    return pipeline if re.search(r"\bappsink\b", pipeline) else f"{pipeline} ! {_END}"


def open_pipeline(uri: str, pipeline: str, build: OpenCvBuild | None, open_capture: OpenPipeline) -> Any | None:
    """The running pipeline, or `None`. Raises `UnavailableError` where OpenCV has no GStreamer."""
    build = build or opencv_build()
    if not build.gstreamer:
        raise UnavailableError(
            f"{uri}: OpenCV {build.version} here has no GStreamer. JetPack's has: pip uninstall "
            "opencv-python-headless, pip install 'numpy<2', and make the venv with --system-site-packages."
        )
    with quiet_opencv():
        capture = open_capture(pipeline, cv2.CAP_GSTREAMER)
    if capture.isOpened():
        return capture
    capture.release()
    return None
