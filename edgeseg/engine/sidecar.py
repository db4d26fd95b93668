"""What is known of a plan: the JSON file beside it, and why a plan does not belong to this machine, in one sentence.

A plan is native code in a format of its own, and TensorRT's word for one from elsewhere ("version tag does not match")
helps nobody. The plan itself stays raw, so that trtexec and DeepStream load it too; all that is known lies beside it.
The sidecar seals itself and holds the plan's hash: edgeseg.bundle.seal, with what such a seal cannot do.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edgeseg.bundle.fields import Fields, typed
from edgeseg.bundle.seal import DIGEST, UNSEALED, parse_json, seal_holds, sealed_json
from edgeseg.engine.driver import Gpu
from edgeseg.engine.recipe import EngineRecipe
from edgeseg.engine.versions import parse
from edgeseg.errors import BundleError, ConfigError
from edgeseg.settings import build

SCHEMA = 1

Hw = tuple[int, int]
"""Height and width of a frame, in pixels."""

OTHER_GRAPH = "was built from another graph than this bundle's"

_OF_THE_BUILD_ALONE = frozenset({"precision", "timing_cache"})
"""Settings of a recipe that make no other plan; the precision has a field of its own."""
_AMPERE = (8, 0)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a plan has to be to run here and now."""

    precision: str
    onnx_sha256: str
    """Of the graph that the bundle has for it."""
    tensorrt: str
    """Version of the library that is installed."""
    gpu: Gpu
    camera_hw: Hw | None
    """The frames that the graph takes; `None`: any, within the engine's own limits."""
    recipe: EngineRecipe | None
    """As the engine shall be built; `None`: as it was built."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """One plan's papers. Raises `BundleError` for values that no build gives."""

    precision: str
    onnx_sha256: str
    """Of the graph that it was built from."""
    plan_sha256: str
    plan_bytes: int
    tensorrt: str
    """Full version of the library that built it."""
    gpu: str
    compute_capability: tuple[int, int]
    multiprocessors: int
    """Streaming multiprocessors of that GPU: modules of the Jetson Orin have one name and differ in these."""
    sizes: tuple[Hw, Hw, Hw]
    """Smallest frames, those it was made fastest for, and largest: three times the same where the graph takes one."""
    recipe: Mapping[str, Any]
    """As `recipe_record` gives it."""
    steps: tuple[str, ...]
    """The build plan, step by step in words."""
    warnings: tuple[str, ...]
    fallback: tuple[str, ...]
    """Layers that DLA was asked to run and cannot, so that the GPU does."""
    created: str
    """UTC, ISO 8601."""
    seconds: float
    """How long the build took."""
    edgeseg: str
    """Version that built it."""

    def __post_init__(self) -> None:
        if not DIGEST.fullmatch(self.onnx_sha256) or not DIGEST.fullmatch(self.plan_sha256):
            raise BundleError("a sha256 in it is not 64 hexadecimal digits.")
        if self.plan_bytes < 1:
            raise BundleError(f"it says that the plan has {self.plan_bytes} bytes.")
        for axis in range(2):
            low, opt, high = (size[axis] for size in self.sizes)
            if not 1 <= low <= opt <= high:
                raise BundleError(f"its frame sizes {self.sizes} do not grow from at least 1.")

    def to_bytes(self) -> bytes:
        """The sealed file."""
        return sealed_json({"schema": SCHEMA, "sha256": UNSEALED, **asdict(self)})

    @staticmethod
    def from_bytes(data: bytes) -> Sidecar:
        """Read it strictly; `BundleError` says what is wrong with a file that was altered or is of a later form."""
        try:
            value = parse_json(data)
        except ValueError as error:
            raise BundleError(f"it is not JSON ({error}), so it is damaged.") from error
        top = Fields(value, "it")
        schema = top.take("schema", int)
        if schema != SCHEMA:
            raise BundleError(
                f"it has schema {schema}, written by edgeseg {value.get('edgeseg', 'of another version')}; "
                f"this one reads schema {SCHEMA}."
            )
        if not seal_holds(data, top.take("sha256", str)):
            raise BundleError("its own sha256 does not match, so it is damaged or altered.")
        major, minor = top.take_list("compute_capability", int, 2)
        sidecar = Sidecar(
            precision=top.take("precision", str),
            onnx_sha256=top.take("onnx_sha256", str),
            plan_sha256=top.take("plan_sha256", str),
            plan_bytes=top.take("plan_bytes", int),
            tensorrt=top.take("tensorrt", str),
            gpu=top.take("gpu", str),
            compute_capability=(major, minor),
            multiprocessors=top.take("multiprocessors", int),
            sizes=_sizes(top.take_list("sizes", list, 3)),
            recipe=top.take("recipe", dict),
            steps=_texts(top, "steps"),
            warnings=_texts(top, "warnings"),
            fallback=_texts(top, "fallback"),
            created=top.take("created", str),
            seconds=top.take("seconds", float),
            edgeseg=top.take("edgeseg", str),
        )
        top.done()
        return sidecar

    def build_recipe(self) -> EngineRecipe | None:
        """The recipe that it was built by; `None` if it has settings that this edgeseg does not know."""
        try:
            given = {key: value for key, value in self.recipe.items() if value is not None}
            return dataclasses.replace(build(EngineRecipe, given), precision=self.precision)
        except ConfigError:
            return None

    def mismatch(self, wanted: Wanted) -> str | None:
        """Why this plan is not the one wanted, in words that go on from "it"; `None` if it is."""
        if self.precision != wanted.precision:
            return f"is an engine in {self.precision}, and {wanted.precision} is asked for"
        if self.onnx_sha256 != wanted.onnx_sha256:
            return OTHER_GRAPH
        return (
            self._other_tensorrt(wanted.tensorrt)
            or self._other_gpu(wanted.gpu)
            or self._other_sizes(wanted)
            or self._other_recipe(wanted.recipe)
        )

    def size_problem(self, count: int) -> str | None:
        """Why a file of `count` bytes is not the plan that this is the sidecar of; `None` if it may be."""
        if count == self.plan_bytes:
            return None
        how = "was cut short" if count < self.plan_bytes else "is too long"
        return f"{how}: the plan has {count} bytes, its sidecar says {self.plan_bytes}"

    def plan_problem(self, plan: bytes) -> str | None:
        """Why these bytes are not that plan; `None` if they are."""
        if hashlib.sha256(plan).hexdigest() == self.plan_sha256:
            return None
        return self.size_problem(len(plan)) or "is damaged or altered: the plan's sha256 is not the one in its sidecar"

    def _other_tensorrt(self, installed: str) -> str | None:
        if installed == self.tensorrt:
            return None
        built, here = parse(self.tensorrt), parse(installed)
        if self.recipe.get("version_compatible") and built.major == here.major and built <= here:
            return None
        return f"was built with TensorRT {self.tensorrt}, and {installed} is installed"

    def _other_gpu(self, gpu: Gpu) -> str | None:
        compatible = self.recipe.get("hardware_compatibility")
        if compatible == "ampere_plus" and min(gpu.compute_capability, self.compute_capability) >= _AMPERE:
            return None
        if gpu.compute_capability != self.compute_capability:
            built, here = ("{}.{}".format(*found) for found in (self.compute_capability, gpu.compute_capability))
            return f"was built for compute capability {built} ({self.gpu}), and this GPU has {here} ({gpu.name})"
        if compatible == "same_compute_capability":
            return None
        if gpu.name != self.gpu:
            return f"was built on a GPU called {self.gpu}, and this one is {gpu.name}"
        if gpu.multiprocessors != self.multiprocessors:
            return (
                f"was built on another {self.gpu}, with {self.multiprocessors} multiprocessors; "
                f"this one has {gpu.multiprocessors}"
            )
        return None

    def _other_sizes(self, wanted: Wanted) -> str | None:
        asked = engine_sizes(wanted.camera_hw, wanted.recipe)
        if asked is None or asked == self.sizes:
            return None
        return f"takes frames of {_sizes_text(self.sizes)}, and {_sizes_text(asked)} is asked for"

    def _other_recipe(self, recipe: EngineRecipe | None) -> str | None:
        if recipe is None:
            return None
        asked = recipe_record(recipe)
        for key in sorted({*asked, *self.recipe}):
            if asked.get(key) != self.recipe.get(key):
                return f"was built with {key} = {self.recipe.get(key)}, and {asked.get(key)} is asked for"
        return None


def recipe_record(recipe: EngineRecipe) -> dict[str, Any]:
    """What of a recipe makes a plan another one, as plain JSON."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in asdict(recipe).items()
        if key not in _OF_THE_BUILD_ALONE
    }


def engine_sizes(camera_hw: Hw | None, recipe: EngineRecipe | None) -> tuple[Hw, Hw, Hw] | None:
    """The frames that an engine takes: of the graph's one size, or from the recipe; `None` where neither says."""
    if camera_hw is not None:
        return (camera_hw,) * 3
    if recipe is None or recipe.camera_min is None or recipe.camera_opt is None or recipe.camera_max is None:
        return None
    return recipe.camera_min, recipe.camera_opt, recipe.camera_max


def _sizes(rows: list[list[Any]]) -> tuple[Hw, Hw, Hw]:
    pairs = []
    for row in rows:
        if len(row) != 2:
            raise BundleError(f"its frame sizes are not heights and widths: {rows}.")
        pairs.append((typed(row[0], int, "its frame height"), typed(row[1], int, "its frame width")))
    return pairs[0], pairs[1], pairs[2]


def _texts(fields: Fields, key: str) -> tuple[str, ...]:
    return tuple(typed(text, str, f"it, field {key!r}") for text in fields.take(key, list))


def _sizes_text(sizes: tuple[Hw, Hw, Hw]) -> str:
    low, _, high = ("{}×{}".format(*size) for size in sizes)
    if low == high:
        return low
    return f"{low} to {high} (fastest at {{}}×{{}})".format(*sizes[1])
