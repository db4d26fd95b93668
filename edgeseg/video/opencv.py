"""What this build of OpenCV can do, and how to keep it from talking."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2

from edgeseg.errors import UnavailableError

GUI_INSTALL = "pip uninstall -y opencv-python-headless && pip install opencv-python"
"""Both packages unpack into the same folder, so the one with windows has to replace the other."""

_SILENT = 0
"""cv::utils::logging::LOG_LEVEL_SILENT"""


@dataclass(frozen=True, slots=True)
class OpenCvBuild:
    """The parts of `cv2.getBuildInformation()` on which the camera loop depends."""

    version: str
    gui: str | None
    """Name of the window toolkit; `None` in a headless build."""
    ffmpeg: bool
    gstreamer: bool


def parse_build(information: str, version: str) -> OpenCvBuild:
    """Read the text of `cv2.getBuildInformation()`.

    The GUI section names its toolkit on its own line (`GUI: QT5`, `GUI: NONE`) or only below it (`Win32 UI: YES`).
    """
    entries = dict(re.findall(r"^ +([A-Za-z0-9/+ ]+?): +(\S+)", information, re.MULTILINE))
    gui = entries.get("GUI")
    if gui is None:
        toolkits = ("Win32 UI", "Cocoa", "QT", "GTK+", "Wayland")
        gui = next((name for name in toolkits if entries.get(name) == "YES"), None)
    return OpenCvBuild(
        version=version,
        gui=None if gui == "NONE" else gui,
        ffmpeg=entries.get("FFMPEG") == "YES",
        gstreamer=entries.get("GStreamer") == "YES",
    )


def opencv_build() -> OpenCvBuild:
    """What the OpenCV that is imported here was built with."""
    return parse_build(cv2.getBuildInformation(), cv2.__version__)


def require_window(build: OpenCvBuild, environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> None:
    """Raise `UnavailableError` when no window can be opened.

    Asked beforehand because `cv2.imshow` does not raise where there is no display: Qt ends the process.
    """
    if build.gui is None:
        raise UnavailableError(
            f"OpenCV {build.version} here has no windows (a headless build). Use --headless, or: {GUI_INSTALL}"
        )
    if platform.startswith("linux") and not (environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")):
        raise UnavailableError(
            "no display: neither DISPLAY nor WAYLAND_DISPLAY is set. Use --headless, or log in with ssh -X."
        )


class _Silence:
    """OpenCV has one level for all threads: the first that wants silence lowers it, the last restores it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted_by = 0
        self._before = _SILENT

    def begin(self) -> None:
        """One more wants silence."""
        with self._lock:
            if self._wanted_by == 0:
                self._before = _logging().getLogLevel()
                _logging().setLogLevel(_SILENT)
            self._wanted_by += 1

    def end(self) -> None:
        """One wants it no more."""
        with self._lock:
            self._wanted_by -= 1
            if self._wanted_by == 0:
                _logging().setLogLevel(self._before)


_SILENCE = _Silence()


def _logging() -> Any:
    """Where the level is set, in OpenCV 4 and in 5."""
    return cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV and its FFmpeg from writing to stderr: what they would say becomes one error of ours.

    For any thread, also several at once. `OPENCV_FFMPEG_LOGLEVEL` is read once, when FFmpeg is first used; a value that
    the user has set is kept.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET, libavutil/log.h
    _SILENCE.begin()
    try:
        yield
    finally:
        _SILENCE.end()
