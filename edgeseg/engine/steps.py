"""What a build plan is made of: steps with arguments and a reason, and which of TensorRT's names each one touches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeseg.engine.capabilities import TOUCHED
from edgeseg.engine.recipe import Hw

NEEDS: Mapping[str, tuple[str, ...]] = {
    "create network": ("Builder.create_network", "ILogger.log", "ILogger.ERROR", "ILogger.WARNING"),
    "create config": ("Builder.create_builder_config",),
    "parser flag": ("OnnxParser.set_flag",),
    "parse": ("OnnxParser.parse", "OnnxParser.num_errors", "OnnxParser.get_error", "ParserError.desc"),
    "profile": (
        "Builder.create_optimization_profile",
        "IOptimizationProfile.set_shape",
        "IBuilderConfig.add_optimization_profile",
    ),
    "memory limit": ("IBuilderConfig.set_memory_pool_limit",),
    "set flag": ("IBuilderConfig.set_flag",),
    "clear flag": ("IBuilderConfig.clear_flag",),
    "optimisation level": ("IBuilderConfig.builder_optimization_level",),
    "profiling": ("IBuilderConfig.profiling_verbosity",),
    "hardware compatibility": ("IBuilderConfig.hardware_compatibility_level",),
    "DLA": ("IBuilderConfig.default_device_type", "IBuilderConfig.DLA_core", "Builder.num_DLA_cores"),
    "calibration": (
        "IBuilderConfig.int8_calibrator",
        "IInt8EntropyCalibrator2.get_batch",
        "IInt8EntropyCalibrator2.get_batch_size",
        "IInt8EntropyCalibrator2.read_calibration_cache",
        "IInt8EntropyCalibrator2.write_calibration_cache",
    ),
    "report DLA": (
        "INetworkDefinition.num_layers",
        "INetworkDefinition.get_layer",
        "ILayer.name",
        "IBuilderConfig.can_run_on_DLA",
    ),
    "timing cache": (
        "IBuilderConfig.create_timing_cache",
        "IBuilderConfig.set_timing_cache",
        "IBuilderConfig.get_timing_cache",
        "ITimingCache.serialize",
    ),
    "progress": (
        "IBuilderConfig.progress_monitor",
        "IProgressMonitor.phase_start",
        "IProgressMonitor.step_complete",
        "IProgressMonitor.phase_finish",
    ),
    "build": ("Builder.build_serialized_network",),
    "inspect": (
        "Runtime.engine_host_code_allowed",
        "Runtime.deserialize_cuda_engine",
        "ICudaEngine.create_engine_inspector",
        "EngineInspector.get_engine_information",
        "LayerInformationFormat.JSON",
    ),
}
"""Step → what it touches, whatever its arguments."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do to TensorRT."""

    name: str
    """Key in `NEEDS`, and in `edgeseg.engine.apply.ACTIONS`."""
    reason: str
    """Why, in words."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Numbers, texts, and TensorRT's names ("BuilderFlag.TF32"); never an enum's number, which differs by release."""

    @property
    def touches(self) -> tuple[str, ...]:
        """Every name of TensorRT's that doing it takes."""
        return (*NEEDS[self.name], *(value for value in self.arguments.values() if value in TOUCHED))

    def __str__(self) -> str:
        items = self.arguments.items()
        given = ", ".join(value if isinstance(value, str) else f"{key} {_text(value)}" for key, value in items)
        return f"{self.name}: {given}" if given else self.name


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """How one engine will be built."""

    tensorrt: str
    """Version planned for."""
    device: str
    """What it is built for, in words."""
    precision: str
    """As asked for: fp16."""
    graph: str
    """The bundle's graph that is parsed, one of `edgeseg.types.PRECISIONS`."""
    strongly_typed: bool
    """Whether the engine computes in exactly the types of the graph."""
    sizes: tuple[Hw, Hw, Hw] | None
    """Smallest frames, those it is made fastest for, and largest; None: those of the graph, which is not known."""
    steps: tuple[Step, ...]
    warnings: tuple[str, ...] = ()

    def step(self, name: str) -> Step | None:
        """The first step of this name."""
        return next((step for step in self.steps if step.name == name), None)

    @property
    def touches(self) -> frozenset[str]:
        """Every name of TensorRT's that applying it takes."""
        return frozenset(name for step in self.steps for name in step.touches)

    def lines(self) -> list[str]:
        """The plan to read: a title, a line each for steps with their reasons, and what to be warned of."""
        typed = "strongly typed" if self.strongly_typed else "not strongly typed"
        lines = [
            f"TensorRT {self.tensorrt}, {self.device}",
            f"{self.precision}, from the bundle's {self.graph} graph, {typed}, frames {self._sizes_text()}",
            "",
        ]
        width = max(len(str(step)) for step in self.steps)
        lines += [f"{n:2}. {str(step).ljust(width)}  {step.reason}" for n, step in enumerate(self.steps, 1)]
        return lines + [f"warning: {text}" for text in self.warnings]

    def _sizes_text(self) -> str:
        if self.sizes is None:
            return "as the graph says"
        return " to ".join(f"{height}x{width}" for height, width in dict.fromkeys(self.sizes))


def _text(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
