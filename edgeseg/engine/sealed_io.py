"""What an engine takes and gives, by name, and for which frame sizes: the contract, read from the engine itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgeseg.errors import InputError
from edgeseg.types import CONFIDENCE, Frame, TensorSpec

Hw = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SealedIo:
    """An engine's one input and its outputs, with the frames that it takes."""

    frame: TensorSpec
    """uint8 (1, H, W, 3) BGR; H and W are `None` where the engine takes a range of sizes."""
    labels: TensorSpec
    """uint8 (1, H, W)."""
    sizes: tuple[Hw, Hw, Hw]
    """Height and width in pixels: the smallest frame, the one it was made fastest for, the largest."""
    confidence: TensorSpec | None = None
    """uint8 (1, H, W), where the graph gives it."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The labels, and the confidence if there is one."""
        return (self.labels,) if self.confidence is None else (self.labels, self.confidence)

    @property
    def dynamic(self) -> bool:
        """Whether the size has to be said before a frame is run."""
        return None in self.frame.shape

    def check_size(self, frame: Frame) -> None:
        """Raise `InputError` for a frame (1, H, W, 3) outside the engine's range."""
        size = frame.shape[1:3]
        low, _, high = self.sizes
        if not all(least <= found <= most for least, found, most in zip(low, size, high, strict=True)):
            least, found, most = ("{}x{}".format(*hw) for hw in (low, size, high))
            raise InputError(
                f"the engine takes frames from {least} to {most}, this one is {found}. "
                "Build it for more: edgeseg engine build with camera_min and camera_max"
            )


def read_io(trt: Any, engine: Any, name: str) -> SealedIo:
    """The contract of `engine`, which messages call `name`; raises `InputError` if it is not a sealed one."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    taken = [tensor for tensor in names if engine.get_tensor_mode(tensor) == trt.TensorIOMode.INPUT]
    specs = {tensor: _spec(trt, engine, tensor) for tensor in names}
    inputs = [specs[tensor] for tensor in taken]
    # TensorRT does not promise an order, so the confidence is told by its name.
    outputs = sorted((specs[tensor] for tensor in names if tensor not in taken), key=lambda s: s.name == CONFIDENCE)
    known = len(outputs) == 1 or [spec.name for spec in outputs[1:]] == [CONFIDENCE]
    sealed = len(inputs) == 1 and known and all(_fit(inputs[0], output) for output in outputs)
    if not sealed:
        found = "; ".join(map(str, [*inputs, *outputs]))
        raise InputError(
            f"{name} is not a sealed engine: expected uint8 (1, H, W, 3) in and uint8 (1, H, W) out, and maybe "
            f"{CONFIDENCE} of the same shape, found {found}."
        )
    frame, labels = inputs[0], outputs[0]
    confidence = outputs[1] if len(outputs) > 1 else None
    _, height, width, _ = frame.shape
    if height is not None and width is not None:
        return SealedIo(frame, labels, ((height, width),) * 3, confidence)
    low, opt, high = ((int(shape[1]), int(shape[2])) for shape in engine.get_tensor_profile_shape(frame.name, 0))
    return SealedIo(frame, labels, (low, opt, high), confidence)


def _fit(frame: TensorSpec, output: TensorSpec) -> bool:
    size = frame.shape[1:3] if len(frame.shape) == 4 else ()
    fits = (frame.dtype, frame.shape) == ("uint8", (1, *size, 3))
    return fits and (output.dtype, output.shape) == ("uint8", (1, *size))


def _spec(trt: Any, engine: Any, name: str) -> TensorSpec:
    """-1, a size that only a frame fixes, becomes `None`."""
    kind = engine.get_tensor_dtype(name)
    dtype = "uint8" if kind == trt.DataType.UINT8 else str(kind.name).lower()
    return TensorSpec(name, dtype, tuple(None if size < 0 else int(size) for size in engine.get_tensor_shape(name)))
