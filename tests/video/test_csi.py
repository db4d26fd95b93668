"""A CSI camera: the pipeline that its address stands for, and what is said where it does not open. Never run on one."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from edgeseg.errors import SourceError, UnavailableError
from edgeseg.video.opencv import OpenCvBuild
from edgeseg.video.sources import LIVE
from edgeseg.video.sources.csi import csi_pipeline, open_csi

WITH = OpenCvBuild("4.8.0", None, ffmpeg=True, gstreamer=True)
WITHOUT = OpenCvBuild("5.0.0", None, ffmpeg=True, gstreamer=False)


class Capture:
    """What cv2.VideoCapture is to us."""

    def __init__(self, *, opens: bool = True) -> None:
        self.opens, self.released = opens, 0

    def isOpened(self) -> bool:  # noqa: N802
        return self.opens

    def set(self, _name: int, _value: float) -> bool:
        return False

    def get(self, _name: int) -> float:
        return 30.0

    def grab(self) -> bool:
        return True

    def retrieve(self) -> tuple[bool, Any]:
        return True, np.full((4, 6, 3), 7, np.uint8)

    def release(self) -> None:
        self.released += 1


def test_the_address_becomes_the_pipeline() -> None:
    sensor, pipeline = csi_pipeline("1?size=1080x1920&fps=60&flip=2")
    assert sensor == "1"
    elements = [element.strip() for element in pipeline.split("!")]
    assert elements == [
        "nvarguscamerasrc sensor-id=1",
        "video/x-raw(memory:NVMM),width=1920,height=1080,framerate=60/1",
        "nvvidconv flip-method=2",
        "video/x-raw,format=BGRx",
        "videoconvert",
        "video/x-raw,format=BGR",
        "appsink drop=true max-buffers=1 sync=false",
    ]
    assert "width=1280,height=720,framerate=30/1" in csi_pipeline("0")[1]


@pytest.mark.parametrize(
    "rest",
    ["", "a", "-1", "0?size=720", "0?size=720x", "0?fps=thirty", "0?fps=", "0?flip=8", "0?speed=2", "0 ! filesink"],
)
def test_any_other_address_is_refused(rest: str) -> None:
    with pytest.raises(SourceError, match="expected csi://NUMBER"):
        csi_pipeline(rest)


def test_frames_come_through_gstreamer() -> None:
    asked: list[tuple[str, int]] = []
    capture = Capture()

    def opened(pipeline: str, backend: int) -> Capture:
        asked.append((pipeline, backend))
        return capture

    with open_csi("0", lambda: 1.5, build=WITH, open_capture=opened) as camera:
        record = camera.read()
    assert record is not None
    assert record.frame_bgr.shape == (4, 6, 3)
    assert camera.live
    assert asked == [(csi_pipeline("0")[1], cv2.CAP_GSTREAMER)]
    assert capture.released == 1


def test_a_camera_that_does_not_open_is_given_back_and_named() -> None:
    capture = Capture(opens=False)
    with pytest.raises(SourceError, match="nvargus-daemon"):
        open_csi("0", lambda: 0.0, build=WITH, open_capture=lambda _pipeline, _backend: capture)
    assert capture.released == 1


def test_an_opencv_without_gstreamer_is_not_asked() -> None:
    with pytest.raises(UnavailableError, match="no GStreamer"):
        open_csi("0", lambda: 0.0, build=WITHOUT, open_capture=lambda _pipeline, _backend: pytest.fail("opened"))


def test_it_is_a_source_by_its_scheme() -> None:
    assert LIVE["csi"] == "edgeseg.video.sources.csi:open_csi"
