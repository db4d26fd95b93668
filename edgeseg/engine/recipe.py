"""What engine to build: a frozen configuration, also the table `[engine]` of an export recipe (TOML)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeseg.errors import ConfigError
from edgeseg.settings import at_least, build, one_of, read_toml
from edgeseg.types import graph_precision

Hw = tuple[int, int]
"""Height and width of a frame, in pixels."""

ENGINE_PRECISIONS = ("fp32", "fp16", "int8", "int8-trt")
"""What an engine may be asked for in; `int8` and `int8-trt` are the same graph."""

HARDWARE_COMPATIBILITY = {
    "none": None,
    "ampere_plus": "HardwareCompatibilityLevel.AMPERE_PLUS",
    "same_compute_capability": "HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY",
}
"""In a recipe → TensorRT's name."""

OPTIMIZATION_LEVELS = range(6)
"""0 builds fastest, 5 searches longest; TensorRT's own default is 3 (IBuilderConfig.builder_optimization_level)."""


@dataclass(frozen=True, slots=True)
class EngineRecipe:
    """One engine. Raises `ConfigError` for values out of range and for settings that exclude each other."""

    precision: str = "fp16"
    """Which of the bundle's graphs: one of `ENGINE_PRECISIONS`."""
    workspace_mib: int | None = None
    """MiB that a layer may borrow while it runs; None: what suits the device."""
    camera_min: Hw | None = None
    """Smallest frames of a graph that takes any size: height and width in pixels. All three sizes, or none."""
    camera_opt: Hw | None = None
    """The frames that the engine is made fastest for."""
    camera_max: Hw | None = None
    """The largest frames; memory is taken for these."""
    optimization_level: int | None = None
    """One of `OPTIMIZATION_LEVELS`; None: TensorRT's own."""
    version_compatible: bool = False
    """Let later TensorRT releases load the plan. It holds a runtime of its own then, grows, and may be slower."""
    hardware_compatibility: str = "none"
    """One of `HARDWARE_COMPATIBILITY`: which other GPUs may load the plan."""
    dla_core: int | None = None
    """Deep-learning accelerator to run on, with the GPU for what it cannot; None: the GPU alone."""
    calibration_cache: str | None = None
    """File of INT8 scales for DLA up to TensorRT 10, which then builds from the FP32 graph."""
    detailed_profiling: bool = False
    """Keep layer parameters in the plan, for reports by layer."""
    tf32: bool = False
    """Let float32 convolutions round their inputs to TF32's 10 bits: faster from Ampere on, and no longer FP32."""
    timing_cache: bool = True
    """Keep what was measured of kernels for the next build on this GPU."""

    def __post_init__(self) -> None:
        one_of(ENGINE_PRECISIONS, precision=self.precision)
        one_of(tuple(HARDWARE_COMPATIBILITY), hardware_compatibility=self.hardware_compatibility)
        if self.workspace_mib is not None:
            at_least(1, workspace_mib=self.workspace_mib)
        if self.dla_core is not None:
            at_least(0, dla_core=self.dla_core)
        if self.optimization_level is not None and self.optimization_level not in OPTIMIZATION_LEVELS:
            raise ConfigError(f"optimization_level={self.optimization_level}: expected 0 to {OPTIMIZATION_LEVELS[-1]}.")
        self._check_sizes()

    @property
    def graph(self) -> str:
        """The bundle's graph that it is built from, one of `edgeseg.types.PRECISIONS`."""
        return "fp32" if self.calibration_cache is not None else graph_precision(self.precision, "tensorrt")

    @property
    def int8(self) -> bool:
        """Whether it computes in INT8."""
        return self.precision.startswith("int8")

    @property
    def profile(self) -> tuple[Hw, Hw, Hw] | None:
        """Smallest, best and largest frames; None where the recipe leaves them to the graph."""
        if self.camera_min is None or self.camera_opt is None or self.camera_max is None:
            return None
        return self.camera_min, self.camera_opt, self.camera_max

    def _check_sizes(self) -> None:
        sizes = (self.camera_min, self.camera_opt, self.camera_max)
        given = [size for size in sizes if size is not None]
        if len(given) not in (0, 3):
            raise ConfigError("camera_min, camera_opt and camera_max belong together: give all three, or none.")
        for axis in range(2 if given else 0):
            low, opt, high = (size[axis] for size in given)
            if not 1 <= low <= opt <= high:
                texts = [f"{height}x{width}" for height, width in given]
                raise ConfigError(
                    f"camera_min {texts[0]}, camera_opt {texts[1]}, camera_max {texts[2]} (height x width): "
                    "neither side may shrink from one to the next, or be below 1."
                )


def read_recipe(path: Path | str) -> EngineRecipe:
    """The table `[engine]` of an export recipe; raises `ConfigError` naming the file, and the key that is wrong."""
    content = read_toml(Path(path), "recipe")
    table = content.get("engine")
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: there is no table [engine] in this recipe; see the folder export/.")
    try:
        return build(EngineRecipe, table, "engine.")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
