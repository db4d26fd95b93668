"""GStreamer pipelines as sources: what is composed and what is said. No OpenCV with GStreamer was there to run one."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from edgeseg.errors import SourceError, UnavailableError
from edgeseg.video.opencv import OpenCvBuild
from edgeseg.video.sources.gstreamer import open_gstreamer, pipeline_of

WITH = OpenCvBuild("4.8.0", None, ffmpeg=True, gstreamer=True)
WITHOUT = OpenCvBuild("5.0.0", None, ffmpeg=True, gstreamer=False)
ADDRESS = "rtspsrc location=rtsp://driver:s3cret@camera/x user-pw=s3cret ! decodebin"


class Capture:
    """What cv2.VideoCapture is to us."""

    def __init__(self, *, opens: bool = True, frames: int = 1) -> None:
        self.opens, self.frames, self.released = opens, frames, 0

    def isOpened(self) -> bool:  # noqa: N802
        return self.opens

    def get(self, _name: int) -> float:
        return 15.0

    def grab(self) -> bool:
        self.frames -= 1
        return self.frames >= 0

    def retrieve(self) -> tuple[bool, Any]:
        return True, np.full((4, 6), 7, np.uint8)

    def release(self) -> None:
        self.released += 1


def test_a_pipeline_without_an_end_gets_one_that_keeps_the_newest_frame() -> None:
    end = "videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
    assert pipeline_of("videotestsrc") == f"videotestsrc ! {end}"
    assert pipeline_of(" videotestsrc ! ") == f"videotestsrc ! {end}"
    assert pipeline_of("videotestsrc name=myappsinks") == f"videotestsrc name=myappsinks ! {end}"


def test_a_pipeline_with_an_end_is_left_as_it_is() -> None:
    whole = "videotestsrc ! videoconvert ! appsink name=out drop=true"
    assert pipeline_of(whole) == whole


def test_frames_come_through_it() -> None:
    asked: list[tuple[str, int]] = []
    capture = Capture()

    def opened(pipeline: str, api: int) -> Capture:
        asked.append((pipeline, api))
        return capture

    with open_gstreamer("videotestsrc ! appsink", lambda: 0.0, build=WITH, open_capture=opened) as source:
        record = source.read()
        assert record is not None
        assert record.frame_bgr.shape == (4, 6, 3)
        assert (source.live, source.fps) == (True, 15.0)
    assert asked == [("videotestsrc ! appsink", cv2.CAP_GSTREAMER)]
    assert capture.released == 1


def test_what_is_wrong_is_said_without_passwords() -> None:
    closed = Capture(opens=False)
    silent = open_gstreamer(ADDRESS, lambda: 0.0, build=WITH, open_capture=lambda *_: Capture(frames=0))
    with pytest.raises(SourceError, match="gst-launch") as refused:
        open_gstreamer(ADDRESS, lambda: 0.0, build=WITH, open_capture=lambda *_: closed)
    with pytest.raises(UnavailableError, match="no GStreamer") as unavailable:
        open_gstreamer(ADDRESS, lambda: 0.0, build=WITHOUT, open_capture=lambda *_: pytest.fail("opened"))
    with pytest.raises(SourceError, match="gives no more frames after 0") as broken:
        silent.read()
    for text in (silent.uri, *(str(caught.value) for caught in (refused, unavailable, broken))):
        assert "location=rtsp://***@camera/x user-pw=***" in text
        assert "s3cret" not in text
        assert "\n" not in text
    assert closed.released == 1


def test_no_pipeline_at_all() -> None:
    with pytest.raises(SourceError, match="expected a pipeline"):
        open_gstreamer("  ", lambda: 0.0, build=WITH)
