"""An onnxruntime with a GPU, for tests: it copies frames into its own memory, and can go wrong as the real one does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.types import Frame, Labels

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"


class FakeValue:
    """Memory of a device: filled by copies, read by copies."""

    def __init__(self, shape: list[int], dtype: type, device: str, index: int) -> None:
        self.memory: NDArray[Any] = np.zeros(shape, dtype)
        self.device = (device, index)
        self.copies_in = 0

    def update_inplace(self, array: NDArray[Any]) -> None:
        assert array.flags.c_contiguous
        assert array.shape == self.memory.shape
        self.copies_in += 1
        self.memory[:] = array

    def numpy(self) -> NDArray[Any]:
        return self.memory


class FakeOnnxruntime:
    """`labels` is what its graphs compute. What it was asked for is kept: options, providers, sizes, buffers."""

    __version__ = "1.31.0"
    GraphOptimizationLevel = SimpleNamespace(ORT_DISABLE_ALL=0, ORT_ENABLE_BASIC=1)

    def __init__(
        self,
        labels: Callable[[Frame], Labels],
        *,
        built_with: tuple[str, ...] = (TENSORRT, CUDA, CPU),
        keeps: Mapping[str, int] | None = None,
        drops: tuple[str, ...] = (),
        fails_to_open: str | None = None,
        fails_to_run: str | None = None,
        leaves: Callable[[Mapping[str, str]], None] = lambda _: None,
    ) -> None:
        self.labels = labels
        self.built_with = built_with
        self.keeps = {CUDA: 7} if keeps is None else dict(keeps)
        self.drops = drops
        self.fails_to_open = fails_to_open
        self.fails_to_run = fails_to_run
        self.leaves = leaves
        self.values: list[FakeValue] = []
        self.sessions: list[FakeSessionOfOrt] = []
        self.severities: list[int] = []
        self.OrtValue = SimpleNamespace(ortvalue_from_shape_and_type=self._make)

    def get_available_providers(self) -> list[str]:
        return list(self.built_with)

    def set_default_logger_severity(self, severity: int) -> None:
        self.severities.append(severity)

    def preload_dlls(self, *, directory: str) -> None:
        assert directory == ""
        print("Failed to load libcublasLt.so.13")  # as the real one does where they are elsewhere

    def SessionOptions(self) -> FakeOptions:  # noqa: N802 (its name in onnxruntime)
        return FakeOptions()

    def InferenceSession(  # noqa: N802
        self, model: bytes, options: FakeOptions, *, providers: list[Any], enable_fallback: int
    ) -> FakeSessionOfOrt:
        assert model
        assert enable_fallback == 0
        if self.fails_to_open is not None:
            raise RuntimeError(self.fails_to_open)
        session = FakeSessionOfOrt(self, options, [name for name, _ in providers], dict(providers))
        self.sessions.append(session)
        self.leaves(dict(providers).get(TENSORRT, {}))
        return session

    def _make(self, shape: list[int], dtype: type, device: str, index: int) -> FakeValue:
        self.values.append(FakeValue(shape, dtype, device, index))
        return self.values[-1]


class FakeOptions:
    def __init__(self) -> None:
        self.entries: dict[str, str] = {}
        self.sizes: dict[str, int] = {}
        self.graph_optimization_level = 99
        self.intra_op_num_threads = 0
        self.add_session_config_entry = self.entries.__setitem__
        self.add_free_dimension_override_by_name = self.sizes.__setitem__


class FakeSessionOfOrt:
    def __init__(
        self, ort: FakeOnnxruntime, options: FakeOptions, providers: list[str], settings: dict[str, Mapping[str, str]]
    ) -> None:
        self.ort, self.options, self.settings = ort, options, settings
        self._providers = [name for name in providers if name not in ort.drops]
        self.runs = 0

    def get_providers(self) -> list[str]:
        return [*self._providers, CPU]

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="frame", type="tensor(uint8)", shape=[1, *self._sizes(), 3])]

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name="labels", type="tensor(uint8)", shape=[1, *self._sizes()])]

    def get_provider_graph_assignment_info(self) -> list[Any]:
        return [
            SimpleNamespace(ep_name=name, get_nodes=lambda count=count: [None] * count)
            for name, count in self.ort.keeps.items()
        ]

    def io_binding(self) -> Any:
        bound: dict[str, FakeValue] = {}
        return SimpleNamespace(
            bound=bound, bind_ortvalue_input=bound.__setitem__, bind_ortvalue_output=bound.__setitem__
        )

    def run_with_iobinding(self, binding: Any) -> None:
        if self.ort.fails_to_run is not None:
            raise RuntimeError(self.ort.fails_to_run)
        self.runs += 1
        binding.bound["labels"].memory[0] = self.ort.labels(binding.bound["frame"].memory[0])

    def _sizes(self) -> list[int]:
        return [self.options.sizes["height"], self.options.sizes["width"]]
