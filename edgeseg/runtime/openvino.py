"""OpenVINO, on processors of x86 and ARM. Compiled graphs are kept, because compiling takes seconds."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

from edgeseg.bundle import Bundle
from edgeseg.errors import BackendUnavailable, InputError, OutputError, UnavailableError
from edgeseg.lazy import require
from edgeseg.runtime.compiled import CompiledGraph
from edgeseg.runtime.session import Session, SessionOutput, check_input, check_output, check_sealed, check_threads
from edgeseg.types import Frame, TensorSpec

DEVICE = "CPU"


class OpenVinoSession(Session):
    """A sealed graph in OpenVINO, on the CPU.

    `model` is the serialised graph, `name` what messages call it. Left alone, OpenVINO computes FP32 graphs in bfloat16
    where the processor can; here they are computed in float32, because precision is said by the graph. `half` lets it
    compute in float16 where the processor does that faster. `threads` is the number of threads for a frame. `keep`
    keeps the compiled graph in edgeseg's cache, and takes it from there.
    """

    backend = "openvino"

    def __init__(
        self,
        model: bytes,
        *,
        threads: int | None = None,
        half: bool = False,
        keep: bool = False,
        name: str = "the model",
    ) -> None:
        check_threads(threads)
        openvino = import_openvino()
        core = openvino.Core()
        options = _options(core, threads, half)
        version = openvino.get_version()
        try:
            compiled = _from_cache(core, model, options, version) if keep else _compile(core, model, options)
        except Exception as error:  # its exceptions have no common base but this
            raise InputError(f"openvino {version} cannot load {name}: {reason(error)}") from error
        self.inputs, self.outputs, self.confidence = check_sealed(
            [_spec(port) for port in compiled.inputs], [_spec(port) for port in compiled.outputs], name
        )
        self._given = len(compiled.outputs)
        self._request: Any = compiled.create_infer_request()

    @classmethod
    def from_bundle(cls, bundle: Bundle, *, precision: str, threads: int | None) -> OpenVinoSession:
        """Open the graph of this precision, from the very bytes whose hash was checked."""
        return cls(
            bundle.graph_bytes(precision),
            threads=threads,
            half=precision == "fp16",
            keep=True,
            name=str(bundle.graph_path(precision)),
        )

    def run_all(self, frame: Frame) -> SessionOutput:
        """uint8 (1, H, W, 3) BGR → uint8 (1, H, W) labels, and confidence where the graph gives it."""
        check_input(frame, self.inputs)
        if self._request is None:
            raise InputError("this openvino session was closed; open a new one.")
        try:
            # Shared: the frame is read where it lies. What comes out is a copy, which the next frame does not touch.
            given = self._request.infer({0: frame}, share_inputs=True, share_outputs=False)
        except Exception as error:
            raise InputError(f"openvino failed on a frame of {frame.shape}: {reason(error)}") from error
        output = SessionOutput(*(np.asarray(given[index]) for index in range(self._given)))
        check_output(output, frame, self.backend)
        return output

    def close(self) -> None:
        """Free the compiled graph."""
        self._request = None


def import_openvino() -> Any:
    """The module; raises `BackendUnavailable` where it is missing or damaged."""
    try:
        openvino = require("openvino", extra="openvino")
    except UnavailableError as error:
        raise BackendUnavailable(str(error)) from error
    if not hasattr(openvino, "Core"):
        # 2023 and older have it in openvino.runtime; an uninstall may leave an empty folder behind.
        raise BackendUnavailable("this openvino is damaged or older than 2024. pip install 'edgeseg[openvino]'")
    return openvino


def _options(core: Any, threads: int | None, half: bool) -> dict[str, str]:
    can_half = "FP16" in core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f16" if half and can_half else "f32"}
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = str(threads)
    return options


def _compile(core: Any, model: bytes, options: dict[str, str]) -> Any:
    return core.compile_model(core.read_model(model), DEVICE, options)


def _from_cache(core: Any, model: bytes, options: dict[str, str], version: str) -> Any:
    processor = core.get_property(DEVICE, "FULL_DEVICE_NAME"), *core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
    kept = CompiledGraph.of("openvino", model, [version, *processor, *sorted(options.items())])
    data = kept.read()
    if data is not None:
        with suppress(RuntimeError):  # another build of the same version: it is compiled again, and replaced
            return core.import_model(data, DEVICE, options)
    compiled = _compile(core, model, options)
    with suppress(OutputError):  # a full disk or a home that is read-only costs time at the next start, nothing else
        kept.write(compiled.export_model().getvalue())
    return compiled


def _spec(port: Any) -> TensorSpec:
    shape = tuple(size.get_length() if size.is_static else None for size in port.get_partial_shape())
    return TensorSpec(port.get_any_name(), np.dtype(port.get_element_type().to_dtype()).name, shape)


def reason(error: Exception) -> str:
    """OpenVINO's message in one line, without the places in its source code that come first."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith("Exception from ")]
    return " ".join(told or [type(error).__name__])
