"""A Jetson's CSI camera: `csi://0?size=720x1280&fps=30&flip=0`, read through NVIDIA's `nvarguscamerasrc`.

It needs an OpenCV that was built with GStreamer: JetPack's was, pip's was not. Elements and their properties: NVIDIA,
Jetson Linux Developer Guide, Accelerated GStreamer. No such camera was at hand: the pipeline has not been run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import cv2

from edgeseg.errors import SourceError, UnavailableError
from edgeseg.video.opencv import OpenCvBuild, opencv_build, quiet_opencv
from edgeseg.video.sources.base import Clock
from edgeseg.video.sources.camera import Camera
from edgeseg.video.sources.newest import NewestFrame

_DEFAULTS = {"size": "720x1280", "fps": "30", "flip": "0"}
_FLIPS = range(8)
"""`flip-method` of nvvidconv: 0 as it is, 2 upside down, 4 mirrored."""


def open_csi(rest: str, clock: Clock) -> NewestFrame:
    """Open what follows `csi://` so that its newest frame wins; raises `SourceError` for what does not open.

    Raises `UnavailableError` where OpenCV has no GStreamer.
    """
    return NewestFrame(csi_camera(rest, clock))


def csi_camera(
    rest: str,
    clock: Clock,
    *,
    build: OpenCvBuild | None = None,
    open_capture: Callable[[str, int], Any] = cv2.VideoCapture,
) -> Camera:
    """The camera itself, frame by frame."""
    sensor, pipeline = csi_pipeline(rest)
    build = build or opencv_build()
    if not build.gstreamer:
        raise UnavailableError(
            f"csi://{rest}: OpenCV {build.version} here has no GStreamer. JetPack's has: pip uninstall "
            "opencv-python-headless, pip install 'numpy<2', and make the venv with --system-site-packages."
        )
    with quiet_opencv():
        capture = open_capture(pipeline, cv2.CAP_GSTREAMER)
    if not capture.isOpened():
        capture.release()
        raise SourceError(
            f"csi://{rest} does not open. Is its cable seated, does another program use it, and does it give this size "
            "and rate? Try: sudo systemctl restart nvargus-daemon"
        )
    return Camera(sensor, clock, lambda _number: capture)


def csi_pipeline(rest: str) -> tuple[str, str]:
    """`"0?size=720x1280&fps=30"` → the sensor's number and the pipeline; raises `SourceError` for anything else."""
    sensor, _, query = rest.partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(given) - set(_DEFAULTS))
    settings = {**_DEFAULTS, **given}
    size = re.fullmatch(r"(\d+)x(\d+)", settings["size"])
    numbers = all(settings[name].isdecimal() for name in ("fps", "flip"))
    if unknown or not sensor.isdecimal() or size is None or not numbers or int(settings["flip"]) not in _FLIPS:
        raise SourceError(
            f"csi://{rest}: expected csi://NUMBER with size=HEIGHTxWIDTH, fps=N and flip=0 to 7, such as "
            "csi://0?size=720x1280&fps=30."
        )
    height, width = int(size[1]), int(size[2])
    return sensor, (
        f"nvarguscamerasrc sensor-id={sensor} ! "
        f"video/x-raw(memory:NVMM),width={width},height={height},framerate={settings['fps']}/1 ! "
        f"nvvidconv flip-method={settings['flip']} ! video/x-raw,format=BGRx ! "
        "videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
    )
