"""TensorRT: a bundle's graph as an engine on an NVIDIA GPU, behind the same contract as every other runtime.

Not yet run on a GPU: held by tests to the names of twelve TensorRT releases and to a stand-in for CUDA.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median
from typing import Any

import numpy as np

from edgeseg.bundle import Bundle
from edgeseg.engine.buffers import TRANSFERS
from edgeseg.engine.cuda import Cuda
from edgeseg.engine.driver import Gpu, import_tensorrt, require_gpu
from edgeseg.engine.log import Log, make_logger
from edgeseg.engine.runner import CHANNELS, EngineRunner
from edgeseg.engine.sealed_io import read_io
from edgeseg.engine.store import StoredEngine, ensure_engine
from edgeseg.errors import BackendUnavailable, ConfigError, InputError
from edgeseg.runtime.session import Session, SessionOutput, check_input, check_output
from edgeseg.settings import one_of
from edgeseg.types import Frame

MEASURED = "measured"
"""The transfer that is fastest here."""

_WARM_UP, _ROUNDS = 3, 10
"""Frames before and while a transfer is timed. The second is captured as a graph."""


class TensorRTSession(Session):
    """A plan in TensorRT, on one GPU. That there is a `Gpu` is the proof of a driver, without which TensorRT crashes.

    `plan` are bytes whose hash was checked (`edgeseg.engine.store`): a plan is native code. `transfer` is how frames
    get to the GPU and labels back: "copied", "mapped" (zero-copy), or "measured", which times both where the GPU shares
    the processor's memory and takes the faster; elsewhere it copies. `cuda_graph=False` queues each frame step by step.
    `dla_core` and `allow_host_code` (a version-compatible plan brings code of its own for the processor) are as the
    engine was built. Raises `BackendUnavailable` where TensorRT or CUDA refuse, `InputError` for a plan of another
    contract; whatever was allocated by then is freed.
    """

    backend = "tensorrt"

    def __init__(
        self,
        plan: bytes,
        *,
        gpu: Gpu,
        trt: Any = None,
        cuda: Cuda | None = None,
        transfer: str = MEASURED,
        cuda_graph: bool = True,
        dla_core: int | None = None,
        allow_host_code: bool = False,
        name: str = "the engine",
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        one_of((MEASURED, *TRANSFERS), transfer=transfer)
        trt = trt or import_tensorrt()
        cuda = cuda or Cuda(gpu.index)
        log = Log()
        self._owned = ExitStack()
        self._runner: EngineRunner | None = None
        self.transfer_ms: dict[str, float] = {}
        """Median milliseconds of a frame by transfer, where they were measured."""
        with ExitStack() as owned:
            logger = make_logger(trt, log)
            runtime = trt.Runtime(logger)
            if dla_core is not None:
                runtime.DLA_core = dla_core
            if allow_host_code:
                runtime.engine_host_code_allowed = True
            engine = runtime.deserialize_cuda_engine(plan)
            if engine is None:
                raise BackendUnavailable(f"TensorRT {trt.__version__} cannot load {name}: {log.explain()}.")
            # The engine has to go before the runtime that made it, and that before its logger.
            self._kept: list[Any] = [logger, runtime, engine]
            owned.callback(self._let_go)
            self._io = read_io(trt, engine, name)
            self.inputs, self.outputs, self.confidence = self._io.frame, self._io.labels, self._io.confidence
            first = "copied" if transfer == MEASURED else transfer
            runner = EngineRunner(engine, self._io, cuda, transfer=first, cuda_graph=cuda_graph, log=log)
            owned.callback(runner.close)
            if transfer == MEASURED and gpu.integrated:
                height, width = self._io.sizes[1]
                self.transfer_ms = measure_transfers(runner, (height, width), clock)
                runner.use(min(self.transfer_ms, key=self.transfer_ms.__getitem__))
            self._runner = runner
            self._owned = owned.pop_all()

    @classmethod
    def from_bundle(cls, bundle: Bundle, *, precision: str, threads: int | None) -> TensorRTSession:
        """Open the engine of this precision; where none is there that belongs to this machine, it is built first.

        Why it is built is logged, as a warning. `threads` changes nothing: the GPU does the work.
        """
        del threads
        if precision == "int8-cpu":
            raise ConfigError(
                "int8-cpu is the graph for ONNX Runtime on a CPU; for TensorRT, ask for int8-trt or int8."
            )
        gpu = require_gpu()
        trt = import_tensorrt()
        cuda = Cuda(gpu.index)
        return cls.from_engine(ensure_engine(bundle, precision, gpu=gpu, trt=trt), gpu=gpu, trt=trt, cuda=cuda)

    @classmethod
    def from_engine(cls, stored: StoredEngine, *, gpu: Gpu, **settings: Any) -> TensorRTSession:
        """Open an engine from the store, as it was built; `settings` are those of the constructor."""
        return cls(
            stored.plan,
            gpu=gpu,
            dla_core=stored.sidecar.recipe.get("dla_core"),
            allow_host_code=bool(stored.sidecar.recipe.get("version_compatible")),
            name=str(stored.path),
            **settings,
        )

    @property
    def transfer(self) -> str:
        """How frames get to the GPU: a name in `TRANSFERS`."""
        return self._running().transfer

    @property
    def cuda_graph(self) -> bool:
        """Whether frames of the present size are launched as one captured graph: from the second on."""
        return self._running().cuda_graph

    @property
    def graph_refused(self) -> str | None:
        """Why frames are not launched as a graph; `None` while there is no reason."""
        return self._running().graph_refused

    def run_all(self, frame: Frame) -> SessionOutput:
        """uint8 (1, H, W, 3) BGR → uint8 (1, H, W) labels, and confidence where the engine gives it."""
        check_input(frame, self.inputs)
        runner = self._running()
        self._io.check_size(frame)
        output = runner.run(frame)
        check_output(output, frame, self.backend)
        return output

    def close(self) -> None:
        """Free the GPU's memory, the pinned memory and the stream."""
        self._runner = None
        self._owned.close()

    def _running(self) -> EngineRunner:
        if self._runner is None:
            raise InputError("this tensorrt session was closed; open a new one.")
        return self._runner

    def _let_go(self) -> None:
        while self._kept:
            self._kept.pop()


def measure_transfers(
    runner: EngineRunner, camera_hw: tuple[int, int], clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Transfer → median milliseconds of a frame of this size with it, copies included.

    All are timed twice in turn and the better figure counts, because the clocks of an idle GPU rise meanwhile.
    """
    frame = np.zeros((1, *camera_hw, CHANNELS), np.uint8)
    best: dict[str, float] = {}
    for transfer in (*TRANSFERS, *TRANSFERS):
        runner.use(transfer)
        for _ in range(_WARM_UP):
            runner.run(frame)
        times_ms = []
        for _ in range(_ROUNDS):
            started = clock()
            runner.run(frame)
            times_ms.append(1000 * (clock() - started))
        best[transfer] = min(median(times_ms), best.get(transfer, float("inf")))
    return best
