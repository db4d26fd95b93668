"""A machine with a GPU that is not there: TensorRT, CUDA and a driver are stand-ins, and engines answer all the same.

The engines compute what the graphs of tests/tiny_bundle.py, or tests/tiny_confidence.py, do, on bytes that went through
the fake CUDA and nowhere else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fake_cuda import FakeCuda
from fake_driver import ORIN
from fake_tensorrt import Fake, Tensor
from tiny_bundle import brightest_channel
from tiny_confidence import brightness

from edgeseg.bundle import Bundle
from edgeseg.engine import session, store
from edgeseg.engine.cuda import Cuda
from edgeseg.engine.driver import Gpu
from edgeseg.engine.session import TensorRTSession
from edgeseg.engine.store import StoredEngine, ensure_engine

CAMERA_HW = (24, 32)


class Machine:
    """One machine. `camera_hw=None`: its engines take frames from 8x8 to 48x64. `confidence`: they give that too."""

    def __init__(
        self,
        version: str = "10.3.0",
        gpu: Gpu = ORIN,
        *,
        camera_hw: tuple[int, int] | None = CAMERA_HW,
        confidence: bool = False,
    ) -> None:
        self.gpu = gpu
        self.cuda = FakeCuda(devices=gpu.index + 1)
        self.tensorrt = Fake(version)
        height, width = camera_hw or (-1, -1)
        self.tensorrt.tensors = (
            Tensor("frame", "UINT8", (1, height, width, 3), True),
            # Before the labels, because TensorRT promises no order.
            *([Tensor("confidence", "UINT8", (1, height, width), False)] if confidence else []),
            Tensor("labels", "UINT8", (1, height, width), False),
        )
        self.tensorrt.execute = self._execute
        self.capturable = True
        """Whether its engines can be captured as a graph."""
        self.refused = False
        """Whether its engines refuse to run."""

    @property
    def trt(self) -> Any:
        return self.tensorrt.module

    @property
    def launches(self) -> int:
        """How often an engine was queued step by step, or captured."""
        return len(self.tensorrt.called("IExecutionContext.execute_async_v3"))

    def open(self, *, plan: bytes | None = None, **settings: Any) -> TensorRTSession:
        """A session on a plan, of this machine's own TensorRT unless another is given."""
        cuda = Cuda(self.gpu.index, self.cuda)
        return TensorRTSession(plan or self.tensorrt.plan(), gpu=self.gpu, trt=self.trt, cuda=cuda, **settings)

    def ensure(self, bundle: Bundle, precision: str = "fp16", **settings: Any) -> StoredEngine:
        """`ensure_engine` on this machine, saying nothing unless `tell` is given."""
        given = {"tell": lambda _: None, **settings}
        return ensure_engine(bundle, precision, gpu=self.gpu, trt=self.trt, **given)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make it the machine that sessions are opened on."""
        for module in (session, store):
            monkeypatch.setattr(module, "require_gpu", lambda: self.gpu)
            monkeypatch.setattr(module, "import_tensorrt", lambda: self.trt)
        monkeypatch.setattr(session, "Cuda", lambda index: Cuda(index, self.cuda))

    def _execute(self, context: Any, stream: int) -> bool:
        if self.cuda.capturing(stream) and not self.capturable:
            self.cuda.invalidate(stream)
            return False
        if self.refused:
            return False
        # As a kernel's arguments, addresses and sizes are those of the moment it was queued.
        shape = context._shape("frame")
        frame, labels = context._addresses["frame"], context._addresses["labels"]
        confidence = context._addresses.get("confidence")
        count = shape[1] * shape[2]

        def kernel() -> None:
            pixels = self.cuda.memory(frame, 3 * count).reshape(shape[1:])
            self.cuda.memory(labels, count)[:] = brightest_channel(pixels).ravel()
            if confidence is not None:
                self.cuda.memory(confidence, count)[:] = brightness(pixels).ravel()

        self.cuda.enqueue(stream, kernel)
        return True


def other_gpu(**changes: Any) -> Gpu:
    """An Orin that differs in these."""
    return replace(ORIN, **changes)
