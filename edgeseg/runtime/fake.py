"""A session without a model, for tests: labels that follow from the frame, in the time that the test says."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from edgeseg.bundle import Bundle
from edgeseg.errors import InputError
from edgeseg.runtime.session import Session, SessionOutput, check_input, check_output
from edgeseg.types import CONFIDENCE, Confidence, Frame, Labels, TensorSpec


class FakeSession(Session):
    """Gives `labels`: an array uint8 (H, W) for every frame, or what a function makes of each frame (H, W, 3).

    `confidence` is likewise an array or a function; without it the session gives none. `camera_hw` fixes the frame's
    size as a static graph does. `delay_s` is slept before each answer, through `sleep`.
    """

    backend = "fake"

    def __init__(
        self,
        labels: Labels | Callable[[Frame], Labels],
        *,
        confidence: Confidence | Callable[[Frame], Confidence] | None = None,
        camera_hw: tuple[int, int] | None = None,
        delay_s: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        height, width = camera_hw or (None, None)
        self.inputs = TensorSpec("frame", "uint8", (1, height, width, 3))
        self.outputs = TensorSpec("labels", "uint8", (1, height, width))
        if confidence is not None:
            self.confidence = TensorSpec(CONFIDENCE, "uint8", (1, height, width))
        self._given = [labels] if confidence is None else [labels, confidence]
        self._delay_s = delay_s
        self._sleep = sleep
        self._closed = False

    @classmethod
    def from_bundle(cls, bundle: Bundle, *, precision: str, threads: int | None) -> FakeSession:
        """Classes by brightness, all certain, with the bundle's contract; precision and threads change nothing."""
        del precision, threads
        contract = bundle.contract
        return cls(
            by_brightness(len(bundle.label_map)),
            confidence=None if contract.confidence is None else certain,
            camera_hw=contract.camera_hw,
        )

    def run_all(self, frame: Frame) -> SessionOutput:
        """uint8 (1, H, W, 3) BGR → uint8 (1, H, W) labels, and confidence where it was given one."""
        check_input(frame, self.inputs)
        if self._closed:
            raise InputError("this fake session was closed; open a new one.")
        if self._delay_s > 0:
            self._sleep(self._delay_s)
        answers = (given(frame[0]) if callable(given) else given for given in self._given)
        output = SessionOutput(*(answer[np.newaxis] for answer in answers))
        check_output(output, frame, self.backend)
        return output

    def close(self) -> None:
        """Refuse further frames, as a real session does."""
        self._closed = True


def certain(frame_bgr: Frame) -> Confidence:
    """255 for each pixel of the frame."""
    return np.full(frame_bgr.shape[:2], 255, np.uint8)


def by_brightness(num_classes: int) -> Callable[[Frame], Labels]:
    """A function that gives each pixel a class by its brightest channel: black is class 0, white the last."""

    def labels(frame_bgr: Frame) -> Labels:
        brightest = frame_bgr.max(axis=2).astype(np.uint16)
        return np.asarray(brightest * num_classes // 256, np.uint8)

    return labels
