"""From recipe, capabilities and device to a build plan: pure, so it can be read and tested before anything is built."""

from __future__ import annotations

from typing import Any

from edgeseg.bundle import Contract
from edgeseg.engine.capabilities import Capabilities
from edgeseg.engine.devices import Device
from edgeseg.engine.recipe import HARDWARE_COMPATIBILITY, EngineRecipe, Hw
from edgeseg.engine.steps import BuildPlan, Step
from edgeseg.engine.versions import FLOOR, dla_refusal, jetson_doubt, opset_ceiling, refusal
from edgeseg.errors import ConfigError, UnavailableError

_AMPERE = (8, 0)
_TURING = (7, 5)


def plan(
    recipe: EngineRecipe,
    capabilities: Capabilities,
    device: Device,
    contract: Contract | None,
    *,
    opset: int | None = None,
) -> BuildPlan:
    """The steps that build `recipe` with this TensorRT for this device.

    `contract` and `opset` are the graph's; `None`: not known yet, so what depends on them is left to the build. Raises
    `ConfigError` for settings that exclude each other or do not fit the graph, and `UnavailableError` for what this
    TensorRT or this device does not have.
    """
    return _Planner(recipe, capabilities, device, contract, opset).plan()


class _Planner:
    """One plan in the making. Order matters: TensorRT wants the network before what is said of its inputs."""

    def __init__(
        self,
        recipe: EngineRecipe,
        capabilities: Capabilities,
        device: Device,
        contract: Contract | None,
        opset: int | None,
    ) -> None:
        self.recipe, self.has, self.device, self.contract, self.opset = recipe, capabilities, device, contract, opset
        self.dla = recipe.dla_core is not None
        self.strong = capabilities.strongly_typed and not (self.dla and capabilities.weakly_typed)
        self.steps: list[Step] = []
        self.warnings: list[str] = []

    def plan(self) -> BuildPlan:
        self.check()
        sizes = self.sizes()
        self.network()
        self.precision()
        if sizes is not None and (self.contract is None or self.contract.camera_hw is None):
            self.profile(sizes)
        self.resources()
        self.compatibility()
        if self.dla:
            self.add("report DLA", "each layer that DLA cannot run is named, and runs on the GPU")
        self.build()
        return BuildPlan(
            str(self.has.version),
            str(self.device),
            self.recipe.precision,
            self.recipe.graph,
            self.strong,
            sizes,
            tuple(self.steps),
            tuple(self.warnings),
        )

    def add(self, name: str, reason: str, **arguments: Any) -> None:
        """One more step, if this TensorRT has all that it takes."""
        step = Step(name, reason, arguments)
        missing = [touched for touched in step.touches if not self.has.offers(touched)]
        if missing:
            raise UnavailableError(
                f"TensorRT {self.has.version} has no {missing[0]}, which the step {str(step)!r} takes. "
                "Leave that setting out, or install another TensorRT: pip install 'edgeseg[tensorrt]'"
            )
        self.steps.append(step)

    def check(self) -> None:
        """Refuse what cannot be, and warn of what may not work."""
        version = self.has.version
        reason = refusal(version)
        if reason is not None:
            raise UnavailableError(reason)
        since = self.device.since
        if since is not None and (version.major, version.minor) < (since.major, since.minor):
            raise UnavailableError(f"TensorRT {version} does not know {self.device.title}; {since} is the first.")
        if self.dla:
            self.check_dla()
        elif self.recipe.calibration_cache is not None:
            raise ConfigError("calibration_cache is for DLA: the GPU runs the Q/DQ graph (precision int8). Remove one.")
        if self.has.assumed_from is not None:
            self.warnings.append(f"TensorRT {version} was not read; planned with the names of {self.has.assumed_from}")
        if not self.has.strongly_typed:
            self.warnings.append(
                f"TensorRT {version} is best effort: it cannot be strongly typed, so precision flags are set, and it "
                f"may choose other types than those that were checked; {FLOOR.major}.{FLOOR.minor} or later keeps them"
            )
        doubt = jetson_doubt(version) if self.device.integrated else None
        if doubt is not None:
            self.warnings.append(doubt)
        ceiling = opset_ceiling(version)
        if self.opset is not None and self.opset > ceiling:
            self.warnings.append(
                f"the graph has opset {self.opset}, and this TensorRT's parser knows {ceiling}: it may refuse it"
            )

    def check_dla(self) -> None:
        """DLA: where it is, in which precisions, for frames of one size. NVIDIA, TensorRT: Working with DLA."""
        core, cores = self.recipe.dla_core, self.device.dla_cores
        reason = dla_refusal(self.has.version)
        if reason is not None:
            raise UnavailableError(reason)
        if cores == 0:
            raise UnavailableError(f"{self.device.title} has no DLA. Leave dla_core out.")
        if cores is not None and core is not None and core >= cores:
            raise ConfigError(f"dla_core={core}: {self.device.title} has cores 0 to {cores - 1}.")
        if self.recipe.precision == "fp32":
            raise ConfigError("DLA computes in FP16 and INT8, not in fp32: choose one of these, or leave dla_core out.")
        cached = self.recipe.calibration_cache is not None
        if self.recipe.int8 and self.has.weakly_typed and not cached:
            raise ConfigError(
                f"INT8 on DLA with TensorRT {self.has.version} takes its scales from a calibration cache: name one "
                "(calibration_cache; edgeseg calibrate --tensorrt-cache writes it), or choose fp16."
            )
        if cached and not self.recipe.int8:
            raise ConfigError(f"calibration_cache holds INT8 scales, but precision is {self.recipe.precision}.")
        if cached and not self.has.weakly_typed:
            raise ConfigError(
                f"TensorRT {self.has.version} reads no calibration cache: leave it out, the Q/DQ graph has the scales."
            )
        if not self.has.weakly_typed and self.device.name == "orin-nx":
            self.warnings.append(f"for DLA with TensorRT {self.has.version}, NVIDIA names the AGX Orin alone")
        if self.recipe.int8 and not cached:
            self.warnings.append(
                "DLA runs in INT8 only where every tensor has a scale; elsewhere it falls back to FP16 or the GPU"
            )

    def sizes(self) -> tuple[Hw, Hw, Hw] | None:
        """Smallest, best and largest frames: those of the graph, or of the recipe where the graph takes any."""
        asked = self.recipe.profile
        fixed = None if self.contract is None else self.contract.camera_hw
        if fixed is not None:
            if asked is not None:
                raise ConfigError(
                    f"the graph takes frames of {fixed[0]}x{fixed[1]} alone: leave out camera_min, camera_opt and "
                    "camera_max, or export with --dynamic."
                )
            return fixed, fixed, fixed
        if asked is None:
            if self.contract is None:
                return None
            raise ConfigError(
                "the graph takes frames of any size, and TensorRT wants limits: give camera_min, camera_opt and "
                "camera_max, or export with --camera-size."
            )
        if self.dla and asked[0] != asked[2]:
            raise ConfigError(
                "DLA takes frames of one size: export with --camera-size, or name the size for this engine: "
                "--camera-size HxW (in a recipe: camera_min, camera_opt and camera_max)."
            )
        return asked

    def network(self) -> None:
        """An empty network of the right kind, and the graph in it."""
        if not self.has.weakly_typed:
            self.add("create network", "types are the graph's: this TensorRT knows no other way")
        elif self.strong:
            flag = "NetworkDefinitionCreationFlag.STRONGLY_TYPED"
            self.add("create network", "types are the graph's, so precision is what was checked", flag=flag)
        elif self.has.strongly_typed:
            self.add("create network", "not strongly typed: up to TensorRT 10, DLA wants precision flags")
            self.warnings.append(
                "on DLA the types are TensorRT's choice, no longer exactly those that were checked: verify the bundle"
            )
        else:
            flag = "NetworkDefinitionCreationFlag.EXPLICIT_BATCH"
            self.add("create network", "ONNX graphs have their batch dimension", flag=flag)
        if self.dla and self.has.offers("OnnxParserFlag.ADJUST_FOR_DLA"):
            flag = "OnnxParserFlag.ADJUST_FOR_DLA"
            self.add("parser flag", "layers are put as DLA takes them", flag=flag)
        self.add("parse", f"the bundle's {self.recipe.graph} graph")
        self.add("create config", "the settings that follow")

    def precision(self) -> None:
        """Flags where types do not say it all; TF32, which types never say."""
        if not self.strong:
            if self.recipe.precision != "fp32":
                self.add("set flag", "FP16 layers are allowed", flag="BuilderFlag.FP16")
            if self.recipe.int8:
                self.add("set flag", "INT8 layers are allowed", flag="BuilderFlag.INT8")
        if not self.recipe.tf32 and self.has.offers("BuilderFlag.TF32"):
            self.add("clear flag", "float32 stays float32: TF32 would round it to 10 bits", flag="BuilderFlag.TF32")
        if self.recipe.calibration_cache is not None:
            self.add("calibration", "INT8 scales as calibrated", file=self.recipe.calibration_cache)
        if self.dla:
            reason = "layers go to the accelerator where it can run them"
            self.add("DLA", reason, type="DeviceType.DLA", core=self.recipe.dla_core)
            self.add("set flag", "and to the GPU where it cannot", flag="BuilderFlag.GPU_FALLBACK")

    def profile(self, sizes: tuple[Hw, Hw, Hw]) -> None:
        """The range of frames: TensorRT's min, opt and max."""
        name = self.contract.frame.name if self.contract is not None else "frame"
        low, opt, high = ((1, *size, 3) for size in sizes)
        self.add("profile", "frames from the smallest to the largest", input=name, min=low, opt=opt, max=high)

    def resources(self) -> None:
        """Memory, and how long to search."""
        mib = self.recipe.workspace_mib or self.device.workspace_mib
        source = "as asked" if self.recipe.workspace_mib else "what suits the device"
        self.add("memory limit", f"what a layer may borrow: {source}", pool="MemoryPoolType.WORKSPACE", mib=mib)
        if self.recipe.optimization_level is not None:
            self.add("optimisation level", "how long to search: 0 to 5", level=self.recipe.optimization_level)

    def compatibility(self) -> None:
        """Which other machines may load it, and what it tells of itself."""
        if self.recipe.version_compatible:
            flag = "BuilderFlag.VERSION_COMPATIBLE"
            self.add("set flag", "later TensorRT releases may load it", flag=flag)
        level = HARDWARE_COMPATIBILITY[self.recipe.hardware_compatibility]
        if level is not None:
            least = _AMPERE if self.recipe.hardware_compatibility == "ampere_plus" else _TURING
            found = self.device.compute_capability
            if found is not None and found < least:
                raise UnavailableError(
                    f"hardware_compatibility={self.recipe.hardware_compatibility} wants compute capability "
                    f"{least[0]}.{least[1]} or later, but {self.device}. Leave it out."
                )
            self.add("hardware compatibility", "other GPUs may load it, and it may be slower", level=level)
        if self.recipe.detailed_profiling:
            level = "ProfilingVerbosity.DETAILED"
            self.add("profiling", "layers keep their parameters, for reports", level=level)

    def build(self) -> None:
        """The build itself, watched where this TensorRT lets us."""
        if self.recipe.timing_cache:
            self.add("timing cache", "kernels that were measured on this GPU are not measured again")
        if self.has.offers("IProgressMonitor.step_complete", "IBuilderConfig.progress_monitor"):
            self.add("progress", "a bar, and Ctrl-C at any time")
        else:
            self.warnings.append(f"TensorRT {self.has.version} tells no progress, and Ctrl-C waits until it is done")
        self.add("build", "minutes on a Jetson")
        if self.recipe.detailed_profiling:
            self.add("inspect", "what became of each layer")
