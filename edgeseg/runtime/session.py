"""The seam between edgeseg and a runtime: a session takes a frame, and gives labels and maybe how sure of them it is.

One file, one line a runtime.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, TypeVar, cast

import numpy as np

from edgeseg.bundle import Bundle
from edgeseg.errors import BackendUnavailable, ConfigError, InputError
from edgeseg.types import CONFIDENCE, Confidence, Frame, Labels, TensorSpec, graph_precision

SESSIONS = {
    "tensorrt": "edgeseg.engine.session:TensorRTSession",
    "onnxruntime": "edgeseg.runtime.ort:OrtSession",
    "onnxruntime-cuda": "edgeseg.runtime.ort_gpu:OrtCudaSession",
    "onnxruntime-tensorrt": "edgeseg.runtime.ort_gpu:OrtTensorrtSession",
    "openvino": "edgeseg.runtime.openvino:OpenVinoSession",
    "torch": "edgeseg.runtime.torch_session:TorchSession",
    "fake": "edgeseg.runtime.fake:FakeSession",
}
"""Backend name → module:class. The module is imported when the backend is asked for."""

_Self = TypeVar("_Self", bound="Session")


class SessionOutput(NamedTuple):
    """What a model says of a frame."""

    labels: Labels
    """uint8 (1, H, W)."""
    confidence: Confidence | None = None
    """uint8 (1, H, W), 255 times the probability of each label; `None` where the model gives none."""


class Session(Protocol):
    """A model ready to run: uint8 (1, H, W, 3) BGR → uint8 (1, H, W). A context manager; holds memory until closed.

    A runtime's class derives from it and writes `run_all` and `close`.
    """

    backend: str
    """Its name in `SESSIONS`."""
    inputs: TensorSpec
    """The frame it takes; a size of `None` is any."""
    outputs: TensorSpec
    """The labels it gives."""
    confidence: TensorSpec | None = None
    """The confidence that it gives with them; `None`: none."""

    def run_all(self, frame: Frame) -> SessionOutput:
        """uint8 (1, H, W, 3) BGR → all that it gives; raises `InputError` for a frame that does not fit `inputs`."""
        ...

    def run(self, frame: Frame) -> Labels:
        """uint8 (1, H, W, 3) BGR → the labels alone, uint8 (1, H, W)."""
        return self.run_all(frame).labels

    def close(self) -> None:
        """Let go of the model. Closing twice is harmless; running afterwards is an error."""
        ...

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SessionType(Protocol):
    """What `SESSIONS` names: a class of sessions that can be opened from a bundle."""

    def from_bundle(self, bundle: Bundle, *, precision: str, threads: int | None) -> Session:
        """Open the graph of this precision; `threads=None` leaves the number to the runtime."""
        ...


def check_threads(threads: int | None) -> None:
    """Raise `ConfigError` for a number of threads that no runtime can take."""
    if threads is not None and threads < 1:
        raise ConfigError(f"threads={threads}: expected 1 or more, or nothing for the runtime's own choice.")


def open_session(name: str, bundle: Bundle, *, precision: str = "fp32", threads: int | None = None) -> Session:
    """Open a bundle's graph in the backend called `name`; the precision `int8` is the graph for that backend.

    Raises `ConfigError` for a backend that does not exist or cannot run bundles, `BackendUnavailable` for one that is
    not installed here, `BundleError` for a precision that the bundle does not have.
    """
    if name not in SESSIONS:
        raise ConfigError(f"there is no backend {name!r}; known: {', '.join(SESSIONS)}.")
    check_threads(threads)
    module, _, attribute = SESSIONS[name].partition(":")
    try:
        session_type = cast(SessionType, getattr(importlib.import_module(module), attribute))
    except ImportError as error:
        raise BackendUnavailable(f"the backend {name} cannot be loaded here ({error}). Try: edgeseg doctor") from error
    return session_type.from_bundle(bundle, precision=graph_precision(precision, name), threads=threads)


def check_sealed(
    inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], name: str
) -> tuple[TensorSpec, TensorSpec, TensorSpec | None]:
    """A graph's frame, labels and, if it gives it, confidence; raises `InputError` if it is not a sealed one."""
    sealed = (
        len(inputs) == 1
        and len(outputs) > 0
        and [output.name for output in outputs[1:]] in ([], [CONFIDENCE])
        and (inputs[0].dtype, len(inputs[0].shape)) == ("uint8", 4)
        and all((output.dtype, len(output.shape)) == ("uint8", 3) for output in outputs)
    )
    if not sealed:
        found = "; ".join(map(str, [*inputs, *outputs]))
        raise InputError(
            f"{name} is not a sealed graph: expected uint8 (1, H, W, 3) in and uint8 (1, H, W) out, and maybe "
            f"{CONFIDENCE} of the same shape, found {found}."
        )
    return inputs[0], outputs[0], outputs[1] if len(outputs) > 1 else None


def check_input(frame: Frame, spec: TensorSpec) -> None:
    """Raise `InputError` unless `frame` has the dtype and shape of `spec`."""
    fits = len(frame.shape) == len(spec.shape) and all(
        expected in (None, size) for size, expected in zip(frame.shape, spec.shape, strict=True)
    )
    if not fits or frame.dtype != np.dtype(spec.dtype):
        raise InputError(f"the session got {frame.dtype} {frame.shape}, expected {spec}.")


def check_output(output: SessionOutput, frame: Frame, backend: str) -> None:
    """Raise `InputError` if what the model gave is not uint8 (1, H, W) for a frame (1, H, W, 3)."""
    for given in output:
        if given is not None and (given.dtype != np.uint8 or given.shape != frame.shape[:3]):
            raise InputError(
                f"{backend} gave {given.dtype} {given.shape} for a frame {frame.shape}; "
                f"expected uint8 {frame.shape[:3]}."
            )
