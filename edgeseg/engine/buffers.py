"""Memory that processor and GPU both know: pinned, allocated once, freed once.

Two ways for a frame to get to the GPU. `CopiedBuffer` has memory on both sides and copies: right where the GPU has
memory of its own. `MappedBuffer` is one piece of memory that both sides see (zero-copy): on a Jetson, where there is
only one memory, it saves the copy, but the GPU may read it through a slower path. Which is faster is measured.
"""

from __future__ import annotations

import ctypes
from contextlib import ExitStack
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeseg.engine.cuda import Cuda, Stream


class Buffer(Protocol):
    """Memory for one of an engine's tensors."""

    host: NDArray[np.uint8]
    """(bytes,) of pinned memory, for numpy; not to be touched while the stream works, nor after `close`."""
    device: int
    """Its address for the GPU."""

    def to_device(self, count: int, stream: Stream) -> None:
        """Queue that the GPU sees the first `count` bytes of `host`."""
        ...

    def to_host(self, count: int, stream: Stream) -> None:
        """Queue that `host` shows the first `count` bytes of what the GPU wrote."""
        ...

    def close(self) -> None:
        """Free all, once."""
        ...


class CopiedBuffer:
    """Pinned memory on the processor's side, memory on the GPU's, and asynchronous copies between them."""

    def __init__(self, cuda: Cuda, size: int) -> None:
        self._cuda = cuda
        self._owned = ExitStack()
        with ExitStack() as owned:
            pointer = cuda.call("cudaHostAlloc", size, cuda.runtime.cudaHostAllocDefault)
            owned.callback(cuda.call, "cudaFreeHost", pointer)
            self.device = int(cuda.call("cudaMalloc", size))
            owned.callback(cuda.call, "cudaFree", self.device)
            self.host = _as_array(pointer, size)
            self._owned = owned.pop_all()

    def to_device(self, count: int, stream: Stream) -> None:
        """Queue a copy to the GPU."""
        kind = self._cuda.runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._cuda.call("cudaMemcpyAsync", self.device, self.host.ctypes.data, count, kind, stream.handle)

    def to_host(self, count: int, stream: Stream) -> None:
        """Queue a copy from the GPU."""
        kind = self._cuda.runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._cuda.call("cudaMemcpyAsync", self.host.ctypes.data, self.device, count, kind, stream.handle)

    def close(self) -> None:
        """Free both sides, once."""
        self.host = np.empty(0, np.uint8)
        self._owned.close()


class MappedBuffer:
    """One piece of pinned memory that the GPU sees under an address of its own; nothing is copied."""

    def __init__(self, cuda: Cuda, size: int) -> None:
        self._owned = ExitStack()
        with ExitStack() as owned:
            pointer = cuda.call("cudaHostAlloc", size, cuda.runtime.cudaHostAllocMapped)
            owned.callback(cuda.call, "cudaFreeHost", pointer)
            self.device = int(cuda.call("cudaHostGetDevicePointer", pointer, 0))
            self.host = _as_array(pointer, size)
            self._owned = owned.pop_all()

    def to_device(self, count: int, stream: Stream) -> None:
        """Nothing to do: work queued from here on sees what was written before."""

    def to_host(self, count: int, stream: Stream) -> None:
        """Nothing to do: it is there once the stream is synchronised."""

    def close(self) -> None:
        """Free it, once."""
        self.host = np.empty(0, np.uint8)
        self._owned.close()


TRANSFERS: dict[str, type[CopiedBuffer] | type[MappedBuffer]] = {"copied": CopiedBuffer, "mapped": MappedBuffer}
"""Name of a way to the GPU → its buffer."""


def _as_array(pointer: Any, size: int) -> NDArray[np.uint8]:
    """uint8 (size,) over memory that CUDA owns."""
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(int(pointer)))
