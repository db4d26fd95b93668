"""ONNX Runtime on an NVIDIA GPU: frame and outputs bound to device memory once, and nothing left to the CPU in silence.

Four things keep a run on the GPU, or end it with a reason. The provider must be there after the session was made. No
node may be placed on the CPU (`session.disable_cpu_ep_fallback`), which for a graph that takes any camera size means
that its sizes are fixed before the graph is divided, so that nothing is left to compute of shapes. The package's own
retry on the CPU is off. And one frame is run at birth, because missing kernels ("no kernel image is available") and a
missing cuDNN show only then.

The binding is tested with ONNX Runtime's CPU provider and the rest against a fake module; neither provider has been run
on a GPU by the project so far.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeseg.bundle import Bundle
from edgeseg.errors import BackendUnavailable, InputError
from edgeseg.runtime.ort import CPU, UNOPTIMISED, import_onnxruntime, one_line, require_providers, sealed_specs
from edgeseg.runtime.ort_cache import EngineCache
from edgeseg.runtime.session import Session, SessionOutput, check_input, check_output
from edgeseg.types import Frame, TensorSpec

CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

CUDA_OPTIONS = {"device_id": "0", "use_tf32": "0"}
"""TF32 keeps 10 bits of a float32 for speed. Which precision is meant is said by the graph, so FP32 stays FP32."""

TENSORRT_OPTIONS = {"device_id": "0", "trt_builder_optimization_level": "3"}
"""3 is TensorRT's own default. `trt_fp16_enable` and `trt_int8_enable` are left off: precision is in the graph."""

INSTALL = (
    "Install it with: pip uninstall onnxruntime, then pip install 'edgeseg[gpu]'; on a Jetson see docs/jetson.md. "
    "Or use --backend onnxruntime"
)

_OPEN_SIZES = ("height", "width")
"""Names of the open sizes in a graph that takes any camera size, see `edgeseg.graph.export`."""

_FATAL, _WARNING = 4, 2
"""ONNX Runtime's log severities: what goes wrong comes as an exception too, and one line is enough."""

Hw = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a graph is to run."""

    providers: tuple[tuple[str, Mapping[str, str]], ...]
    """Execution providers with their options, in order of preference."""
    device: str = "cuda"
    """Kind of memory that frame and outputs lie in; "cpu" is for tests of the binding."""
    index: int = 0

    @property
    def names(self) -> list[str]:
        """The providers' names."""
        return [name for name, _ in self.providers]


class BoundSession(Session):
    """A sealed graph in ONNX Runtime whose input and outputs are memory of the device, allocated once for a size.

    `size_hw` is the frame's height and width in pixels at birth. A graph for one camera size is `fixed`; any other is
    opened again when a frame of another size comes, which takes as long as opening it; `opened` is called each time
    that it is open and has run. Raises `BackendUnavailable` where the graph does not run on `target` alone.
    """

    backend = "onnxruntime-cuda"

    def __init__(
        self,
        model: bytes,
        target: Target,
        *,
        size_hw: Hw,
        fixed: bool,
        threads: int | None = None,
        optimised: bool = True,
        opened: Callable[[], None] = lambda: None,
        name: str = "the model",
    ) -> None:
        self._model = model
        self._opened = opened
        self._target = target
        self._threads = threads
        self._optimised = optimised
        self._name = name
        height, width = size_hw if fixed else (None, None)
        self._bound: _Bound | None = self._bind(size_hw)
        self.inputs = TensorSpec(self._bound.inputs.name, "uint8", (1, height, width, 3))
        self.outputs, *others = (TensorSpec(spec.name, "uint8", (1, height, width)) for spec in self._bound.outputs)
        self.confidence = others[0] if others else None
        self.placement = self._bound.placement
        """Provider → number of the graph's nodes that it runs; empty where this ONNX Runtime does not tell."""

    def run_all(self, frame: Frame) -> SessionOutput:
        """uint8 (1, H, W, 3) BGR → uint8 (1, H, W) labels, and confidence where the graph gives it."""
        check_input(frame, self.inputs)
        if self._bound is None:
            raise InputError(f"this {self.backend} session was closed; open a new one.")
        _, height, width, _ = frame.shape
        if (height, width) != self._bound.size_hw:
            self._bound = self._bind((height, width))
        try:
            output = self._bound.run(frame)
        except Exception as error:  # its exceptions have no common base but this
            raise InputError(f"{self.backend} failed on a frame of {frame.shape}: {one_line(error)}") from error
        check_output(output, frame, self.backend)
        return output

    def close(self) -> None:
        """Free session and buffers."""
        self._bound = None

    def _bind(self, size_hw: Hw) -> _Bound:
        # The old one is freed first: two at once may not fit a small device.
        self._bound = None
        ort = import_onnxruntime()
        require_installed(ort, self._target.names)
        try:
            with _quiet(ort):
                bound = _Bound(ort, self._model, self._target, size_hw, self._threads, self._optimised, self._name)
                bound.run(np.zeros((1, *size_hw, 3), np.uint8))
        except (BackendUnavailable, InputError):
            raise
        except Exception as error:  # its exceptions have no common base but this
            raise BackendUnavailable(
                f"onnxruntime {ort.__version__} does not run {self._name} on {self._target.names[0]} alone: "
                f"{one_line(error)} Driver, CUDA and cuDNN must fit it, see: edgeseg doctor"
            ) from error
        self._opened()
        return bound


class OrtCudaSession(BoundSession):
    """A bundle's graph through ONNX Runtime's CUDA provider."""

    backend = "onnxruntime-cuda"

    @classmethod
    def from_bundle(cls, bundle: Bundle, *, precision: str, threads: int | None) -> OrtCudaSession:
        """Open the graph of this precision on the first GPU, from the very bytes whose hash was checked."""
        return cls(
            bundle.graph_bytes(precision),
            Target(((CUDA, CUDA_OPTIONS),)),
            size_hw=bundle.contract.camera_hw or bundle.contract.network_hw,
            fixed=bundle.contract.camera_hw is not None,
            threads=threads,
            optimised=precision not in UNOPTIMISED,
            name=str(bundle.graph_path(precision)),
        )


class OrtTensorrtSession(BoundSession):
    """A bundle's graph through ONNX Runtime's TensorRT provider, with the CUDA provider for what TensorRT leaves.

    Engines are kept in edgeseg's cache and used again only if they are, byte for byte, those that were kept.
    """

    backend = "onnxruntime-tensorrt"

    @classmethod
    def from_bundle(cls, bundle: Bundle, *, precision: str, threads: int | None) -> OrtTensorrtSession:
        """Open the graph of this precision on the first GPU; the first time, TensorRT takes minutes."""
        ort = import_onnxruntime()
        require_installed(ort, [TENSORRT, CUDA])
        graph = bundle.graph_bytes(precision)
        cache = EngineCache.of(graph, ort.__version__)
        cache.drop_unknown()
        session = cls(
            graph,
            Target(((TENSORRT, {**TENSORRT_OPTIONS, **cache.options()}), (CUDA, CUDA_OPTIONS))),
            size_hw=bundle.contract.camera_hw or bundle.contract.network_hw,
            fixed=bundle.contract.camera_hw is not None,
            threads=threads,
            optimised=precision not in UNOPTIMISED,
            opened=cache.keep,
            name=str(bundle.graph_path(precision)),
        )
        if session.placement and TENSORRT not in session.placement:
            raise BackendUnavailable(
                f"TensorRT takes no node of {bundle.graph_path(precision)}: all would run in ONNX Runtime's CUDA "
                "provider. Ask for that one: --backend onnxruntime-cuda"
            )
        return session


class _Bound:
    """A graph at one frame size, with its buffers."""

    def __init__(
        self, ort: Any, model: bytes, target: Target, size_hw: Hw, threads: int | None, optimised: bool, name: str
    ) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = _FATAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        if CPU not in target.names:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        for axis, size in zip(_OPEN_SIZES, size_hw, strict=True):
            options.add_free_dimension_override_by_name(axis, size)
        if not optimised:
            # Not none at all: fixing sizes is one of the basic rewrites.
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        if threads is not None:
            options.intra_op_num_threads = threads
        providers = [(provider, dict(settings)) for provider, settings in target.providers]
        session = ort.InferenceSession(model, options, providers=providers, enable_fallback=0)
        used = session.get_providers()
        if used[: len(providers)] != target.names:
            raise BackendUnavailable(
                f"onnxruntime fell back from {', '.join(target.names)} to {', '.join(used)}: the provider's libraries "
                "are missing or do not match. See: edgeseg doctor"
            )
        self.inputs, *outputs = sealed_specs(session, name)
        self.outputs = [spec for spec in outputs if spec is not None]
        self.placement = _placement(session)
        self.size_hw = size_hw
        make = ort.OrtValue.ortvalue_from_shape_and_type
        self._frame = make([1, *size_hw, 3], np.uint8, target.device, target.index)
        self._given = [make([1, *size_hw], np.uint8, target.device, target.index) for _ in self.outputs]
        self._binding = session.io_binding()
        self._binding.bind_ortvalue_input(self.inputs.name, self._frame)
        for spec, memory in zip(self.outputs, self._given, strict=True):
            self._binding.bind_ortvalue_output(spec.name, memory)
        self._session = session

    def run(self, frame: Frame) -> SessionOutput:
        """Copy in, run, copy out."""
        self._frame.update_inplace(np.ascontiguousarray(frame))
        self._session.run_with_iobinding(self._binding)
        # A copy: of CPU memory, `numpy` gives a view that the next frame would overwrite.
        return SessionOutput(*(np.array(memory.numpy()) for memory in self._given))


def require_installed(ort: Any, providers: list[str]) -> None:
    """Raise `BackendUnavailable` with the install line where this onnxruntime was built without a provider."""
    try:
        require_providers(ort, providers)
    except BackendUnavailable as error:
        raise BackendUnavailable(f"{error} {INSTALL}") from None


def _placement(session: Any) -> dict[str, int]:
    tell = getattr(session, "get_provider_graph_assignment_info", None)  # ONNX Runtime 1.24 and later
    nodes: dict[str, int] = {}
    for part in tell() if tell is not None else ():
        nodes[part.ep_name] = nodes.get(part.ep_name, 0) + len(part.get_nodes())
    return nodes


@contextmanager
def _quiet(ort: Any) -> Iterator[None]:
    """Load CUDA and cuDNN from pip's packages where they come from there, and keep what is logged off the screen."""
    with redirect_stdout(io.StringIO()):
        if hasattr(ort, "preload_dlls"):  # ONNX Runtime 1.21 and later; without a GPU build it does nothing
            ort.preload_dlls(directory="")
    ort.set_default_logger_severity(_FATAL)
    try:
        yield
    finally:
        ort.set_default_logger_severity(_WARNING)
