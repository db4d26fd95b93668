"""The overlay as two threads use it: pictures of new frames, and pictures that say that there are none."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edgeseg.types import Frame, Labels
from edgeseg.video.controls import Controls
from edgeseg.video.pipeline.work import FramePainter, Wishes
from edgeseg.video.results import FrameResult


class Painter:
    """Paints as the controls say, one picture at a time: an overlay keeps memory between pictures.

    `inset` makes a small picture, BGR uint8 (h, w, 3), of a valid frame's labels.
    """

    def __init__(
        self, overlay: FramePainter, controls: Controls, inset: Callable[[Labels], Frame] | None = None
    ) -> None:
        self._overlay = overlay
        self._inset = inset
        self._controls = controls
        self._followed = self.wishes
        self._lock = threading.Lock()  # held for a picture, never while time is waited for

    @property
    def wishes(self) -> Wishes:
        """What the controls say of the picture."""
        return self._controls.mode, self._controls.classes

    def paint(self, result: FrameResult) -> tuple[Wishes, Frame]:
        """What the controls say, and the picture of a frame drawn so."""
        with self._lock:
            wishes = self.wishes
            if wishes != self._followed:
                self._overlay.mode, classes = wishes
                self._overlay.set_classes(classes)
                self._followed = wishes
            found = result.segmentation
            picture = self._overlay.paint(
                result.record.frame_bgr,
                found.labels,
                result.status,
                valid=found.valid,
                scene=result.scene,
                health=result.health,
                pulse=result.pulse,
                inset_bgr=self._inset(found.labels) if self._inset is not None and found.valid else None,
            )
        return wishes, picture

    def waiting(self, picture_bgr: Frame | None, text: str) -> Frame:
        """A picture that says why there is no new one."""
        with self._lock:
            return self._overlay.waiting(picture_bgr, text)
