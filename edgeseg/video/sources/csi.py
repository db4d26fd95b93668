"""A Jetson's CSI camera: `csi://0?size=720x1280&fps=30&flip=0`, read through NVIDIA's `nvarguscamerasrc`.

It needs an OpenCV that was built with GStreamer: JetPack's was, pip's was not. Elements and their properties: NVIDIA,
Jetson Linux Developer Guide, Accelerated GStreamer. No such camera was at hand: the pipeline has not been run.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

import cv2

from edgeseg.errors import SourceError
from edgeseg.video.opencv import OpenCvBuild
from edgeseg.video.sources.base import Clock
from edgeseg.video.sources.capture import LiveCapture
from edgeseg.video.sources.gstreamer import OpenPipeline, open_pipeline

_DEFAULTS = {"size": "720x1280", "fps": "30", "flip": "0"}
_FLIPS = range(8)
"""`flip-method` of nvvidconv: 0 as it is, 2 upside down, 4 mirrored."""


def open_csi(
    rest: str, clock: Clock, *, build: OpenCvBuild | None = None, open_capture: OpenPipeline = cv2.VideoCapture
) -> LiveCapture:
    """Open what follows `csi://`; raises `SourceError` for what does not open.

    Raises `UnavailableError` where OpenCV has no GStreamer.
    """
    uri = f"csi://{rest}"
    sensor, pipeline = csi_pipeline(rest)
    capture = open_pipeline(uri, pipeline, build, open_capture)
    if capture is None:
        raise SourceError(
            f"{uri} does not open. Is its cable seated, does another program use it, and does it give this size "
            "and rate? Try: sudo systemctl restart nvargus-daemon"
        )
    hint = "Check its cable; then: sudo systemctl restart nvargus-daemon"
    return LiveCapture(uri, f"CSI camera {sensor}", capture, clock, hint=hint)


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
