"""Building an engine: the plan is made, applied, watched and can be stopped; out come a raw plan and a report.

Not run on hardware: there was no GPU to build on. What is held is every name that is touched, against the names of
twelve real releases, and what the code does when TensorRT answers as its documentation says.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeseg.bundle import Contract
from edgeseg.engine.apply import Applied, Materials, apply
from edgeseg.engine.capabilities import probe
from edgeseg.engine.devices import device_of
from edgeseg.engine.driver import Gpu
from edgeseg.engine.layers import read_layers
from edgeseg.engine.log import Log
from edgeseg.engine.plan import plan
from edgeseg.engine.progress import Progress, Watch, interrupts
from edgeseg.engine.recipe import EngineRecipe
from edgeseg.engine.seam import TensorRT
from edgeseg.engine.steps import BuildPlan
from edgeseg.engine.timing_cache import read_timing_cache, timing_cache_path, write_timing_cache
from edgeseg.errors import CancelledError, ConfigError, InputError, OutputError

MAX_CALIBRATION_BYTES = 1 << 24
"""A calibration cache has a short line for each tensor; a larger file is something else."""


@dataclass(frozen=True, slots=True)
class BuiltEngine:
    """A serialised engine and what is known of it. Nothing of it is on disk yet."""

    plan_bytes: bytes
    """TensorRT's own format, as trtexec and DeepStream load it."""
    plan: BuildPlan
    """How it was built."""
    seconds: float
    """How long it took."""
    layers: tuple[dict[str, Any], ...]
    """What the engine's inspector says of each layer; nothing without detailed profiling."""
    fallback: tuple[str, ...]
    """Layers that DLA was asked to run and cannot, so that the GPU does."""
    warnings: tuple[str, ...]
    """What TensorRT said while it built, and what else did not go as wished; the plan has its own."""


def build(
    onnx_bytes: bytes,
    recipe: EngineRecipe,
    *,
    trt: TensorRT,
    gpu: Gpu,
    contract: Contract | None = None,
    opset: int | None = None,
    timing_cache: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    done: Callable[[BuiltEngine], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> BuiltEngine:
    """Build the graph `onnx_bytes`, which is the bundle's `recipe.graph`, for `gpu`, with the module `trt`.

    `gpu` is the proof that a driver answered: without one, TensorRT ends the process. `contract` and `opset` are the
    graph's. `timing_cache` is a folder for what was measured; None keeps nothing. `progress` is called from TensorRT's
    threads. Ctrl-C, and `cancelled` giving True, stop the build; nothing is written then. `done` is called with the
    result, for who does not get to see it. Raises KeyboardInterrupt, `CancelledError`, and what `plan` and `apply`
    raise; `InputError` where TensorRT builds nothing, saying why.
    """
    made = plan(recipe, probe(trt), device_of(gpu), contract, opset=opset)
    calibration = b"" if recipe.calibration_cache is None else _read_calibration(Path(recipe.calibration_cache))
    path = None if timing_cache is None else timing_cache_path(timing_cache, trt.__version__, gpu)
    kept = read_timing_cache(path) if path is not None and recipe.timing_cache else b""
    log = Log()
    start = clock()
    with interrupts() as pressed:
        watch = Watch(progress, lambda: log.failure is not None or pressed() or cancelled())
        applied = apply(made, trt, Materials(onnx_bytes, log, watch, kept, calibration))
        interrupted = pressed()
    seconds = clock() - start
    plan_bytes = _check(applied, made, log, watch, interrupted)
    warnings = [" ".join(text.split()) for text in log.warnings]
    if path is not None and applied.timing_cache:
        try:
            write_timing_cache(path, applied.timing_cache)
        except OutputError as error:
            warnings.append(f"the timing cache is not kept: {error}")
    layers = read_layers(applied.inspected)
    built = BuiltEngine(plan_bytes, made, seconds, layers, applied.fallback, tuple(dict.fromkeys(warnings)))
    if done is not None:
        done(built)
    return built


def _check(applied: Applied, made: BuildPlan, log: Log, watch: Watch, interrupted: bool) -> bytes:
    """The plan, or what prevented it."""
    failure = watch.failure or log.failure
    if failure is not None:
        raise failure
    if applied.plan_bytes is not None:
        return applied.plan_bytes
    if interrupted:
        raise KeyboardInterrupt
    if watch.stopped:
        raise CancelledError(f"the build of the {made.precision} engine was cancelled; nothing was written.")
    raise InputError(
        f"TensorRT {made.tensorrt} could not build the {made.precision} engine: {log.explain()}. Try: edgeseg lint"
    )


def _read_calibration(path: Path) -> bytes:
    """The file, if it begins as TensorRT's calibration caches do (`TRT-…`)."""
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MAX_CALIBRATION_BYTES else b""
    except OSError as error:
        raise ConfigError(f"calibration_cache {path} cannot be read ({error.strerror}).") from error
    if not content.startswith(b"TRT-"):
        raise ConfigError(
            f"calibration_cache {path} is none: expected a first line such as TRT-100300-EntropyCalibration2. "
            "edgeseg calibrate --tensorrt-cache writes one."
        )
    return content
