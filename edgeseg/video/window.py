"""A window on the desktop, and the keys that are pressed in it."""

from __future__ import annotations

from typing import Any

import cv2

from edgeseg.errors import UnavailableError
from edgeseg.types import Frame
from edgeseg.video.controls import Controls
from edgeseg.video.opencv import opencv_build, require_window
from edgeseg.video.results import FrameResult
from edgeseg.video.sinks import Sink
from edgeseg.video.stats import Ended

KEYS = "space pause · o overlay mode · s save a picture · q quit"
"""What the keys in the window do."""

_ESCAPE = 27


class WindowSink(Sink):
    """Shows the painted pictures, and does what the keys say. Made by `open_window`, which sees whether it can be."""

    wants_picture = True

    def __init__(self, gui: Any, title: str, controls: Controls) -> None:
        super().__init__()
        self._gui = gui
        self._title = title
        self._controls = controls
        self._was_visible = False
        gui.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)

    def write(self, result: FrameResult) -> None:
        """Show the picture."""
        assert result.picture_bgr is not None, "the loop paints for sinks that want pictures"
        self._show(result.picture_bgr)

    def waiting(self, picture_bgr: Frame) -> None:
        """Show that there is no new picture. The keys are heard all the same."""
        self._show(picture_bgr)

    def close(self) -> None:
        """Close the window."""
        self._gui.destroyAllWindows()  # destroyWindow fails where the user has closed it already

    def _show(self, picture_bgr: Frame) -> None:
        self._gui.imshow(self._title, picture_bgr)
        # Also what brings the picture to the screen: OpenCV paints while it looks for keys.
        self._obey(_decode(self._gui.pollKey()))

    def _obey(self, key: str) -> None:
        controls = self._controls
        if key == "q" or self._has_been_closed():
            controls.stop(Ended.KEY)
        elif key == " ":
            controls.toggle_paused()
        elif key == "o":
            controls.next_mode()
        elif key == "s":
            controls.ask_snapshot()

    def _has_been_closed(self) -> bool:
        visible = self._visible()
        closed = self._was_visible and not visible  # a toolkit that cannot tell never says visible
        self._was_visible = self._was_visible or visible
        return closed

    def _visible(self) -> bool:
        try:
            return bool(self._gui.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1)
        except cv2.error:  # what OpenCV 5 does with Qt when the last window has been closed
            return False


def open_window(controls: Controls, title: str = "edgeseg") -> WindowSink:
    """Open a window; raises `UnavailableError` where there is no display, or an OpenCV without windows."""
    require_window(opencv_build())
    try:
        return WindowSink(cv2, title, controls)
    except cv2.error as error:
        raise UnavailableError(f"OpenCV cannot open a window here ({error.err}). Use --headless.") from error


def _decode(code: int) -> str:
    """OpenCV's key code → the key in lower case. Bits above the lowest byte are modifiers; -1 is none."""
    if code < 0:
        return ""
    return "q" if code & 0xFF == _ESCAPE else chr(code & 0xFF).lower()
