"""Cameras by number and device file: settings, failed reads, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scripted_stream import TickClock, grey_frame

from edgeseg import open_source
from edgeseg.errors import DataError, SourceError
from edgeseg.video.sources.camera import _why_closed, open_camera


class FakeCapture:
    """A `cv2.VideoCapture` that gives the frames of a list, `None` for a failed read."""

    def __init__(self, frames: list[Any], *, opened: bool = True) -> None:
        self._frames = frames
        self._opened = opened
        self.released = False

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return self._opened

    def grab(self) -> bool:
        return bool(self._frames) and (self._frames[0] is not None or self._frames.pop(0) is not None)

    def retrieve(self) -> tuple[bool, Any]:
        return True, self._frames.pop(0)

    def get(self, prop: int) -> float:
        return 30.0 if prop == cv2.CAP_PROP_FPS else 0.0

    def set(self, *_: float) -> bool:
        return True

    def release(self) -> None:
        self.released = True


class TestCamera:
    def test_numbers_and_device_files(self) -> None:
        asked: list[int] = []

        def opened(number: int) -> FakeCapture:
            asked.append(number)
            return FakeCapture([])

        for device in ("0", "/dev/video12"):
            open_camera(device, TickClock(), opened)
        assert asked == [0, 12]

    def test_frames_of_any_kind_become_bgr(self) -> None:
        grey, alpha = np.full((4, 6), 50, np.uint8), np.full((4, 6, 4), 50, np.uint8)
        deep = np.full((4, 6), 50 << 8, np.uint16)
        camera = open_camera("0", TickClock(), lambda _: FakeCapture([grey, alpha, deep]))
        for _ in range(3):
            record = camera.read()
            assert record is not None
            np.testing.assert_array_equal(record.frame_bgr, grey_frame(50, (4, 6)))
        assert camera.fps == 30.0

    @pytest.mark.parametrize("pixels", [np.zeros((0, 0, 3), np.uint8), np.zeros((4, 6, 2), np.uint8), np.zeros((4, 6))])
    def test_a_frame_of_no_use_is_named(self, pixels: Any) -> None:
        camera = open_camera("0", TickClock(), lambda _: FakeCapture([pixels, grey_frame(1)]))
        with pytest.raises(DataError, match="camera 0, frame 0"):
            camera.read()
        assert camera.read() is not None

    def test_a_failed_read_is_tried_again_and_a_lost_camera_is_said(self) -> None:
        camera = open_camera("0", TickClock(), lambda _: FakeCapture([grey_frame(1), None, grey_frame(2)]))
        assert camera.read() is not None
        second = camera.read()
        assert second is not None
        assert second.index == 1
        with pytest.raises(SourceError, match="camera 0 gives no more frames after 2"):
            camera.read()

    def test_a_camera_that_does_not_open_is_released(self) -> None:
        capture = FakeCapture([], opened=False)
        with pytest.raises(SourceError, match="camera 3"):
            open_camera("3", TickClock(), lambda _: capture)
        assert capture.released

    def test_what_to_check(self, tmp_path: Path) -> None:
        assert "nor any /dev/video" in _why_closed(0, tmp_path)
        (tmp_path / "video2").touch()
        (tmp_path / "videocodec").touch()
        assert "this machine has: /dev/video2." in _why_closed(0, tmp_path)
        assert "fuser /dev/video2" in _why_closed(2, tmp_path)

    def test_a_number_for_which_there_is_no_camera(self, capfd: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SourceError, match="camera 9999"):
            open_source("9999")
        assert capfd.readouterr().err == ""
