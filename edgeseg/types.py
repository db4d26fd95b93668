"""The values that cross every seam: frames in, segmentations out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import GateError

Frame: TypeAlias = NDArray[np.uint8]
"""A camera frame: uint8 (H, W, 3), BGR, as OpenCV gives it."""

Labels: TypeAlias = NDArray[np.uint8]
"""A label map: uint8 (H, W), one class id per pixel."""

Confidence: TypeAlias = NDArray[np.uint8]
"""How sure the model is: uint8 (H, W), for each pixel 255 times the softmax probability of the class it was given."""

CONFIDENCE = "confidence"
"""Name of the output that some graphs have beside their labels."""


INVALID = 255
"""Label of every pixel of a frame whose logits hold a NaN or an infinity. No class has it: ids end at 253."""

UNKNOWN = 254
"""Label of a pixel whose confidence is too low for a class (`edgeseg.video.scene.unknown`). No class has it."""

NO_NUMBERS = "{}: the model computed a NaN or an infinity, so no pixel has a class. Check it: edgeseg verify BUNDLE"

PRECISIONS = ("fp32", "fp16", "int8-cpu", "int8-trt")
"""Of a bundle's graphs. INT8 is two: with unsigned activations, which ONNX Runtime's fused kernels on a CPU need and
OpenVINO too is faster with, and with signed ones, which TensorRT needs."""

ASKED_PRECISIONS = ("fp32", "fp16", "int8", *PRECISIONS[2:])
"""What may be asked for: `int8` is the one for the runtime at hand."""


AUTO = "auto"
"""Of the runtimes in `edgeseg.runtime.chain`, the first that works."""

ASKED_BACKENDS = (AUTO, "onnxruntime", "openvino", "onnxruntime-cuda", "onnxruntime-tensorrt", "tensorrt")
"""Runtimes of a bundle that may be asked for."""

GPU_BACKENDS = ("tensorrt", "onnxruntime-tensorrt", "onnxruntime-cuda")
"""Runtimes on an NVIDIA GPU. Of the two INT8 graphs they take the signed one: the other has int32 biases and unsigned
activations, which TensorRT does not take."""


def graph_precision(asked: str, backend: str) -> str:
    """Which graph a runtime takes: `int8` is `int8-trt` on a GPU and `int8-cpu` for any other."""
    if asked != "int8":
        return asked
    return "int8-trt" if backend in GPU_BACKENDS else "int8-cpu"


def precisions_for(backend: str, precisions: Sequence[str]) -> tuple[str, ...]:
    """Those of `precisions` that a runtime can run: on a GPU all but `int8-cpu`."""
    return tuple(name for name in precisions if not (name == "int8-cpu" and backend in GPU_BACKENDS))


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, dtype and shape of a graph's input or output; `None` stands for a size fixed only when the graph runs."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name}: {self.dtype} ({sizes})"


@dataclass(frozen=True, slots=True)
class Segmentation:
    """What the model says of a frame: `labels` uint8 (H, W) at the frame's own size, and how long the session took."""

    labels: Labels
    latency_ms: float
    valid: bool = True
    """False where the model computed something that is no number: `labels` are then `INVALID` everywhere."""
    confidence: Confidence | None = None
    """uint8 (H, W): the softmax probability of the label given, 255 for 1, and 0 where it is not `valid`; `None` where
    the graph gives none."""

    def checked(self, name: str = "this frame") -> Labels:
        """The labels; raises `GateError` for a frame that is not valid, calling it `name`."""
        if not self.valid:
            raise GateError(NO_NUMBERS.format(name))
        return self.labels
