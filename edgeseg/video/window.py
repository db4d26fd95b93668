"""A window on the desktop, and the keys that are pressed in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from edgeseg.errors import UnavailableError
from edgeseg.files import write_bytes
from edgeseg.types import Frame
from edgeseg.video.opencv import opencv_build, require_window
from edgeseg.video.overlay import Overlay
from edgeseg.video.results import FrameResult
from edgeseg.video.sinks import Sink

KEYS = "space pause · o overlay mode · s save a picture · q quit"
"""What the keys in the window do."""

_ESCAPE = 27
_PAUSED_POLL_MS = 30


class WindowSink(Sink):
    """Shows the painted pictures. Made by `open_window`, which first makes sure that there can be a window."""

    wants_picture = True

    def __init__(self, gui: Any, title: str) -> None:
        super().__init__()
        self._gui = gui
        self._title = title
        self._key = ""
        self._was_visible = False
        gui.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)

    def write(self, result: FrameResult) -> None:
        """Show the picture; the key that was pressed meanwhile is remembered."""
        assert result.picture_bgr is not None, "the loop paints for sinks that want pictures"
        self.show(result.picture_bgr)
        # Also what brings the picture to the screen: OpenCV paints while it looks for keys.
        self._key = _decode(self._gui.pollKey()) or self._key

    def show(self, picture_bgr: Frame) -> None:
        """Put a picture, BGR uint8 (H, W, 3), into the window."""
        self._gui.imshow(self._title, picture_bgr)

    def key(self, wait: bool = False) -> str:
        """The key pressed last, once: a character, "q" also for Escape and a closed window, "" for none.

        With `wait`, the window is kept alive for a moment in which a key may come.
        """
        pressed, self._key = self._key, ""
        if wait and not pressed:
            pressed = _decode(self._gui.waitKey(_PAUSED_POLL_MS))
        visible = self._visible()
        closed = self._was_visible and not visible  # a toolkit that cannot tell never says visible
        self._was_visible = self._was_visible or visible
        return "q" if closed else pressed

    def _visible(self) -> bool:
        try:
            return bool(self._gui.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1)
        except cv2.error:  # what OpenCV 5 does with Qt when the last window has been closed
            return False

    def close(self) -> None:
        """Close the window."""
        self._gui.destroyAllWindows()  # destroyWindow fails where the user has closed it already


def open_window(title: str = "edgeseg") -> WindowSink:
    """Open a window; raises `UnavailableError` where there is no display, or an OpenCV without windows."""
    require_window(opencv_build())
    try:
        return WindowSink(cv2, title)
    except cv2.error as error:
        raise UnavailableError(f"OpenCV cannot open a window here ({error.err}). Use --headless.") from error


class Keyboard:
    """Does what the keys in a window say (see `KEYS`); pictures are saved into the folder `snapshots`."""

    def __init__(self, window: WindowSink, overlay: Overlay, snapshots: Path, stopped: Callable[[], bool]) -> None:
        self._window = window
        self._overlay = overlay
        self._snapshots = snapshots
        self._stopped = stopped
        self._paused = False

    def __call__(self, result: FrameResult) -> bool:
        """Act on the keys pressed since the last frame, and wait here while paused. Returns whether to go on."""
        while not self._stopped():
            key = self._window.key(wait=self._paused)
            if key == "q":
                return False
            if key == " ":
                self._paused = not self._paused
            if key == "o":
                self._overlay.next_mode()
                self._window.show(self._paint(result))
            if key == "s":
                self._save(result)
            if not self._paused:
                break
        return True

    def _paint(self, result: FrameResult) -> Frame:
        found = result.segmentation
        return self._overlay.paint(result.record.frame_bgr, found.labels, result.status, valid=found.valid)

    def _save(self, result: FrameResult) -> None:
        path = self._snapshots / f"edgeseg-{Path(result.record.name).name}.png"
        _, encoded = cv2.imencode(".png", self._paint(result))
        write_bytes(path, encoded.tobytes())
        self._window.notes.append(f"saved {path}")


def _decode(code: int) -> str:
    """OpenCV's key code → the key in lower case. Bits above the lowest byte are modifiers; -1 is none."""
    if code < 0:
        return ""
    return "q" if code & 0xFF == _ESCAPE else chr(code & 0xFF).lower()
