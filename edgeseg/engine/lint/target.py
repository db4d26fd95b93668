"""What a graph is checked for: a release of TensorRT, with or without a DLA, with or without sizes for open shapes."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from edgeseg.engine.driver import import_tensorrt
from edgeseg.engine.recipe import EngineRecipe
from edgeseg.engine.versions import BEST_EFFORT_FLOOR, JETPACKS, Version, parse
from edgeseg.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Target:
    """One release, and how an engine is built with it."""

    version: Version
    dla: bool = False
    """Whether layers are to run on a DLA core of a Jetson Orin."""
    profile: bool = False
    """Whether the build is told smallest, usual and largest size of inputs whose shape is open."""
    one_size: bool = False
    """Whether these are the same."""

    def __str__(self) -> str:
        return f"TensorRT {self.version}{' with DLA' if self.dla else ''}"

    def at_least(self, major: int, minor: int) -> bool:
        """Whether this release is `major`.`minor` or later."""
        return (self.version.major, self.version.minor) >= (major, minor)


def installed_target(recipe: EngineRecipe | None = None, *, dla: bool = False) -> Target:
    """The TensorRT that is installed here; raises `ConfigError` where there is none. No driver is needed."""
    if find_spec("tensorrt") is None:
        raise ConfigError("no TensorRT is installed here: name the one that is meant, such as --for tensorrt-10.3.")
    return parse_target(str(import_tensorrt().__version__), recipe, dla=dla)


def parse_target(text: str, recipe: EngineRecipe | None = None, *, dla: bool = False) -> Target:
    """`"tensorrt-10.3"`, `"10.3"` or `"jetpack-6.2"` → `Target`; raises `ConfigError` for what is none of these.

    `recipe` says whether there are sizes for open shapes, and a DLA; `dla` asks for one in any case.
    """
    lowered = text.strip().lower()
    if lowered.startswith("jetpack-"):
        jetpack = lowered.removeprefix("jetpack-")
        if jetpack not in JETPACKS:
            raise ConfigError(f"{text}: that JetPack is not known here; known: {', '.join(JETPACKS)}.")
        version = JETPACKS[jetpack]
    else:
        version = parse(lowered.removeprefix("tensorrt-"))
    if (version.major, version.minor) < (BEST_EFFORT_FLOOR.major, BEST_EFFORT_FLOOR.minor):
        raise ConfigError(
            f"{text} is TensorRT {version}; edgeseg builds engines from {BEST_EFFORT_FLOOR.major}."
            f"{BEST_EFFORT_FLOOR.minor} on. Run the graph with ONNX Runtime there."
        )
    recipe = recipe or EngineRecipe()
    sizes = recipe.profile
    return Target(
        version,
        dla=dla or recipe.dla_core is not None,
        profile=sizes is not None,
        one_size=sizes is not None and len(set(sizes)) == 1,
    )
