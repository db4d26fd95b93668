"""`Segmenter`: camera frames in, segmentations out, whatever runtime is underneath."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.bundle import Bundle
from edgeseg.errors import ConfigError, InputError
from edgeseg.labels import LabelMap
from edgeseg.runtime.chain import Fallback, Trial, degraded_note, open_backend
from edgeseg.runtime.session import Session
from edgeseg.types import INVALID, Frame, Segmentation, TensorSpec

Clock = Callable[[], float]
"""Seconds from some fixed moment, as `time.perf_counter`."""


class Segmenter:
    """BGR uint8 frame (H, W, 3) → `Segmentation`: labels uint8 (H, W) at the frame's own size, maybe with confidence.

        with Segmenter(Bundle.open("road.edgeseg")) as segmenter:
            labels = segmenter(frame_bgr).labels

    `precision="int8"` is the INT8 graph for this backend; `precision` of the segmenter is then the graph's own name.
    `backend="auto"` takes the fastest runtime that is here and right (`edgeseg.runtime.chain`); `backend` is then the
    one in use, and `fallbacks` says why it is no faster one. Any other is opened as named, or refused.
    A bundle that was exported for one camera size takes frames of others too: they are resized on the host, which costs
    time and some accuracy, and `host_resize` says so.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        precision: str = "fp32",
        backend: str = "onnxruntime",
        threads: int | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        opened = open_backend(backend, bundle, precision=precision, threads=threads)
        self._start(opened.session, bundle.label_map, opened.precision, clock, backend, opened.fallbacks, opened.trials)

    @classmethod
    def from_session(
        cls, session: Session, label_map: LabelMap, *, precision: str = "fp32", clock: Clock = time.perf_counter
    ) -> Segmenter:
        """A segmenter on a session of your own; it is closed with the segmenter."""
        segmenter = cls.__new__(cls)
        segmenter._start(session, label_map, precision, clock, session.backend, ())
        return segmenter

    def _start(
        self,
        session: Session,
        label_map: LabelMap,
        precision: str,
        clock: Clock,
        asked: str,
        fallbacks: tuple[Fallback, ...],
        trials: tuple[Trial, ...] = (),
    ) -> None:
        self._session = session
        self._clock = clock
        self.label_map = label_map
        self.precision = precision
        self.asked_backend = asked
        """The runtime that was asked for, maybe "auto"."""
        self.fallbacks = fallbacks
        """Runtimes that "auto" passed over, and why."""
        self.trials = trials
        """Where "auto" had several to choose from: how fast each was, the one in use first."""
        self.host_resize = False
        """Whether a frame had another size than the graph takes and was resized outside it."""

    @property
    def input_spec(self) -> TensorSpec:
        """The frame that the session takes; a height and width of `None` are any."""
        return self._session.inputs

    @property
    def gives_confidence(self) -> bool:
        """Whether segmentations say how sure they are: for a bundle, whether it was exported with --confidence."""
        return self._session.confidence is not None

    def require_confidence(self) -> None:
        """Raise `ConfigError` where segmentations do not say how sure they are, with what to do."""
        if not self.gives_confidence:
            raise ConfigError("this bundle gives no confidence. Export it with --confidence, or name the checkpoint.")

    @property
    def backend(self) -> str:
        """Name of the runtime in use: onnxruntime, tensorrt, torch, fake."""
        return self._session.backend

    @property
    def degraded(self) -> str | None:
        """One line for a person where "auto" had to pass over a faster runtime; else `None`."""
        return degraded_note(self.backend, self.fallbacks)

    def runtime_dict(self) -> dict[str, Any]:
        """What runs, as plain data for reports."""
        return {
            "backend": self.backend,
            "asked_backend": self.asked_backend,
            "fallbacks": [fallback.to_dict() for fallback in self.fallbacks],
            "trials": [trial.to_dict() for trial in self.trials],
        }

    def __call__(self, frame_bgr: Frame) -> Segmentation:
        """Segment one frame; raises `InputError` for anything but a colour picture of 8 bits, saying how to get one.

        A frame for which the model computed a NaN or an infinity comes back with `valid=False` and no class anywhere.
        """
        problem = _frame_problem(frame_bgr)
        if problem:
            raise InputError(f"{problem}; expected a BGR frame, uint8 (H, W, 3).")
        height, width = frame_bgr.shape[:2]
        _, graph_height, graph_width, _ = self._session.inputs.shape
        model_hw = (graph_height or height, graph_width or width)
        fits = model_hw == (height, width)
        frame = frame_bgr if fits else cv2.resize(frame_bgr, model_hw[::-1], interpolation=cv2.INTER_LINEAR)
        self.host_resize = self.host_resize or not fits
        batch = np.ascontiguousarray(frame, np.uint8)[np.newaxis]
        started = self._clock()
        given = self._session.run_all(batch)
        latency_ms = 1000 * (self._clock() - started)
        labels = _resized(given.labels[0], (height, width))
        confidence = None if given.confidence is None else _resized(given.confidence[0], (height, width))
        # The graph marks all pixels or none (ADR 26), so one tells.
        return Segmentation(labels, latency_ms, valid=bool(labels[0, 0] != INVALID), confidence=confidence)

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def __enter__(self) -> Segmenter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _resized(plane: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """uint8 (h, w) → (H, W), each pixel that of the nearest."""
    if plane.shape == size_hw:
        return plane
    # The exact variant has half-pixel centres, as the frame's resize; plain INTER_NEAREST shifts the picture.
    return np.asarray(cv2.resize(plane, size_hw[::-1], interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def _frame_problem(frame: Any) -> str | None:
    """What is wrong with a frame and how to mend it; `None` if it is one."""
    if frame is None:
        return "the frame is None, so cv2.imread or read() found nothing: check the path or the camera"
    if not isinstance(frame, np.ndarray):
        return f"the frame is a {type(frame).__name__}, not a numpy array: try np.asarray(frame)"
    if frame.size == 0:
        return f"the frame {frame.shape} has no pixels"
    if frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] == 1):
        return f"the frame {frame.shape} is grey: convert it with cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)"
    if frame.ndim == 3 and frame.shape[2] == 4:
        return f"the frame {frame.shape} has an alpha channel: convert it with cv2.cvtColor(frame, cv2.COLOR_BGRA2BGR)"
    if frame.ndim != 3 or frame.shape[2] != 3:
        return f"the frame has shape {frame.shape}: one picture at a time, channels last"
    if frame.dtype != np.uint8:
        return f"the frame is {frame.dtype}: scale it to 0..255 and convert it with .astype(np.uint8)"
    return None
