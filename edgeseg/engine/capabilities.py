"""What the installed `tensorrt` offers, as the names it has; no version number decides anything that a name can."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeseg.engine.versions import Version, parse, refusal
from edgeseg.errors import ConfigError

PACKAGED = Path(__file__).with_name("tensorrt_names.json")
"""Which releases have which of `TOUCHED`, to plan where no TensorRT is. Written by tests/make_tensorrt_names.py."""

TOUCHED = (
    "ILogger.log",
    "ILogger.INTERNAL_ERROR",
    "ILogger.ERROR",
    "ILogger.WARNING",
    "Builder.create_network",
    "Builder.create_builder_config",
    "Builder.create_optimization_profile",
    "Builder.build_serialized_network",
    "Builder.num_DLA_cores",
    "NetworkDefinitionCreationFlag.EXPLICIT_BATCH",
    "NetworkDefinitionCreationFlag.STRONGLY_TYPED",
    "INetworkDefinition.num_layers",
    "INetworkDefinition.get_layer",
    "ILayer.name",
    "OnnxParser.parse",
    "OnnxParser.num_errors",
    "OnnxParser.get_error",
    "OnnxParser.set_flag",
    "OnnxParserFlag.ADJUST_FOR_DLA",
    "ParserError.desc",
    "ParserError.node",
    "ParserError.node_name",
    "ParserError.node_operator",
    "IBuilderConfig.set_flag",
    "IBuilderConfig.clear_flag",
    "IBuilderConfig.set_memory_pool_limit",
    "IBuilderConfig.add_optimization_profile",
    "IBuilderConfig.builder_optimization_level",
    "IBuilderConfig.profiling_verbosity",
    "IBuilderConfig.hardware_compatibility_level",
    "IBuilderConfig.default_device_type",
    "IBuilderConfig.DLA_core",
    "IBuilderConfig.can_run_on_DLA",
    "IBuilderConfig.int8_calibrator",
    "IBuilderConfig.progress_monitor",
    "IBuilderConfig.create_timing_cache",
    "IBuilderConfig.set_timing_cache",
    "IBuilderConfig.get_timing_cache",
    "ITimingCache.serialize",
    "IOptimizationProfile.set_shape",
    "BuilderFlag.FP16",
    "BuilderFlag.INT8",
    "BuilderFlag.TF32",
    "BuilderFlag.GPU_FALLBACK",
    "BuilderFlag.VERSION_COMPATIBLE",
    "MemoryPoolType.WORKSPACE",
    "ProfilingVerbosity.DETAILED",
    "HardwareCompatibilityLevel.AMPERE_PLUS",
    "HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY",
    "DeviceType.DLA",
    "IProgressMonitor.phase_start",
    "IProgressMonitor.step_complete",
    "IProgressMonitor.phase_finish",
    "IInt8EntropyCalibrator2.get_batch",
    "IInt8EntropyCalibrator2.get_batch_size",
    "IInt8EntropyCalibrator2.read_calibration_cache",
    "IInt8EntropyCalibrator2.write_calibration_cache",
    "Runtime.engine_host_code_allowed",
    "Runtime.deserialize_cuda_engine",
    "ICudaEngine.create_engine_inspector",
    "EngineInspector.get_engine_information",
    "LayerInformationFormat.JSON",
)
"""Every name of TensorRT's that a build may touch; a name that is not here is not looked for, and so never used."""


_WEAKLY_TYPED = ("BuilderFlag.FP16", "BuilderFlag.INT8", "NetworkDefinitionCreationFlag.EXPLICIT_BATCH")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """A release of TensorRT, by what it offers."""

    version: Version
    names: frozenset[str]
    """Of `TOUCHED`, those that it has."""
    assumed_from: Version | None = None
    """The release whose names these are, where the asked one is not among those that were read."""

    def offers(self, *names: str) -> bool:
        """Whether it has all of these, which must be in `TOUCHED`."""
        unknown = [name for name in names if name not in TOUCHED]
        if unknown:
            raise KeyError(f"{unknown[0]} is not in TOUCHED, so nobody has looked whether TensorRT has it")
        return self.names.issuperset(names)

    @property
    def weakly_typed(self) -> bool:
        """Whether a network may be other than strongly typed: up to TensorRT 10. What 11 removed for it tells."""
        return not self.names.isdisjoint(_WEAKLY_TYPED)

    @property
    def strongly_typed(self) -> bool:
        """Whether a network can be held to the types of its graph: from TensorRT 10 on."""
        return self.offers("NetworkDefinitionCreationFlag.STRONGLY_TYPED") or not self.weakly_typed


def probe(trt: Any) -> Capabilities:
    """What the module `trt` offers. Looks at names only: nothing of TensorRT is created, so no driver is needed."""
    return Capabilities(parse(str(trt.__version__)), frozenset(name for name in TOUCHED if has_name(trt, name)))


def has_name(trt: Any, dotted: str) -> bool:
    """Whether `trt` has `Class.member`, `Enum.MEMBER` or `name`."""
    owner_name, _, member = dotted.partition(".")
    owner = getattr(trt, owner_name, None)
    if owner is None or not member:
        return owner is not None
    members = getattr(owner, "__members__", None)
    return hasattr(owner, member) if members is None else member in members


def for_version(text: str) -> Capabilities:
    """What TensorRT `text` ("10.3", "11.4.0") offers, from the packaged table.

    A release that was not read is taken for the nearest older one of its major, which can only offer less
    (`assumed_from`). Raises `ConfigError` for text that is no version and for a major without any known release.
    """
    asked = parse(text)
    table = _packaged()
    known = {parse(release): release for release in table["releases"]}
    same = [version for version in known if version.covers(asked)]
    older = [version for version in known if version.major == asked.major and version <= asked]
    if not same and not older:
        newest = ", ".join(str(version) for version in known)
        raise ConfigError(refusal(asked) or f"TensorRT {text} is not known here; known: {newest}.")
    found = max(same or older)
    names = (*table["everywhere"], *(name for name, has in table["some"].items() if known[found] in has))
    return Capabilities(found if same else asked, frozenset(names), None if same else found)


@functools.cache
def _packaged() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(PACKAGED.read_text(encoding="utf-8"))
    return table
