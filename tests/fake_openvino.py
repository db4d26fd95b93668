"""An openvino for tests: it keeps what it was asked for, and can go wrong as the real one does."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.types import Frame, Labels

KEPT = b"compiled:"


class FakeOpenvino:
    """`labels` is what its graphs compute. `compiled` and `imported` hold the options of each graph that was opened."""

    def __init__(
        self,
        labels: Callable[[Frame], Labels],
        *,
        size_hw: tuple[int, int] | None = (24, 32),
        capabilities: tuple[str, ...] = ("FP32", "INT8", "BF16"),
        version: str = "2026.1",
        frame_type: type = np.uint8,
        fails_to_load: str | None = None,
        fails_to_import: bool = False,
        fails_to_run: str | None = None,
    ) -> None:
        self.labels = labels
        self.size_hw = size_hw
        self.capabilities = capabilities
        self.version = version
        self.frame_type = frame_type
        self.fails_to_load = fails_to_load
        self.fails_to_import = fails_to_import
        self.fails_to_run = fails_to_run
        self.compiled: list[dict[str, str]] = []
        self.imported: list[dict[str, str]] = []
        self.shared: list[bool] = []

    def get_version(self) -> str:
        return self.version

    def Core(self) -> FakeOpenvino:  # noqa: N802 (its name in openvino)
        return self

    def get_property(self, device: str, name: str) -> Any:
        assert device == "CPU"
        return {"OPTIMIZATION_CAPABILITIES": list(self.capabilities), "FULL_DEVICE_NAME": "a processor"}[name]

    def read_model(self, model: bytes) -> bytes:
        if self.fails_to_load is not None:
            raise RuntimeError(self.fails_to_load)
        return model

    def compile_model(self, model: bytes, device: str, options: Mapping[str, str]) -> FakeCompiled:
        assert device == "CPU"
        self.compiled.append(dict(options))
        return FakeCompiled(self, model)

    def import_model(self, data: bytes, device: str, options: Mapping[str, str]) -> FakeCompiled:
        assert device == "CPU"
        assert data.startswith(KEPT)
        if self.fails_to_import:
            raise RuntimeError("Check 'is_valid_model' failed")
        self.imported.append(dict(options))
        return FakeCompiled(self, data.removeprefix(KEPT))


class FakeCompiled:
    """A compiled graph, and its one infer request."""

    def __init__(self, openvino: FakeOpenvino, model: bytes) -> None:
        self._openvino = openvino
        self._model = model
        self.inputs = [_port("frame", openvino.size_hw, openvino.frame_type, channels=3)]
        self.outputs = [_port("labels", openvino.size_hw, np.uint8)]

    def create_infer_request(self) -> FakeCompiled:
        return self

    def export_model(self) -> io.BytesIO:
        return io.BytesIO(KEPT + self._model)

    def infer(self, given: Mapping[int, Frame], *, share_inputs: bool, share_outputs: bool) -> list[NDArray[Any]]:
        if self._openvino.fails_to_run is not None:
            raise RuntimeError(self._openvino.fails_to_run)
        self._openvino.shared += [share_inputs, share_outputs]
        return [self._openvino.labels(given[0][0])[np.newaxis]]


def _port(name: str, size_hw: tuple[int, int] | None, dtype: type, channels: int | None = None) -> Any:
    sizes = [1, *(size_hw or (None, None)), *([] if channels is None else [channels])]
    shape = [SimpleNamespace(is_static=size is not None, get_length=lambda size=size: size) for size in sizes]
    return SimpleNamespace(
        get_any_name=lambda: name,
        get_partial_shape=lambda: shape,
        get_element_type=lambda: SimpleNamespace(to_dtype=lambda: dtype),
    )
