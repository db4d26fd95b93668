"""ONNX Runtime: on any CPU, and on whatever its other execution providers drive."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from edgeseg.bundle import Bundle
from edgeseg.errors import BackendUnavailable, InputError, UnavailableError
from edgeseg.lazy import require
from edgeseg.runtime.ort_compiled import open_compiled
from edgeseg.runtime.session import Session, SessionOutput, check_input, check_output, check_sealed
from edgeseg.types import Frame, TensorSpec

CPU = "CPUExecutionProvider"

UNOPTIMISED = frozenset({"int8-trt"})
"""Precisions whose graphs are run as they are written. They are TensorRT's: where INT8 and FP16 meet, ONNX Runtime's
optimiser changes what is computed (measured: 3 to 14 % of the pixels got another class)."""

WORTH_KEEPING = frozenset({"int8-cpu"})
"""Precisions whose optimised graphs open sooner from the cache: fusing Q/DQ pairs takes longer than checking a hash.
Measured, two cores: the default model's INT8 graph 37 instead of 60 ms; its FP32 graph, three times the bytes, 82
instead of 34."""

_DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32", "tensor(float16)": "float16", "tensor(int64)": "int64"}
_ERRORS_ONLY = 3
"""ONNX Runtime's log severity: its warnings are about the graph, and nobody who runs a camera can act on them."""


class OrtSession(Session):
    """A sealed graph in ONNX Runtime.

    `model` is the serialised graph, `name` what messages call it. `providers` are execution providers in order of
    preference; one that is not there, or that ONNX Runtime drops without a word, raises `BackendUnavailable`.
    `optimised=False` runs the graph operator by operator as it is written. `keep` keeps what the optimiser makes of it
    in edgeseg's cache folder for the next session.
    `threads` is the number of threads inside an operator. They wait without spinning: in a camera loop a spinning pool
    takes the cores that decoding and drawing need (measured: two sessions on two cores, 1.7 times slower).
    """

    backend = "onnxruntime"

    def __init__(
        self,
        model: bytes,
        *,
        threads: int | None = None,
        providers: Sequence[str] = (CPU,),
        allow_spinning: bool = False,
        optimised: bool = True,
        keep: bool = False,
        name: str = "the model",
    ) -> None:
        ort = import_onnxruntime()
        require_providers(ort, providers)
        options = partial(session_options, ort, threads=threads, allow_spinning=allow_spinning, optimised=optimised)

        def opened(graph: bytes, settings: Any) -> Any:
            # Left on, its own fallback prints to stdout and tries again on the CPU.
            return ort.InferenceSession(graph, settings, providers=list(providers), enable_fallback=0)

        try:
            session = open_compiled(ort, model, options, opened) if keep and optimised else opened(model, options())
        except Exception as error:  # its exceptions have no common base but this
            raise InputError(f"onnxruntime {ort.__version__} cannot load {name}: {one_line(error)}") from error
        used = session.get_providers()
        if used[: len(providers)] != list(providers):
            raise BackendUnavailable(
                f"onnxruntime fell back from {', '.join(providers)} to {', '.join(used)}: the provider's libraries are "
                "missing or do not match. Ask for CPUExecutionProvider, or see: edgeseg doctor"
            )
        self.inputs, self.outputs, self.confidence = sealed_specs(session, name)
        given = (self.outputs, self.confidence)
        self._names = [spec.name for spec in given if spec is not None]
        self._session: Any = session

    @classmethod
    def from_bundle(cls, bundle: Bundle, *, precision: str, threads: int | None) -> OrtSession:
        """Open the graph of this precision on the CPU, from the very bytes whose hash was checked."""
        return cls(
            bundle.graph_bytes(precision),
            threads=threads,
            optimised=precision not in UNOPTIMISED,
            keep=precision in WORTH_KEEPING,
            name=str(bundle.graph_path(precision)),
        )

    def run_all(self, frame: Frame) -> SessionOutput:
        """uint8 (1, H, W, 3) BGR → uint8 (1, H, W) labels, and confidence where the graph gives it."""
        check_input(frame, self.inputs)
        if self._session is None:
            raise InputError("this onnxruntime session was closed; open a new one.")
        try:
            given = self._session.run(self._names, {self.inputs.name: frame})
        except Exception as error:
            raise InputError(f"onnxruntime failed on a frame of {frame.shape}: {one_line(error)}") from error
        output = SessionOutput(*map(np.asarray, given))
        check_output(output, frame, self.backend)
        return output

    def close(self) -> None:
        """Free the session."""
        self._session = None


def session_options(ort: Any, *, threads: int | None, allow_spinning: bool = False, optimised: bool = True) -> Any:
    """A `SessionOptions` as `OrtSession` takes it."""
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(allow_spinning)))
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if threads is not None:
        options.intra_op_num_threads = threads
    return options


def import_onnxruntime() -> Any:
    """The module; raises `BackendUnavailable` where it is missing or damaged."""
    try:
        ort = require("onnxruntime", extra="cpu")
    except UnavailableError as error:
        raise BackendUnavailable(str(error)) from error
    if not hasattr(ort, "InferenceSession"):
        # Removing one of onnxruntime and onnxruntime-gpu takes files from the other: an empty package remains.
        raise BackendUnavailable("the onnxruntime that is installed here is damaged. See: edgeseg doctor")
    return ort


def require_providers(ort: Any, providers: Sequence[str]) -> None:
    """Raise `BackendUnavailable` naming the execution providers that this onnxruntime was built without."""
    here = ort.get_available_providers()
    missing = [provider for provider in providers if provider not in here]
    if missing:
        raise BackendUnavailable(f"this onnxruntime has no {', '.join(missing)}; it has: {', '.join(here)}.")


def sealed_specs(session: Any, name: str) -> tuple[TensorSpec, TensorSpec, TensorSpec | None]:
    """The graph's frame, labels and, if it gives it, confidence; raises `InputError` if it is not a sealed one."""
    return check_sealed(
        [_spec(node) for node in session.get_inputs()], [_spec(node) for node in session.get_outputs()], name
    )


def _spec(node: Any) -> TensorSpec:
    """A named or unknown dimension becomes `None`."""
    shape = tuple(size if isinstance(size, int) else None for size in node.shape)
    return TensorSpec(node.name, _DTYPES.get(node.type, node.type), shape)


def one_line(error: Exception) -> str:
    """The message of somebody else's exception, without its line breaks."""
    return " ".join(str(error).split())
