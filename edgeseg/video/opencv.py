"""What this build of OpenCV can do, and how to keep it from talking."""

from __future__ import annotations

import os
import re
import sys
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


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV and its FFmpeg from writing to stderr: what they would say becomes one error of ours.

    `OPENCV_FFMPEG_LOGLEVEL` is read once, when FFmpeg is first used; a value that the user has set is kept.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET, libavutil/log.h
    logging: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # where it is in OpenCV 4 and in 5
    before = logging.getLogLevel()
    logging.setLogLevel(_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(before)
