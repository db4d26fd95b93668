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


class Adjustable(FakeCapture):
    """A camera that gives what is asked for, up to 1280 × 720, 30 a second, and nothing but MJPG."""

    def __init__(self) -> None:
        super().__init__([])
        self.asked: list[int] = []
        self.given = {cv2.CAP_PROP_FOURCC: float(cv2.VideoWriter.fourcc(*"MJPG"))}

    def set(self, *asked: float) -> bool:
        name, value = asked
        self.asked.append(int(name))
        most = {cv2.CAP_PROP_FRAME_WIDTH: 1280, cv2.CAP_PROP_FRAME_HEIGHT: 720, cv2.CAP_PROP_FPS: 30}
        if name in most:
            self.given[int(name)] = min(value, most[int(name)])
        return True

    def get(self, prop: int) -> float:
        return self.given.get(prop, 0.0)


class TestSettings:
    def test_are_asked_for_coding_first(self) -> None:
        capture = Adjustable()
        camera = open_camera("0?size=720x1280&fps=30&fourcc=mjpg", TickClock(), lambda _: capture)
        width, height = cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT
        assert capture.asked == [cv2.CAP_PROP_FOURCC, width, height, cv2.CAP_PROP_FPS, cv2.CAP_PROP_BUFFERSIZE]
        assert (capture.given[height], capture.given[width]) == (720, 1280)
        assert (camera.notes, camera.fps) == ([], 30.0)

    def test_what_the_camera_does_otherwise_is_noted(self) -> None:
        camera = open_camera("/dev/video0?size=1080x1920&fps=60&fourcc=YUYV", TickClock(), lambda _: Adjustable())
        assert camera.notes == [
            "camera /dev/video0 does not give fourcc=YUYV, but 'MJPG'",
            "camera /dev/video0 does not give size=1080x1920, but 720x1280",
            "camera /dev/video0 does not give fps=60, but 30",
        ]

    @pytest.mark.parametrize(
        ("query", "said"),
        [
            ("size=720", "HEIGHTxWIDTH"),
            ("fps=0", "1 or more"),
            ("fourcc=jpeg2", "four characters"),
            ("exposure=3", "unknown setting 'exposure'; known are: size, fps, fourcc"),
        ],
    )
    def test_that_make_no_sense(self, query: str, said: str) -> None:
        with pytest.raises(SourceError, match=said):
            open_camera(f"0?{query}", TickClock(), lambda _: pytest.fail("opened"))

    @pytest.mark.parametrize("uri", ["camera://9999?size=720x1280", "9999?fps=30", "/dev/video9999?fps=30"])
    def test_are_part_of_an_address(self, uri: str) -> None:
        with pytest.raises(SourceError, match="there is no camera 9999"):
            open_source(uri)


def test_a_name_that_stays_with_a_camera_is_looked_up() -> None:
    with pytest.raises(SourceError, match=r"there is no camera /dev/v4l/by-id/usb-front-index0\..*ls /dev/v4l/by-id"):
        open_source("/dev/v4l/by-id/usb-front-index0")


def test_a_read_that_waited_for_its_own_timeout_is_not_tried_again() -> None:
    clock = TickClock()

    class Silent(FakeCapture):
        tries = 0

        def grab(self) -> bool:
            self.tries += 1
            clock.now += 2.0
            return False

    capture = Silent([])
    with pytest.raises(SourceError, match="no more frames"):
        open_camera("0", clock, lambda _: capture).read()
    assert capture.tries == 1


def test_a_frame_too_large_to_be_true_is_named() -> None:
    huge = np.broadcast_to(np.zeros(1, np.uint8), (20_000, 10_000, 3))
    camera = open_camera("0", TickClock(), lambda _: FakeCapture([huge, grey_frame(1)]))
    with pytest.raises(DataError, match=r"camera 0, frame 0: 20000×10000 pixels; at most 134217728"):
        camera.read()
    assert camera.read() is not None
