"""ONNX Runtime's own profiler: what each kernel of a graph took in each run, and the tensors that it read and wrote."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from statistics import median
from typing import Any

from edgeseg.errors import InputError
from edgeseg.runtime.ort import CPU, import_onnxruntime, one_line, session_options

_SUFFIX = "_kernel_time"
_BYTES = {"float": 4, "float16": 2, "bfloat16": 2, "double": 8, "bool": 1}
"""Others, int8 to uint64, say their bits in their name."""

_NO_PREPACKING = "session.disable_prepacking"
"""Packed weights are no longer among a kernel's inputs, so their shapes come from one run without."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Type, as ONNX Runtime calls it, and shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """1 for a scalar."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """In memory."""
        bits = self.dtype.lstrip("uint")
        return self.elements * (_BYTES[self.dtype] if self.dtype in _BYTES else int(bits) // 8)


@dataclass(frozen=True, slots=True)
class Kernel:
    """A node of the optimised graph, over all runs."""

    index: int
    """Its number in that graph."""
    name: str
    operator: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    runs_us: tuple[int, ...]
    """Microseconds in each run, in order."""

    @property
    def median_ms(self) -> float:
        """Of its runs."""
        return median(self.runs_us) / 1e3

    @property
    def fastest_ms(self) -> float:
        """What the machine does besides makes a run slower, never faster."""
        return min(self.runs_us) / 1e3


@dataclass(frozen=True, slots=True)
class Trace:
    """Of some runs of a graph."""

    kernels: tuple[Kernel, ...]
    """In order of execution."""
    runs_us: tuple[int, ...]
    """Whole runs, with what lies between kernels."""

    @property
    def median_ms(self) -> float:
        """Of the whole runs."""
        return median(self.runs_us) / 1e3


def parse_trace(text: str, *, skip: int = 0) -> Trace:
    """The profiler's JSON without the first `skip` runs; raises `InputError` if it holds no run of any kernel."""
    try:
        events = json.loads(text)
        found: dict[int, dict[str, Any]] = {}
        times: dict[int, list[int]] = {}
        whole = []
        for event in events:
            if event["cat"] == "Session" and event["name"] == "model_run":
                whole.append(int(event["dur"]))
            if event["cat"] != "Node" or not event["name"].endswith(_SUFFIX):
                continue  # older versions also tell of fences before and after a kernel
            index = int(event["args"]["node_index"])
            found.setdefault(index, event)
            times.setdefault(index, []).append(int(event["dur"]))
        kernels = tuple(_kernel(index, event, times[index][skip:]) for index, event in found.items())
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"onnxruntime wrote a profile that cannot be read ({type(error).__name__}: {error})."
        ) from error
    if not kernels or len(whole) <= skip or not all(kernel.runs_us for kernel in kernels):
        raise InputError(
            f"onnxruntime profiled {len(whole)} runs of {len(kernels)} kernels; expected more than {skip}."
        )
    return Trace(kernels, tuple(whole[skip:]))


def trace(
    model: bytes,
    feeds: Sequence[Mapping[str, Any]],
    *,
    threads: int | None,
    optimised: bool = True,
    packed: bool = True,
    skip: int = 1,
    name: str = "the model",
) -> Trace:
    """Run a graph once for each of `feeds` on the CPU, profiled, with the settings of `OrtSession`.

    The first `skip` runs are left out: memory is allocated in them. `packed=False` lists weights among the inputs.
    """
    ort = import_onnxruntime()
    options = session_options(ort, threads=threads, optimised=optimised)
    if not packed:
        options.add_session_config_entry(_NO_PREPACKING, "1")
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder, "trace"))
        try:
            session = ort.InferenceSession(model, options, providers=[CPU], enable_fallback=0)
            for feed in feeds:
                session.run(None, feed)
            text = Path(session.end_profiling()).read_text()
        except Exception as error:  # its exceptions have no common base but this
            raise InputError(f"onnxruntime {ort.__version__} cannot profile {name}: {one_line(error)}") from error
    return parse_trace(text, skip=skip)


def _kernel(index: int, event: Mapping[str, Any], runs_us: Sequence[int]) -> Kernel:
    args = event["args"]
    return Kernel(
        index,
        event["name"].removesuffix(_SUFFIX),
        args["op_name"],
        _tensors(args["input_type_shape"]),
        _tensors(args["output_type_shape"]),
        tuple(runs_us),
    )


def _tensors(listed: Sequence[Mapping[str, Sequence[int]]]) -> tuple[Tensor, ...]:
    return tuple(Tensor(dtype, tuple(shape)) for entry in listed for dtype, shape in entry.items())
