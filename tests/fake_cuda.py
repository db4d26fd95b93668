"""`cuda.bindings.runtime` for machines without a GPU: it counts, copies real bytes, and is as late as the real one.

Work in a stream waits until the stream is synchronised, so labels read too early are the old ones. Device addresses are
no addresses of this process: touching one from Python, or copying past the end of a buffer, is an error here as it is
there. Only functions, constants and codes of the CUDA Runtime API that edgeseg calls are here; others raise
AttributeError. Functions return a tuple, the error first, as cuda-python's do.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import numpy as np

Work = Callable[[], None]

_DEVICE_BASE = 0x7000_0000_0000
_ALIAS = 0x1_0000_0000_0000
"""Between a mapped buffer's address for the processor and that for the GPU."""


class Error(IntEnum):
    """Some of cudaError_t."""

    cudaSuccess = 0  # noqa: N815 - CUDA's names
    cudaErrorInvalidValue = 1  # noqa: N815
    cudaErrorMemoryAllocation = 2  # noqa: N815
    cudaErrorInsufficientDriver = 35  # noqa: N815
    cudaErrorInvalidDevice = 101  # noqa: N815
    cudaErrorInvalidResourceHandle = 400  # noqa: N815
    cudaErrorIllegalAddress = 700  # noqa: N815
    cudaErrorStreamCaptureUnsupported = 900  # noqa: N815
    cudaErrorStreamCaptureInvalidated = 901  # noqa: N815


class MemcpyKind(IntEnum):
    """Of cudaMemcpyKind."""

    cudaMemcpyHostToDevice = 1  # noqa: N815
    cudaMemcpyDeviceToHost = 2  # noqa: N815
    cudaMemcpyDefault = 4  # noqa: N815
    """From wherever the one address is to wherever the other is."""


class CaptureMode(IntEnum):
    """Of cudaStreamCaptureMode."""

    cudaStreamCaptureModeThreadLocal = 1  # noqa: N815


class FakeStream:
    """A handle; `int()` of it is what TensorRT takes."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.waiting: list[Work] = []
        self.captured: list[Work] | None = None
        self.broken = False

    def __int__(self) -> int:
        return self.number


Answer = Error | tuple[Any, ...]


def _api(method: Callable[..., Answer]) -> Callable[..., tuple[Any, ...]]:
    """A function of CUDA's: counted, made to fail where a test says so, its error first in what it returns."""
    name = method.__name__

    def called(self: FakeCuda, *arguments: Any) -> tuple[Any, ...]:
        self.calls[name] += 1
        code, number = self.failures.get(name, (Error.cudaSuccess, 0))
        failing = number == self.calls[name]
        if failing and name == "cudaStreamEndCapture":
            arguments[0].captured = None  # the capture ends, whatever comes of it
        answer = code if failing else method(self, *arguments)
        if isinstance(answer, Error):
            self.last = answer
            return (answer, None)
        return (Error.cudaSuccess, *answer)

    return called


class FakeCuda:
    """One process's CUDA. `fail` makes a function end with an error; `live` says what is held."""

    cudaError_t = Error  # noqa: N815 - cuda-python's names
    cudaMemcpyKind = MemcpyKind  # noqa: N815
    cudaStreamCaptureMode = CaptureMode  # noqa: N815
    cudaStreamNonBlocking = 1  # noqa: N815
    cudaHostAllocDefault = 0  # noqa: N815
    cudaHostAllocMapped = 2  # noqa: N815

    def __init__(self, devices: int = 1) -> None:
        self.calls: Counter[str] = Counter()
        self._devices = devices
        self.failures: dict[str, tuple[Error, int]] = {}
        self.last = Error.cudaSuccess
        self._numbers = iter(range(0x1000, 1 << 30))
        self._next_device = _DEVICE_BASE
        self._host: dict[int, Any] = {}
        self._mapped: set[int] = set()
        self._device: dict[int, bytearray] = {}
        self._streams: dict[int, FakeStream] = {}
        self._graphs: dict[int, list[Work]] = {}
        self._executables: dict[int, list[Work]] = {}

    # --- for tests ---

    def fail(self, function: str, code: Error, *, call: int = 1) -> None:
        """Let the `call`-th call of `function` from now on end with `code`, and no other."""
        self.failures[function] = (code, self.calls[function] + call)

    @property
    def live(self) -> dict[str, int]:
        """What is held, by kind; nothing once all is freed."""
        held = {
            "pinned": len(self._host),
            "device": len(self._device),
            "streams": len(self._streams),
            "graphs": len(self._graphs) + len(self._executables),
        }
        return {kind: count for kind, count in held.items() if count}

    @property
    def allocations(self) -> int:
        """How many pieces of memory were taken so far."""
        return self.calls["cudaHostAlloc"] + self.calls["cudaMalloc"]

    def memory(self, address: int, count: int) -> Any:
        """uint8 (count,) at an address for the GPU, as a kernel sees it."""
        if address - _ALIAS in self._mapped:
            return _host_bytes(self._host[address - _ALIAS], count)
        assert address in self._device, f"no device memory at {address:#x}"
        assert count <= len(self._device[address]), "past the end of a buffer"
        return np.frombuffer(self._device[address], np.uint8, count)

    def enqueue(self, stream: int, work: Work) -> None:
        """What a kernel launch does."""
        found = self._streams[stream]
        (found.waiting if found.captured is None else found.captured).append(work)

    def capturing(self, stream: int) -> bool:
        """Whether this stream's work is being recorded."""
        return self._streams[stream].captured is not None

    def invalidate(self, stream: int) -> None:
        """What a call that is not allowed while capturing does to the capture."""
        self._streams[stream].broken = True

    # --- the API: a method gives a tuple of values, or an error ---

    @_api
    def cudaSetDevice(self, device: int) -> Answer:  # noqa: N802
        return () if 0 <= device < self._devices else Error.cudaErrorInvalidDevice

    def cudaGetErrorString(self, code: Error) -> tuple[Error, bytes]:  # noqa: N802
        return Error.cudaSuccess, code.name.encode()

    def cudaGetLastError(self) -> tuple[Error]:  # noqa: N802
        last, self.last = self.last, Error.cudaSuccess
        return (last,)

    @_api
    def cudaHostAlloc(self, size: int, flags: int) -> Answer:  # noqa: N802
        memory = (ctypes.c_uint8 * size)(*b"\xaa" * min(size, 8))
        address = ctypes.addressof(memory)
        self._host[address] = memory
        if flags & self.cudaHostAllocMapped:
            self._mapped.add(address)
        return (address,)

    @_api
    def cudaHostGetDevicePointer(self, pointer: int, flags: int) -> Answer:  # noqa: N802
        return (pointer + _ALIAS,) if pointer in self._mapped and flags == 0 else Error.cudaErrorInvalidValue

    @_api
    def cudaFreeHost(self, pointer: int) -> Answer:  # noqa: N802
        self._mapped.discard(pointer)
        return () if self._host.pop(pointer, None) is not None else Error.cudaErrorInvalidValue

    @_api
    def cudaMalloc(self, size: int) -> Answer:  # noqa: N802
        address = self._next_device
        self._next_device += (size + 0xFFF) & ~0xFFF
        self._device[address] = bytearray(b"\xaa" * size)
        return (address,)

    @_api
    def cudaFree(self, pointer: int) -> Answer:  # noqa: N802
        return () if self._device.pop(pointer, None) is not None else Error.cudaErrorInvalidValue

    @_api
    def cudaMemcpyAsync(  # noqa: N802
        self, to: int, source: int, count: int, kind: MemcpyKind, stream: FakeStream
    ) -> Answer:
        sides = {
            MemcpyKind.cudaMemcpyHostToDevice: ("device", "host"),
            MemcpyKind.cudaMemcpyDeviceToHost: ("host", "device"),
        }.get(kind, (self._side(to), self._side(source)))
        if sides != (self._side(to), self._side(source)) or count > min(self._room(to), self._room(source)):
            return Error.cudaErrorInvalidValue

        def copy() -> None:
            self._bytes(to, count)[:] = self._bytes(source, count)

        self.enqueue(int(stream), copy)
        return ()

    @_api
    def cudaStreamCreateWithFlags(self, flags: int) -> Answer:  # noqa: N802
        assert flags == self.cudaStreamNonBlocking, "the stream would wait for the default one"
        stream = FakeStream(next(self._numbers))
        self._streams[stream.number] = stream
        return (stream,)

    @_api
    def cudaStreamDestroy(self, stream: FakeStream) -> Answer:  # noqa: N802
        if self._streams.pop(int(stream), None) is None:
            return Error.cudaErrorInvalidResourceHandle
        return ()

    @_api
    def cudaStreamSynchronize(self, stream: FakeStream) -> Answer:  # noqa: N802
        if stream.captured is not None:
            stream.broken = True
            return Error.cudaErrorStreamCaptureUnsupported
        waiting, stream.waiting = stream.waiting, []
        for work in waiting:
            work()
        return ()

    @_api
    def cudaStreamBeginCapture(self, stream: FakeStream, mode: CaptureMode) -> Answer:  # noqa: N802
        assert mode is CaptureMode.cudaStreamCaptureModeThreadLocal
        stream.captured, stream.broken = [], False
        return ()

    @_api
    def cudaStreamEndCapture(self, stream: FakeStream) -> Answer:  # noqa: N802
        captured, stream.captured = stream.captured, None
        if captured is None or stream.broken:
            return Error.cudaErrorStreamCaptureInvalidated
        return (self._keep(self._graphs, captured),)

    @_api
    def cudaGraphInstantiate(self, graph: int, flags: int) -> Answer:  # noqa: N802
        assert flags == 0
        return (self._keep(self._executables, list(self._graphs[graph])),)

    @_api
    def cudaGraphDestroy(self, graph: int) -> Answer:  # noqa: N802
        return () if self._graphs.pop(graph, None) is not None else Error.cudaErrorInvalidValue

    @_api
    def cudaGraphLaunch(self, executable: int, stream: FakeStream) -> Answer:  # noqa: N802
        for work in self._executables[executable]:
            self.enqueue(int(stream), work)
        return ()

    @_api
    def cudaGraphExecDestroy(self, executable: int) -> Answer:  # noqa: N802
        return () if self._executables.pop(executable, None) is not None else Error.cudaErrorInvalidValue

    def _side(self, address: int) -> str | None:
        if address in self._host:
            return "host"
        return "device" if address in self._device or address - _ALIAS in self._mapped else None

    def _room(self, address: int) -> int:
        memory = self._host.get(address) or self._device.get(address) or self._host.get(address - _ALIAS) or ()
        return len(memory)

    def _bytes(self, address: int, count: int) -> Any:
        return _host_bytes(self._host[address], count) if address in self._host else self.memory(address, count)

    def _keep(self, where: dict[int, list[Work]], work: list[Work]) -> int:
        number = next(self._numbers)
        where[number] = work
        return number


def _host_bytes(memory: Any, count: int) -> Any:
    """uint8 (count,) over pinned memory."""
    return np.frombuffer(memory, np.uint8, count)
