"""Doing what a build plan says, step by step, on a real `tensorrt` or a fake one. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from edgeseg.engine.layers import dla_fallback
from edgeseg.engine.log import Log, make_logger
from edgeseg.engine.progress import Watch, make_monitor
from edgeseg.engine.seam import Builder, Config, Network, Parser, TensorRT, base, member
from edgeseg.engine.steps import BuildPlan
from edgeseg.errors import BackendUnavailable, InputError, UnavailableError

_MIB = 1 << 20

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Materials:
    """What a build takes besides its plan."""

    onnx_bytes: bytes
    """The graph that the plan names."""
    log: Log
    watch: Watch
    timing_cache: bytes = b""
    """What was kept of earlier builds on this GPU."""
    calibration_cache: bytes = b""
    """INT8 scales, where the plan has a calibration."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a plan gave."""

    plan_bytes: bytes | None
    """None: TensorRT built nothing; the log and the watch say why."""
    timing_cache: bytes
    """To be kept for the next build; empty where the plan has none."""
    fallback: tuple[str, ...]
    """Layers that DLA cannot run."""
    inspected: str
    """The inspector's JSON, where the plan inspects."""


def apply(plan: BuildPlan, trt: TensorRT, materials: Materials) -> Applied:
    """Do all steps. The driver must have answered before (`edgeseg.engine.driver.require_gpu`).

    Raises `InputError` naming the node that the parser refuses, `BackendUnavailable` where TensorRT finds no driver,
    `UnavailableError` where the module lacks what the plan says it has.
    """
    with _explained(trt, "start"):
        work = _Work(trt, materials)
    for step in plan.steps:
        with _explained(trt, str(step)):
            ACTIONS[step.name](work, **step.arguments)
        if work.stopped:
            break
    return Applied(work.plan_bytes, work.kept_cache, work.fallback, work.inspected)


class _Work:
    """The objects of one build. TensorRT's hold each other up, so they live as long as this does."""

    def __init__(self, trt: TensorRT, materials: Materials) -> None:
        self.trt, self.materials = trt, materials
        self.logger = make_logger(trt, materials.log)
        self.builder = _make_builder(trt, self.logger)
        self._network: Network | None = None
        self._config: Config | None = None
        self._parser: Parser | None = None
        self.held: list[Any] = []
        """What Python made and TensorRT calls: it keeps no reference of its own to all of it."""
        self.cached = False
        self.stopped = False
        self.plan_bytes: bytes | None = None
        self.kept_cache = b""
        self.fallback: tuple[str, ...] = ()
        self.inspected = ""

    @property
    def network(self) -> Network:
        return _made(self._network)

    @property
    def config(self) -> Config:
        return _made(self._config)

    @property
    def parser(self) -> Parser:
        if self._parser is None:
            self._parser = self.trt.OnnxParser(self.network, self.logger)
        return self._parser

    def create_network(self, flag: str | None = None) -> None:
        self._network = self.builder.create_network(0 if flag is None else 1 << member(self.trt, flag).value)

    def create_config(self) -> None:
        self._config = self.builder.create_builder_config()

    def parser_flag(self, flag: str) -> None:
        self.parser.set_flag(member(self.trt, flag))

    def parse(self) -> None:
        if not self.parser.parse(self.materials.onnx_bytes):
            raise InputError(_parser_message(self.trt, self.parser, self.materials.log))

    def profile(self, input: str, min: Sequence[int], opt: Sequence[int], max: Sequence[int]) -> None:
        profile = self.builder.create_optimization_profile()
        profile.set_shape(input, min, opt, max)
        if self.config.add_optimization_profile(profile) < 0:
            raise InputError(f"TensorRT takes no profile of {input} from {tuple(min)} to {tuple(max)}.")

    def memory_limit(self, pool: str, mib: int) -> None:
        self.config.set_memory_pool_limit(member(self.trt, pool), mib * _MIB)

    def set_flag(self, flag: str) -> None:
        self.config.set_flag(member(self.trt, flag))

    def clear_flag(self, flag: str) -> None:
        self.config.clear_flag(member(self.trt, flag))

    def optimisation_level(self, level: int) -> None:
        self.config.builder_optimization_level = level

    def profiling(self, level: str) -> None:
        self.config.profiling_verbosity = member(self.trt, level)

    def hardware_compatibility(self, level: str) -> None:
        self.config.hardware_compatibility_level = member(self.trt, level)

    def dla(self, type: str, core: int) -> None:
        cores = self.builder.num_DLA_cores
        if core >= cores:
            raise UnavailableError(
                f"TensorRT {self.trt.__version__} finds {cores} DLA cores here, so there is no core {core}. "
                "Leave dla_core out."
            )
        self.config.default_device_type = member(self.trt, type)
        self.config.DLA_core = core

    def calibration(self, file: str) -> None:
        del file  # its content is among the materials
        calibrator = make_calibrator(self.trt, self.materials.calibration_cache)
        self.held.append(calibrator)
        self.config.int8_calibrator = calibrator

    def report_dla(self) -> None:
        self.fallback = dla_fallback(self.network, self.config)

    def timing_cache(self) -> None:
        kept = self.config.create_timing_cache(self.materials.timing_cache)
        if kept is None or not self.config.set_timing_cache(kept, False):
            # Torn, or of another device after all: it costs only the time to measure anew.
            kept = self.config.create_timing_cache(b"")
            if kept is None or not self.config.set_timing_cache(kept, False):
                return
        self.cached = True

    def progress(self) -> None:
        monitor = make_monitor(self.trt, self.materials.watch)
        self.held.append(monitor)
        self.config.progress_monitor = monitor

    def build(self) -> None:
        memory = self.builder.build_serialized_network(self.network, self.config)
        self.stopped = memory is None
        if memory is None:
            return
        self.plan_bytes = bytes(memory)
        cache = self.config.get_timing_cache() if self.cached else None
        if cache is not None:
            self.kept_cache = bytes(cache.serialize())

    def inspect(self) -> None:
        runtime = self.trt.Runtime(self.logger)
        runtime.engine_host_code_allowed = True  # the plan was built in this process, a moment ago
        engine = runtime.deserialize_cuda_engine(_made(self.plan_bytes))
        if engine is None:
            raise InputError(f"TensorRT cannot load the plan that it built: {self.materials.log.explain()}.")
        style = member(self.trt, "LayerInformationFormat.JSON")
        self.inspected = str(engine.create_engine_inspector().get_engine_information(style))


ACTIONS: Mapping[str, Callable[..., None]] = {
    "create network": _Work.create_network,
    "create config": _Work.create_config,
    "parser flag": _Work.parser_flag,
    "parse": _Work.parse,
    "profile": _Work.profile,
    "memory limit": _Work.memory_limit,
    "set flag": _Work.set_flag,
    "clear flag": _Work.clear_flag,
    "optimisation level": _Work.optimisation_level,
    "profiling": _Work.profiling,
    "hardware compatibility": _Work.hardware_compatibility,
    "DLA": _Work.dla,
    "calibration": _Work.calibration,
    "report DLA": _Work.report_dla,
    "timing cache": _Work.timing_cache,
    "progress": _Work.progress,
    "build": _Work.build,
    "inspect": _Work.inspect,
}
"""Step → what it does, with the step's arguments."""


def make_calibrator(trt: TensorRT, cache: bytes) -> Any:
    """A calibrator that has nothing but the scales: TensorRT up to 10 reads them and asks for no frames."""
    parent = base(trt, "IInt8EntropyCalibrator2")

    class Calibrator(parent):  # type: ignore[misc, valid-type]
        """Names are TensorRT's. `EntropyCalibrator2` is the one that DLA takes."""

        def __init__(self) -> None:
            parent.__init__(self)

        def get_batch_size(self) -> int:
            return 1

        def get_batch(self, names: Sequence[str]) -> None:
            del names  # no frames: the cache has to do

        def read_calibration_cache(self) -> bytes:
            return cache

        def write_calibration_cache(self, content: Any) -> None:
            del content  # it is the one that was read

    return Calibrator()


def _make_builder(trt: TensorRT, logger: Any) -> Builder:
    try:
        return trt.Builder(logger)
    except TypeError as error:
        # "factory function returned nullptr": what pybind11 makes of TensorRT's failure to start CUDA.
        raise BackendUnavailable(
            f"TensorRT {trt.__version__} cannot start: it finds no NVIDIA driver that it can use, or no free memory on "
            "the GPU. nvidia-smi tells which; in a container, start it with --gpus all."
        ) from error


def _parser_message(trt: TensorRT, parser: Parser, log: Log) -> str:
    """One line for the first error, which the others follow from."""
    start = f"TensorRT {trt.__version__} cannot read the graph"
    if parser.num_errors == 0:
        return f"{start}: {log.explain()}. Try: edgeseg lint"
    error = parser.get_error(0)
    name, operator = (_call(error, attribute) for attribute in ("node_name", "node_operator"))
    node = f"node {name!r}" if name else f"node {error.node()}"
    kind = f" ({operator})" if operator else ""
    what = " ".join(error.desc().split()).rstrip(".")
    return f"{start}: {node}{kind}: {what}. Try: edgeseg lint"


def _call(error: Any, attribute: str) -> str:
    """What `error.attribute()` says; nothing where this release has no such method (before 10.0)."""
    return str(getattr(error, attribute, str)())


@contextmanager
def _explained(trt: TensorRT, step: str) -> Iterator[None]:
    """What TensorRT's Python side raises, as one line that names the step."""
    try:
        yield
    except AttributeError as error:
        raise UnavailableError(f"TensorRT {trt.__version__} cannot do the step {step!r}: {error}.") from error
    except (TypeError, ValueError, RuntimeError) as error:
        what = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise InputError(f"TensorRT {trt.__version__} refuses the step {step!r}: {what}.") from error


def _made(value: _T | None) -> _T:
    if value is None:
        raise InputError("the build plan's steps are in an order that cannot be done.")
    return value
