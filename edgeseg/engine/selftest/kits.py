"""How a self-test opens a graph: as a TensorRT engine, or in ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from edgeseg.bundle import Bundle, Contract
from edgeseg.engine.builder import build
from edgeseg.engine.cuda import Cuda
from edgeseg.engine.driver import Gpu, import_tensorrt, require_gpu
from edgeseg.engine.recipe import EngineRecipe
from edgeseg.engine.session import TensorRTSession
from edgeseg.engine.store import ensure_engine
from edgeseg.graph.contract import OPSET
from edgeseg.runtime.ort import UNOPTIMISED, OrtSession, import_onnxruntime
from edgeseg.runtime.session import Session
from edgeseg.types import precisions_for

Hw = tuple[int, int]
Figures = Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class Opened:
    """A session, and what was found out while it was opened."""

    session: Session
    figures: Figures


class Kit(Protocol):
    """One runtime. Sessions are the caller's to close."""

    backend: str

    def describe(self) -> dict[str, Any]:
        """Versions, device, and what a latency includes."""
        ...

    def open_bundle(self, bundle: Bundle, precision: str, tell: Callable[[str], None]) -> Opened:
        """The bundle's graph of this precision."""
        ...

    def open_graph(self, graph: bytes, precision: str, frame_hw: Hw) -> Session:
        """A sealed graph for frames of one size."""
        ...


class CpuKit:
    """ONNX Runtime on the CPU: the reference, and what is tested where no GPU is asked for."""

    backend = OrtSession.backend

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads

    def describe(self) -> dict[str, Any]:
        """As in `Kit`."""
        return {
            "backend": self.backend,
            "onnxruntime": import_onnxruntime().__version__,
            "threads": self._threads,
            "latency_includes": "the graph; there is no transfer",
        }

    def open_bundle(self, bundle: Bundle, precision: str, tell: Callable[[str], None]) -> Opened:
        """As in `Kit`; nothing is built."""
        del tell
        graph = bundle.graph_bytes(precision)
        return Opened(self._open(graph, precision), {"graph_bytes": len(graph)})

    def open_graph(self, graph: bytes, precision: str, frame_hw: Hw) -> Session:
        """As in `Kit`."""
        del frame_hw
        return self._open(graph, precision)

    def _open(self, graph: bytes, precision: str) -> Session:
        return OrtSession(graph, threads=self._threads, optimised=precision not in UNOPTIMISED)


class GpuKit:
    """TensorRT on one GPU. Engines of the bundle are kept where `edgeseg engine build` keeps them; others are not.

    Not run on hardware so far: held by tests to the names of real TensorRT releases and to a stand-in for CUDA.
    """

    backend = TensorRTSession.backend

    def __init__(self, gpu: Gpu, trt: Any, cuda: Cuda) -> None:
        self._gpu = gpu
        self._trt = trt
        self._cuda = cuda

    @classmethod
    def here(cls, index: int = 0) -> GpuKit:
        """On this machine; raises `BackendUnavailable` in one line where the driver, TensorRT or cuda-python is not."""
        gpu = require_gpu(index)
        return cls(gpu, import_tensorrt(), Cuda(gpu.index))

    def describe(self) -> dict[str, Any]:
        """As in `Kit`."""
        return {
            "backend": self.backend,
            "tensorrt": str(self._trt.__version__),
            "gpu": self._gpu.name,
            "compute_capability": "{}.{}".format(*self._gpu.compute_capability),
            "multiprocessors": self._gpu.multiprocessors,
            "driver_cuda": self._gpu.driver_version,
            "latency_includes": "frame to the GPU, engine, labels back, and the wait for them; transfers are in",
        }

    def open_bundle(self, bundle: Bundle, precision: str, tell: Callable[[str], None]) -> Opened:
        """As in `Kit`; built if none is there that fits."""
        stored = ensure_engine(bundle, precision, gpu=self._gpu, trt=self._trt, tell=tell)
        sidecar = stored.sidecar
        session = TensorRTSession.from_engine(stored, gpu=self._gpu, trt=self._trt, cuda=self._cuda)
        figures: dict[str, str | int | float | bool | None] = {
            "build_s": round(sidecar.seconds, 1),
            "plan_bytes": len(stored.plan),
            "on_dla_refused": len(sidecar.fallback),
            "warnings": len(sidecar.warnings),
            "transfer": session.transfer,
        }
        return Opened(session, figures)

    def open_graph(self, graph: bytes, precision: str, frame_hw: Hw) -> Session:
        """As in `Kit`; built each time."""
        contract = Contract.of(frame_hw, frame_hw, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        recipe = EngineRecipe(precision=precision)
        built = build(graph, recipe, trt=self._trt, gpu=self._gpu, contract=contract, opset=OPSET)
        return TensorRTSession(built.plan_bytes, gpu=self._gpu, trt=self._trt, cuda=self._cuda)


def bundle_precisions(kit: Kit, bundle: Bundle) -> tuple[str, ...]:
    """The bundle's graphs that are for this runtime: INT8 in its own dialect."""
    other = "int8-trt" if kit.backend == OrtSession.backend else "int8-cpu"
    return tuple(name for name in precisions_for(kit.backend, bundle.precisions) if name != other)
