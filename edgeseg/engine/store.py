"""Engines on disk: `engines/` of a bundle, or a cache folder where the bundle cannot be written to.

    engines/int8-trt.plan        TensorRT's own format, as trtexec and DeepStream load it
    engines/int8-trt.plan.json   its sidecar: edgeseg.engine.sidecar

Engines are made on the device and are not in the bundle's manifest. What guards them is their sidecar: it is sealed,
holds the plan's hash and the graph's, and says for which machine the plan was built. A plan is read only to be checked,
and what was checked is what is returned: nothing goes to TensorRT whose hash is unknown.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgeseg import __version__
from edgeseg.bundle import Bundle, Contract
from edgeseg.bundle.manifest import MANIFEST_NAME
from edgeseg.engine.builder import BuiltEngine, build
from edgeseg.engine.cuda import Cuda
from edgeseg.engine.driver import Gpu, import_tensorrt, require_gpu
from edgeseg.engine.recipe import EngineRecipe
from edgeseg.engine.sidecar import Sidecar, Wanted, recipe_record
from edgeseg.errors import BundleError, ConfigError, UnavailableError
from edgeseg.files import sha256_file, write_bytes
from edgeseg.runtime.default import cache_folder
from edgeseg.types import graph_precision

FOLDER = "engines"

TIMINGS = "timings"
"""Folder in the cache for what TensorRT measured of kernels."""

Tell = Callable[[str], None]
"""Takes one line for a person."""

SMALLEST_HW, LARGEST_HW = (64, 64), (2160, 3840)
"""Frames that an engine takes whose graph takes any and whose recipe says nothing. Only the first resize and the last
upsampling work at a camera's size, so a wide range costs little."""

_log = logging.getLogger(__name__)


class EngineMismatch(UnavailableError):  # noqa: N818 (it is what was found, not an accident)
    """There is no plan for this machine; `cause` says, in words that go on from the plan's path, why not."""

    def __init__(self, path: Path, cause: str) -> None:
        super().__init__(f"{path} {cause}. Build it on this machine: edgeseg engine build")
        self.path = path
        self.cause = cause


@dataclass(frozen=True, slots=True)
class StoredEngine:
    """A plan that belongs to this machine, with its papers; `plan` are the very bytes that were checked."""

    path: Path
    plan: bytes
    sidecar: Sidecar


def plan_path(folder: Path, precision: str) -> Path:
    """Where a folder of engines has the plan of this precision."""
    return folder / f"{graph_precision(precision, 'tensorrt')}.plan"


def sidecar_path(plan: Path) -> Path:
    """Where a plan's sidecar is."""
    return plan.with_name(f"{plan.name}.json")


def engine_folders(bundle: Bundle) -> tuple[Path, ...]:
    """Where engines of this bundle may be: in it, and in the cache, by the bundle's content and not by its place."""
    content = sha256_file(bundle.path / MANIFEST_NAME)[:12]
    return bundle.path / FOLDER, cache_folder() / FOLDER / f"{bundle.name}-{content}"


def find_engine(
    bundle: Bundle, precision: str, *, tensorrt: str, gpu: Gpu, recipe: EngineRecipe | None = None
) -> StoredEngine:
    """The plan for this precision, TensorRT version and GPU; raises `EngineMismatch` with the cause where none fits.

    `recipe=None` takes the plan as it was built; with a recipe, one that was built otherwise does not fit. Raises
    `BundleError` where the bundle has no graph of this precision.
    """
    misses = []
    for folder in engine_folders(bundle):
        path = plan_path(folder, precision)
        try:
            sidecar = read_sidecar(path)
            wanted = _wanted(bundle, precision, tensorrt, gpu, recipe, sidecar)
            problem = sidecar.mismatch(wanted)
            if problem:
                raise EngineMismatch(path, problem)
            return StoredEngine(path, read_plan(path, sidecar), sidecar)
        except EngineMismatch as miss:
            misses.append(miss)
    # One that is there and does not fit says more than one that is not there.
    raise next((miss for miss in misses if miss.path.exists() or sidecar_path(miss.path).exists()), misses[0])


def ensure_engine(
    bundle: Bundle,
    precision: str,
    recipe: EngineRecipe | None = None,
    *,
    gpu: Gpu | None = None,
    trt: Any = None,
    tell: Tell = _log.warning,
    **watching: Any,
) -> StoredEngine:
    """The plan for this precision and this machine; where there is none that fits, `tell` says why and it is built.

    `recipe=None` takes the plan as it was built, and builds one by its sidecar's recipe, or by the default one.
    `gpu` and `trt` are found where they are not given: raises `BackendUnavailable` where there is none. `watching` goes
    to `edgeseg.engine.builder.build`: progress, cancelled.
    """
    gpu = gpu or require_gpu()
    trt = trt or import_tensorrt()
    try:
        return find_engine(bundle, precision, tensorrt=str(trt.__version__), gpu=gpu, recipe=recipe)
    except EngineMismatch as miss:
        asked = replace(recipe or _recipe_of(miss.path) or EngineRecipe(), precision=precision)
        bundle.graph_path(asked.graph)  # says what the bundle has, before anything is promised
        tell(f"{miss.path} {miss.cause}; it is built now, which takes minutes on a Jetson")
    return build_engine(bundle, asked, gpu=gpu, trt=trt, **watching)


def build_engine(bundle: Bundle, recipe: EngineRecipe, *, gpu: Gpu, trt: Any, **watching: Any) -> StoredEngine:
    """Build the engine and keep it: in the bundle, or in the cache where that cannot be written to.

    The sidecar is removed first and written last: a kill in between leaves a plan without papers, which is not loaded.
    `watching` and what it raises: `edgeseg.engine.builder.build`.
    """
    if gpu.index != 0:
        Cuda(gpu.index)  # TensorRT builds for the thread's device, which is the first unless CUDA is told otherwise
    recipe = with_sizes(recipe, bundle.contract)
    built = build(
        bundle.graph_bytes(recipe.graph),
        recipe,
        trt=trt,
        gpu=gpu,
        contract=bundle.contract,
        opset=bundle.manifest.graphs[recipe.graph].opset,
        timing_cache=cache_folder() / TIMINGS,
        **watching,
    )
    inside, cache = engine_folders(bundle)
    path = plan_path(inside if _writable(inside) else cache, recipe.precision)
    sidecar = _sidecar_of(built, recipe, graph_sha256(bundle, recipe), str(trt.__version__), gpu)
    sidecar_path(path).unlink(missing_ok=True)
    write_bytes(path, built.plan_bytes)
    write_bytes(sidecar_path(path), sidecar.to_bytes())
    return StoredEngine(path, built.plan_bytes, sidecar)


def with_sizes(recipe: EngineRecipe, contract: Contract) -> EngineRecipe:
    """The recipe, with limits for a graph that takes frames of any size where it gives none: TensorRT wants some."""
    if contract.camera_hw is not None or recipe.camera_min is not None:
        return recipe
    height, width = contract.network_hw
    low, high = SMALLEST_HW, LARGEST_HW
    return replace(
        recipe,
        camera_min=(min(low[0], height), min(low[1], width)),
        camera_opt=(height, width),
        camera_max=(max(high[0], height), max(high[1], width)),
    )


def read_sidecar(plan: Path) -> Sidecar:
    """The sidecar beside a plan; raises `EngineMismatch` where it, or the plan, is missing, or where it is damaged."""
    path = sidecar_path(plan)
    if not plan.is_file():
        raise EngineMismatch(plan, "is missing, and its sidecar is there" if path.exists() else "is not there")
    if not path.is_file():
        raise EngineMismatch(plan, f"has no sidecar ({path.name}), so nobody knows what it was built from")
    try:
        return Sidecar.from_bytes(path.read_bytes())
    except BundleError as error:
        raise EngineMismatch(plan, f"has a sidecar that cannot be used: {str(error).rstrip('.')}") from error
    except OSError as error:
        raise EngineMismatch(plan, f"has a sidecar that cannot be read ({error.strerror})") from error


def _sidecar_of(built: BuiltEngine, recipe: EngineRecipe, onnx_sha256: str, tensorrt: str, gpu: Gpu) -> Sidecar:
    if built.plan.sizes is None:
        raise ConfigError("an engine is built for frames of known sizes; this plan has none.")
    return Sidecar(
        precision=graph_precision(recipe.precision, "tensorrt"),
        onnx_sha256=onnx_sha256,
        plan_sha256=hashlib.sha256(built.plan_bytes).hexdigest(),
        plan_bytes=len(built.plan_bytes),
        tensorrt=tensorrt,
        gpu=gpu.name,
        compute_capability=gpu.compute_capability,
        multiprocessors=gpu.multiprocessors,
        sizes=built.plan.sizes,
        recipe=recipe_record(recipe),
        steps=tuple(f"{step}: {step.reason}" for step in built.plan.steps),
        warnings=(*built.plan.warnings, *built.warnings),
        fallback=built.fallback,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        seconds=round(float(built.seconds), 3),
        edgeseg=__version__,
    )


def _wanted(
    bundle: Bundle, precision: str, tensorrt: str, gpu: Gpu, recipe: EngineRecipe | None, sidecar: Sidecar
) -> Wanted:
    precision = graph_precision(precision, "tensorrt")
    recipe = None if recipe is None else replace(with_sizes(recipe, bundle.contract), precision=precision)
    built_by = recipe or sidecar.build_recipe() or EngineRecipe(precision=precision)
    return Wanted(
        precision=precision,
        onnx_sha256=graph_sha256(bundle, replace(built_by, precision=precision)),
        tensorrt=tensorrt,
        gpu=gpu,
        camera_hw=bundle.contract.camera_hw,
        recipe=recipe,
    )


def graph_sha256(bundle: Bundle, recipe: EngineRecipe) -> str:
    """Of the graph that this recipe builds from; raises `BundleError` where the bundle has none."""
    return bundle.manifest.files[bundle.graph_path(recipe.graph).relative_to(bundle.path).as_posix()]


def read_plan(path: Path, sidecar: Sidecar) -> bytes:
    """The plan, hashed after it was read: what is returned is what the sidecar says, whatever the disk does."""
    try:
        # Asked first, so that something huge in the plan's place is not read into memory.
        problem = sidecar.size_problem(path.stat().st_size)
        plan = b"" if problem else path.read_bytes()
    except OSError as error:
        raise EngineMismatch(path, f"cannot be read ({error.strerror})") from error
    problem = problem or sidecar.plan_problem(plan)
    if problem:
        raise EngineMismatch(path, problem)
    return plan


def _recipe_of(path: Path) -> EngineRecipe | None:
    """How a plan was built, if its sidecar is sound."""
    try:
        return read_sidecar(path).build_recipe()
    except EngineMismatch:
        return None


def _writable(folder: Path) -> bool:
    return os.access(folder if folder.is_dir() else folder.parent, os.W_OK | os.X_OK)
