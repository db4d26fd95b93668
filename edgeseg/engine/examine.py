"""A bundle's engines looked at without a GPU: are they whole, and of this bundle's graphs?"""

from __future__ import annotations

from pathlib import Path

from edgeseg.bundle import Bundle
from edgeseg.engine.recipe import EngineRecipe
from edgeseg.engine.sidecar import OTHER_GRAPH
from edgeseg.engine.store import EngineMismatch, StoredEngine, engine_folders, graph_sha256, read_plan, read_sidecar


def examine_engines(bundle: Bundle) -> dict[str, str]:
    """Path of each plan → what it is or what is wrong with it, in words that go on from the path.

    A damaged one is no fault of the bundle's: it is never loaded, and built again where it is wanted.
    """
    return {str(path): _finding(bundle, path) for path in engine_paths(bundle)}


def engine_paths(bundle: Bundle) -> tuple[Path, ...]:
    """The plans that there are for this bundle, of whatever machine, and those of which only the sidecar is left."""
    found: set[Path] = set()
    for folder in engine_folders(bundle):
        found.update(folder.glob("*.plan"))
        found.update(sidecar.with_suffix("") for sidecar in folder.glob("*.plan.json"))
    return tuple(sorted(found))


def read_engine(bundle: Bundle, plan: Path) -> StoredEngine:
    """The plan at this path, whole and built from this bundle's graph; whether it fits this machine is not asked.

    Raises `EngineMismatch` where it is damaged or of another graph.
    """
    sidecar = read_sidecar(plan)
    if sidecar.precision != plan.stem:
        raise EngineMismatch(plan, f"is an engine in {sidecar.precision}, not in {plan.stem}")
    recipe = sidecar.build_recipe() or EngineRecipe(precision=sidecar.precision)
    if recipe.graph not in bundle.precisions or sidecar.onnx_sha256 != graph_sha256(bundle, recipe):
        raise EngineMismatch(plan, OTHER_GRAPH)
    return StoredEngine(plan, read_plan(plan, sidecar), sidecar)


def _finding(bundle: Bundle, path: Path) -> str:
    try:
        sidecar = read_engine(bundle, path).sidecar
    except EngineMismatch as miss:
        return f"{miss.cause}; it is not loaded, and built again where it is wanted"
    return f"matches its sidecar: built for {sidecar.gpu} with TensorRT {sidecar.tensorrt}"
