from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from edgeseg.errors import UnavailableError
from edgeseg.video.opencv import OpenCvBuild, opencv_build, parse_build, quiet_opencv, require_window

QT = """
  GUI:                           QT5
    QT:                          YES (ver 5.15.16 )
      QT OpenGL support:         NO
    GTK+:                        NO

  Video I/O:
    FFMPEG:                      YES
      avcodec:                   YES (59.37.100)
    GStreamer:                   YES (1.20.3)
"""
WINDOWS = """
  GUI:
    Win32 UI:                    YES
    VTK support:                 NO

  Video I/O:
    FFMPEG:                      YES (prebuilt binaries)
    GStreamer:                   NO
"""
HEADLESS = """
  GUI:                           NONE

  Video I/O:
    FFMPEG:                      NO
    GStreamer:                   NO
"""


def test_builds_are_read() -> None:
    assert parse_build(QT, "4.10.0") == OpenCvBuild("4.10.0", "QT5", True, True)
    assert parse_build(WINDOWS, "4.10.0") == OpenCvBuild("4.10.0", "Win32 UI", True, False)
    assert parse_build(HEADLESS, "4.10.0") == OpenCvBuild("4.10.0", None, False, False)


def test_the_build_here_has_a_version_and_can_read_videos() -> None:
    build = opencv_build()
    assert build.version == cv2.__version__
    assert build.ffmpeg or build.gstreamer


def test_a_window_needs_a_toolkit_and_a_display() -> None:
    qt, headless = parse_build(QT, "4.10.0"), parse_build(HEADLESS, "4.10.0")
    with pytest.raises(UnavailableError, match=r"--headless, or: pip uninstall -y .* pip install opencv-python"):
        require_window(headless, {"DISPLAY": ":0"}, "linux")
    with pytest.raises(UnavailableError, match="DISPLAY"):
        require_window(qt, {}, "linux")
    require_window(qt, {"DISPLAY": ":0"}, "linux")
    require_window(qt, {"WAYLAND_DISPLAY": "wayland-0"}, "linux")
    require_window(qt, {}, "win32")


def test_opencv_is_heard_again_afterwards(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.png")
    with quiet_opencv():
        cv2.imread(missing)
    assert capfd.readouterr().err == ""
    cv2.imread(missing)
    assert "missing.png" in capfd.readouterr().err
