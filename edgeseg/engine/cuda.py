"""CUDA's runtime through cuda-python: a stream, a captured graph, and every error code looked at.

Functions of `cuda.bindings.runtime` return a tuple: the error, then the values. `Cuda.call` makes an exception of the
one and returns the other. Names and codes: CUDA Runtime API, cudaError_t.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from edgeseg.errors import BackendUnavailable, UnavailableError
from edgeseg.lazy import require

_SUCCESS = 0
_MENDS = {
    2: "The GPU's memory is full: close what else uses it, or take a smaller camera size or workspace_mib",
    35: "cuda-python is newer than the driver. Install the one of its CUDA, as in: pip install 'cuda-python==12.*'",
    700: "A kernel read or wrote outside its memory; the process has to be started again",
}
"""cudaError_t → what to do: cudaErrorMemoryAllocation, cudaErrorInsufficientDriver, cudaErrorIllegalAddress."""


class CudaError(BackendUnavailable):
    """A call of CUDA's failed; `code` is its cudaError_t."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Cuda:
    """CUDA's runtime on one device. `runtime` is the module, or a test's stand-in; it is imported by default.

    Raises `BackendUnavailable` where cuda-python is missing. Only after `edgeseg.engine.driver.require_gpu`.
    """

    def __init__(self, device: int = 0, runtime: Any = None) -> None:
        self.runtime = _import_cudart() if runtime is None else runtime
        self.device = device
        self.use_device()

    def call(self, function: str, *arguments: Any) -> Any:
        """The value of `function`, `None` if it has none; raises `CudaError` for any code but success."""
        code, *values = getattr(self.runtime, function)(*arguments)
        if int(code) != _SUCCESS:
            raise self._error(function, code)
        return values[0] if values else None

    def use_device(self) -> None:
        """Make the device this thread's: CUDA keeps the choice by thread, and a session may be run from any."""
        self.call("cudaSetDevice", self.device)

    def forget_error(self) -> None:
        """Take the last error off the thread, once it was dealt with, so that no later call reports it again."""
        self.runtime.cudaGetLastError()

    def _error(self, function: str, code: Any) -> CudaError:
        _, text = self.runtime.cudaGetErrorString(code)
        words = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
        number = int(code)
        mend = f" {_MENDS[number]}." if number in _MENDS else ""
        return CudaError(f"CUDA fails on GPU {self.device}: {function}: {words} (error {number}).{mend}", number)


class Stream:
    """A queue of work of its own, which waits for no other."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._stream: Any = cuda.call("cudaStreamCreateWithFlags", cuda.runtime.cudaStreamNonBlocking)

    @property
    def handle(self) -> Any:
        """As cuda-python's functions take it; `int()` of it is what TensorRT takes."""
        return self._stream

    def synchronize(self) -> None:
        """Wait until all work is done; an error of any of it is raised here."""
        self._cuda.call("cudaStreamSynchronize", self._stream)

    def close(self) -> None:
        """Destroy it, once."""
        stream, self._stream = self._stream, None
        if stream is not None:
            self._cuda.call("cudaStreamDestroy", stream)


class Graph:
    """Work recorded once, to be launched as one."""

    def __init__(self, cuda: Cuda, stream: Stream, work: Callable[[], None]) -> None:
        """Record what `work` puts into `stream`; raises what it raises or `CudaError`, and leaves the stream usable."""
        self._cuda = cuda
        self._stream = stream
        self._executable: Any = None
        modes = cuda.runtime.cudaStreamCaptureMode
        # Thread-local: other threads (a camera's reader, a display) may go on calling CUDA meanwhile.
        cuda.call("cudaStreamBeginCapture", stream.handle, modes.cudaStreamCaptureModeThreadLocal)
        try:
            work()
        except BaseException:
            self._abandon()
            raise
        try:
            recorded = cuda.call("cudaStreamEndCapture", stream.handle)
        except CudaError:
            cuda.forget_error()
            raise
        with ExitStack() as owned:
            owned.callback(self.close)
            with ExitStack() as always:
                always.callback(cuda.call, "cudaGraphDestroy", recorded)
                self._executable = cuda.call("cudaGraphInstantiate", recorded, 0)
            owned.pop_all()

    def launch(self) -> None:
        """Put the recorded work into the stream."""
        self._cuda.call("cudaGraphLaunch", self._executable, self._stream.handle)

    def close(self) -> None:
        """Destroy it, once."""
        executable, self._executable = self._executable, None
        if executable is not None:
            self._cuda.call("cudaGraphExecDestroy", executable)

    def _abandon(self) -> None:
        """End a capture that went wrong: until then the stream takes no other work. It may report its own error."""
        code, *recorded = self._cuda.runtime.cudaStreamEndCapture(self._stream.handle)
        if int(code) == _SUCCESS:
            self._cuda.call("cudaGraphDestroy", recorded[0])
        self._cuda.forget_error()


def _import_cudart() -> Any:
    try:
        return require("cuda.bindings.runtime", extra="tensorrt")
    except UnavailableError as error:
        raise BackendUnavailable(
            f"{error} On a Jetson, take the version of its CUDA: 'cuda-python==12.6.*'."
        ) from error
