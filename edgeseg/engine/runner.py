"""An engine at work: its stream, its buffers, and its work of a frame captured as a CUDA graph.

Nothing is allocated for a frame: buffers are made once, for the largest frame that the engine takes. The first frame
of a size is queued step by step, which TensorRT wants before a capture anyway; with the second the work is captured,
copies included, and from then on a frame is one launch. Where capture or launch fail, frames go on step by step.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.engine.buffers import TRANSFERS, Buffer
from edgeseg.engine.cuda import Cuda, CudaError, Graph, Stream
from edgeseg.engine.log import Log
from edgeseg.engine.sealed_io import SealedIo
from edgeseg.errors import BackendUnavailable
from edgeseg.runtime.session import SessionOutput
from edgeseg.types import Frame

CHANNELS = 3


class EngineRunner:
    """Runs frames of any size in `io.sizes` through `engine`; all that it holds is freed by `close`, once.

    `transfer` is a name in `TRANSFERS`. Raises `CudaError` where memory runs out.
    """

    def __init__(
        self, engine: Any, io: SealedIo, cuda: Cuda, *, transfer: str = "copied", cuda_graph: bool = True, log: Log
    ) -> None:
        self.graph_refused: str | None = None if cuda_graph else "it was not asked for"
        """Why frames are queued step by step; `None` while there is no reason to."""
        self._io = io
        self._cuda = cuda
        self._log = log
        self._buffers: list[Buffer] = []
        self._shape: tuple[int, ...] | None = None
        self._frame: Frame = np.empty(0, np.uint8)
        self._given: list[NDArray[np.uint8]] = []
        self._ran_before = False
        self._graph: Graph | None = None
        self._owned = ExitStack()
        with ExitStack() as owned:  # last in, first out
            self._stream = Stream(cuda)
            owned.callback(self._stream.close)
            owned.callback(self._free_buffers)
            self._context: Any = engine.create_execution_context()
            if self._context is None:
                raise BackendUnavailable(f"TensorRT cannot make room for this engine: {log.explain()}.")
            owned.callback(self._drop_context)
            owned.callback(self._drop_graph)
            owned.callback(self._stream.synchronize)
            self.use(transfer)
            self._owned = owned.pop_all()

    @property
    def cuda_graph(self) -> bool:
        """Whether frames of the present size are launched as one captured graph."""
        return self._graph is not None

    def use(self, transfer: str) -> None:
        """Exchange the buffers for those of `transfer`."""
        self._drop_graph()
        self._free_buffers()
        self._shape = None
        self.transfer = transfer
        height, width = self._io.sizes[2]
        make = TRANSFERS[transfer]
        for spec in (self._io.frame, *self._io.outputs):
            buffer = make(self._cuda, height * width * (CHANNELS if spec is self._io.frame else 1))
            self._buffers.append(buffer)
            if not self._context.set_tensor_address(spec.name, buffer.device):
                raise BackendUnavailable(f"TensorRT does not take a buffer for {spec.name}: {self._log.explain()}.")

    def run(self, frame: Frame) -> SessionOutput:
        """uint8 (1, H, W, 3) BGR, of a size in `io.sizes` → uint8 (1, H, W) each, arrays of the caller's own."""
        self._cuda.use_device()
        if frame.shape != self._shape:
            self._take_shape(frame.shape)
        np.copyto(self._frame, frame)
        self._queue()
        self._stream.synchronize()
        return SessionOutput(*map(np.array, self._given))

    def close(self) -> None:
        """Free the graph, the context, the buffers and the stream; harmless when done twice."""
        self._owned.close()

    def _take_shape(self, shape: tuple[int, ...]) -> None:
        self._drop_graph()
        self._shape = None
        if self._io.dynamic:
            known = self._context.set_input_shape(self._io.frame.name, shape)
            if not known or self._context.infer_shapes():
                raise BackendUnavailable(f"TensorRT does not take frames of shape {shape}: {self._reason()}.")
        frame, *outputs = self._buffers
        self._frame = _view(frame, shape)
        self._given = [_view(buffer, shape[:3]) for buffer in outputs]
        self._ran_before = False
        self._shape = shape

    def _queue(self) -> None:
        if self._graph is None and self.graph_refused is None and self._ran_before:
            self._capture()
        if self._graph is not None:
            try:
                self._graph.launch()
                return
            except CudaError as error:
                self._refuse_graph(error)
        self._queue_steps()
        self._ran_before = True

    def _queue_steps(self) -> None:
        frame, *outputs = self._buffers
        frame.to_device(self._frame.nbytes, self._stream)
        if not self._context.execute_async_v3(int(self._stream.handle)):
            raise BackendUnavailable(f"TensorRT could not run a frame: {self._reason()}.")
        for buffer, given in zip(outputs, self._given, strict=True):
            buffer.to_host(given.nbytes, self._stream)

    def _capture(self) -> None:
        """Some engines cannot be captured: those that wait for the GPU inside, for loops or sizes known only there."""
        try:
            self._graph = Graph(self._cuda, self._stream, self._queue_steps)
        except (BackendUnavailable, RuntimeError) as error:  # RuntimeError: what pybind11 makes of a C++ exception
            self._refuse_graph(error)

    def _refuse_graph(self, error: Exception) -> None:
        self.graph_refused = str(error)
        self._log.errors.clear()
        self._cuda.forget_error()
        self._drop_graph()

    def _reason(self) -> str:
        reason = self._log.explain()
        self._log.errors.clear()
        return reason

    def _drop_graph(self) -> None:
        graph, self._graph = self._graph, None
        if graph is not None:
            graph.close()

    def _drop_context(self) -> None:
        self._context = None

    def _free_buffers(self) -> None:
        with ExitStack() as freed:
            for buffer in self._buffers:
                freed.callback(buffer.close)
            self._buffers = []


def _view(buffer: Buffer, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The first bytes of a buffer as an array of this shape."""
    return np.asarray(buffer.host[: math.prod(shape)].reshape(shape))
