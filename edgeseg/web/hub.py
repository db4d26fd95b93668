"""Between the loop and the browsers: the newest picture as JPEG for who watches, never a queue, never a wait.

The loop's thread only leaves the newest picture here. A thread of its own encodes it, once for all viewers, no faster
than `fps`, and not at all while nobody watches. Each viewer has room for one picture, which a newer one replaces.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import cv2

from edgeseg.errors import ConfigError
from edgeseg.types import Frame
from edgeseg.video.results import FrameResult
from edgeseg.video.sinks import Sink
from edgeseg.web.vitals import Vitals

MAX_VIEWERS = 16
BOUNDARY = "edgeseg-picture"
"""Between the parts of a multipart body (RFC 2046, section 5.1)."""

_JPEG_QUALITY = 80
_AGAIN_S = 1.0
"""A picture that does not change is sent again after this time: so a browser knows that the connection lives."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as all viewers get it."""

    number: int
    """Its place among all pictures that were shown."""
    part: bytes
    """One part of a multipart body: its fields, a JPEG file, and the boundary, without which browsers wait for more."""


_NONE = Picture(0, b"")


class Viewer:
    """One browser's place. Used on the server's event loop alone."""

    def __init__(self) -> None:
        self._newest: Picture | None = None
        self._sent: Picture | None = None
        self._changed = asyncio.Event()
        self.gone = False

    def offer(self, picture: Picture) -> None:
        """Put a picture there in place of any that waits."""
        self._newest = picture
        self._changed.set()

    def dismiss(self) -> None:
        """There will be no more pictures."""
        self.gone = True
        self._changed.set()

    async def newest(self) -> Picture | None:
        """The newest picture, as soon as it is another, or the same again after a second; `None` at the end."""
        while not self.gone:
            self._changed.clear()
            if self._newest is not None and self._newest is not self._sent:
                break
            try:
                await asyncio.wait_for(self._changed.wait(), _AGAIN_S)
            except asyncio.TimeoutError:
                if self._newest is not None:
                    break
        self._sent = self._newest
        return None if self.gone else self._newest


class Hub(Sink):
    """The sink whose pictures the live page shows; `vitals` is what it knows of the run besides.

    `fps` and `width` are the most that a browser gets: pictures a second, and pixels across.
    """

    wants_picture = True

    def __init__(
        self, vitals: Vitals, *, fps: float = 15.0, width: int = 960, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not 0 < fps <= 120:
            raise ConfigError(f"--page-fps {fps:g}: expected pictures a second, above 0, at most 120.")
        if width < 64:
            raise ConfigError(f"--page-width {width}: expected pixels, 64 or more.")
        super().__init__()
        self.vitals = vitals
        self._interval_s = 1 / fps
        self._width = width
        self._clock = clock
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._shown = 0
        self._encoded = _NONE
        self._viewers: set[Viewer] = set()
        self._server: asyncio.AbstractEventLoop | None = None
        self._closed = threading.Event()
        self._encoder = threading.Thread(target=self._encode_for_viewers, name="live page JPEG", daemon=True)
        self._encoder.start()

    # The loop's side: called from its thread.

    def write(self, result: FrameResult) -> None:
        """Show a result; returns at once."""
        assert result.picture_bgr is not None, "the loop paints for sinks that want pictures"
        self.vitals.note(result)
        self._show(result.picture_bgr)

    def waiting(self, picture_bgr: Frame) -> None:
        """Show a picture that says that there is no new one."""
        self.vitals.note_waiting()
        self._show(picture_bgr)

    def close(self) -> None:
        """Let the viewers go and end the encoder's thread."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
        self._encoder.join()
        self._on_server(self._dismiss)

    def _show(self, picture_bgr: Frame) -> None:
        with self._changed:
            self._newest = picture_bgr
            self._shown += 1
            if self._viewers:
                self._changed.notify_all()

    # The browsers' side: called on the server's event loop.

    def serve_on(self, server: asyncio.AbstractEventLoop | None) -> None:
        """Name the event loop of the viewers; `None` when it ends."""
        self._server = server

    def join(self) -> Viewer | None:
        """A place for one more viewer; `None` where all are taken, or the page is closed."""
        if len(self._viewers) >= MAX_VIEWERS or self._closed.is_set():
            return None
        viewer = Viewer()
        with self._changed:
            self._viewers.add(viewer)
            if self._encoded.number == self._shown > 0:
                viewer.offer(self._encoded)
            self._changed.notify_all()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """Give the place back."""
        with self._changed:
            self._viewers.discard(viewer)

    @property
    def viewers(self) -> int:
        """How many watch."""
        return len(self._viewers)

    def snapshot(self) -> bytes | None:
        """The picture shown, as large as it was painted, as a PNG file; `None` before the first. Takes a while."""
        with self._changed:
            picture_bgr = self._newest
        return None if picture_bgr is None else cv2.imencode(".png", picture_bgr)[1].tobytes()

    # In between: the encoder's thread.

    def _encode_for_viewers(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed.is_set() or self._wanted())
                picture_bgr, number = self._newest, self._shown
            if self._closed.is_set():
                return
            began_s = self._clock()
            assert picture_bgr is not None, "a picture that was never shown is not wanted"
            picture = Picture(number, _part(number, self._jpeg(picture_bgr)))
            with self._changed:
                self._encoded = picture
            self._on_server(partial(self._deliver, picture))
            self._closed.wait(self._interval_s - (self._clock() - began_s))

    def _wanted(self) -> bool:
        return bool(self._viewers) and self._encoded.number < self._shown

    def _jpeg(self, picture_bgr: Frame) -> bytes:
        height, width = picture_bgr.shape[:2]
        if width > self._width:
            size_wh = (self._width, max(1, round(height * self._width / width)))
            # Down to a half two neighbours are enough, in a fifth of the time that INTER_AREA takes from 1280 to 960.
            how = cv2.INTER_LINEAR if width <= 2 * self._width else cv2.INTER_AREA
            picture_bgr = cv2.resize(picture_bgr, size_wh, interpolation=how)  # type: ignore[assignment]
        _, encoded = cv2.imencode(".jpg", picture_bgr, (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY))
        return encoded.tobytes()

    def _deliver(self, picture: Picture) -> None:
        for viewer in self._viewers:
            viewer.offer(picture)

    def _dismiss(self) -> None:
        for viewer in self._viewers:
            viewer.dismiss()

    def _on_server(self, call: Callable[[], None]) -> None:
        server = self._server
        if server is not None:
            with suppress(RuntimeError):  # it was closed this very moment
                server.call_soon_threadsafe(call)


def _part(number: int, jpeg: bytes) -> bytes:
    fields = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\nX-Picture: {number}\r\n\r\n"
    return fields.encode() + jpeg + f"\r\n--{BOUNDARY}\r\n".encode()
