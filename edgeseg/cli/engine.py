"""`edgeseg engine build`: a bundle's graph becomes a TensorRT engine for this machine; `--dry-run` shows how.

TensorRT builds for the first GPU that CUDA shows; CUDA_VISIBLE_DEVICES chooses another.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeseg.cli.output import add_json_option, write_report
from edgeseg.errors import ConfigError

if TYPE_CHECKING:
    from edgeseg.bundle import Bundle
    from edgeseg.engine.builder import BuiltEngine
    from edgeseg.engine.capabilities import Capabilities
    from edgeseg.engine.devices import Device
    from edgeseg.engine.progress import Progress
    from edgeseg.engine.recipe import EngineRecipe
    from edgeseg.engine.steps import BuildPlan
    from edgeseg.engine.store import StoredEngine

_SETTINGS = ("precision", "workspace_mib", "optimization_level", "dla_core", "calibration_cache", "detailed_profiling")
"""Fields of a recipe that are options of the same name."""
_BAR = 30
_FALLBACK_SHOWN = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb and its options."""
    from edgeseg.types import ASKED_PRECISIONS

    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    summary = "build the engine of a bundle, unless one is there that fits"
    build = verbs.add_parser("build", help=summary, description=summary.capitalize() + ".")
    build.add_argument(
        "bundle", nargs="?", type=Path, metavar="BUNDLE", help="folder of the bundle; default: the default model's"
    )
    build.add_argument("--recipe", type=Path, metavar="FILE", help="settings as TOML, table [engine]: folder export/")
    build.add_argument(
        "--precision",
        choices=[name for name in ASKED_PRECISIONS if name != "int8-cpu"],
        help="the bundle's graph to build (default: fp16)",
    )
    build.add_argument(
        "--camera-size", metavar="HxW", help="of a graph for any size: these frames alone (a range: in a recipe)"
    )
    build.add_argument("--workspace-mib", type=int, metavar="N", help="memory that a layer may borrow while it runs")
    build.add_argument("--optimization-level", type=int, metavar="N", help="0 builds fastest, 5 searches longest")
    build.add_argument("--dla-core", type=int, metavar="N", help="run on this accelerator, the GPU where it cannot")
    build.add_argument("--calibration-cache", metavar="FILE", help="INT8 scales for DLA up to TensorRT 10")
    build.add_argument(
        "--detailed-profiling", action="store_true", default=None, help="keep and list what became of each layer"
    )
    build.add_argument("--rebuild", action="store_true", help="build also where an engine is there that fits")
    dry = build.add_argument_group("planning, on any machine")
    dry.add_argument("--dry-run", action="store_true", help="print the steps and leave")
    dry.add_argument("--tensorrt", metavar="VERSION", help="plan for this one; default: the one that is installed")
    dry.add_argument(
        "--device", metavar="NAME", help="plan for this one: orin, rtx40, …; default: the GPU here, or any"
    )
    add_json_option(build)


def run(args: argparse.Namespace) -> int:
    """Plan or build, and print."""
    recipe = _recipe(args)
    if args.dry_run:
        return _dry_run(args, recipe)
    planning = [f"--{name}" for name in ("tensorrt", "device") if getattr(args, name) is not None]
    if planning:
        raise ConfigError(
            f"{planning[0]} is for planning: add --dry-run. An engine is built by the TensorRT that is installed, for "
            "the GPU that is here."
        )
    return _build(args, recipe)


def _recipe(args: argparse.Namespace) -> EngineRecipe:
    """The file's settings, and the options where they do not contradict it: a recipe is what was agreed on."""
    from dataclasses import asdict

    from edgeseg.engine.recipe import EngineRecipe, read_recipe
    from edgeseg.graph.recipe import parse_size

    asked = {name: value for name in _SETTINGS if (value := getattr(args, name)) is not None}
    if args.camera_size is not None:
        asked |= dict.fromkeys(("camera_min", "camera_opt", "camera_max"), parse_size(args.camera_size))
    if args.recipe is None:
        return EngineRecipe(**asked)
    written, default = asdict(read_recipe(args.recipe)), asdict(EngineRecipe())
    for name, value in asked.items():
        if written[name] not in (default[name], value):
            raise ConfigError(f"{name} is {written[name]} in the recipe and {value} on the command line; remove one.")
    return EngineRecipe(**{**written, **asked})


def _dry_run(args: argparse.Namespace, recipe: EngineRecipe) -> int:
    from edgeseg.engine.plan import plan
    from edgeseg.engine.store import with_sizes

    bundle = _bundle_if_there(args.bundle)
    capabilities, device = _capabilities(args.tensorrt), _device(args.device)
    if bundle is None:
        made = plan(recipe, capabilities, device, None)
    else:
        bundle.graph_path(recipe.graph)  # refused here as it would be there
        opset = bundle.manifest.graphs[recipe.graph].opset
        made = plan(with_sizes(recipe, bundle.contract), capabilities, device, bundle.contract, opset=opset)
    print("\n".join(made.lines()))
    write_report(args, {"plan": plan_record(made)})
    return 0


def _bundle_if_there(named: Path | None) -> Bundle | None:
    """The bundle named; else the default model's, if there is one already: a plan needs none."""
    from edgeseg.bundle import Bundle
    from edgeseg.errors import UnavailableError
    from edgeseg.runtime.default import default_bundle

    try:
        return Bundle.open(named or default_bundle(None))
    except UnavailableError:
        return None


def _capabilities(version: str | None) -> Capabilities:
    from edgeseg.engine.capabilities import for_version, probe
    from edgeseg.engine.driver import import_tensorrt
    from edgeseg.errors import BackendUnavailable

    if version is not None:
        return for_version(version)
    try:
        return probe(import_tensorrt())
    except BackendUnavailable as error:
        raise BackendUnavailable(f"{str(error).rstrip('.')}; or name the one to plan for: --tensorrt 10.3") from error


def _device(name: str | None) -> Device:
    from edgeseg.engine.devices import DEVICES, device_of, find_device
    from edgeseg.engine.driver import require_gpu
    from edgeseg.errors import BackendUnavailable

    if name is not None:
        return find_device(name)
    try:
        return device_of(require_gpu())
    except BackendUnavailable:
        return DEVICES["any"]


def _build(args: argparse.Namespace, recipe: EngineRecipe) -> int:
    from edgeseg.bundle import Bundle
    from edgeseg.cli.defaults import bundle_path
    from edgeseg.engine.driver import import_tensorrt, require_gpu
    from edgeseg.engine.store import build_engine, ensure_engine

    # A wrong path is named before a missing GPU is; but the default bundle is not exported for a GPU that is not there.
    named = None if args.bundle is None else Bundle.open(args.bundle)
    gpu = require_gpu()
    trt = import_tensorrt()
    bundle = named or Bundle.open(bundle_path(None))
    bundle.graph_path(recipe.graph)
    fresh: list[BuiltEngine] = []
    bar = ProgressBar()
    watching: dict[str, Any] = {"progress": bar.show, "done": fresh.append}
    try:
        if args.rebuild:
            stored = build_engine(bundle, recipe, gpu=gpu, trt=trt, **watching)
        else:
            stored = ensure_engine(bundle, recipe.precision, recipe, gpu=gpu, trt=trt, tell=_tell, **watching)
    finally:
        bar.end()
    built = fresh[0] if fresh else None
    print(format_engine(stored, built))
    write_report(args, engine_record(stored, built))
    return 0


def _tell(line: str) -> None:
    print(f"edgeseg: {line}", file=sys.stderr, flush=True)


class ProgressBar:
    """A line on stderr that grows, where that is a terminal; elsewhere a line for each tenth."""

    def __init__(self) -> None:
        self._shown = -1
        self._terminal = sys.stderr.isatty()

    def show(self, progress: Progress) -> None:
        """Draw anew where a per cent has been added, or a tenth."""
        percent = int(100 * progress.fraction)
        now = percent if self._terminal else percent // 10
        if now <= self._shown:
            return
        self._shown = now
        if self._terminal:
            done = "#" * (_BAR * percent // 100)
            print(f"\r[{done:<{_BAR}}] {percent:3} %  {progress.phase[:40]:<40}", end="", file=sys.stderr, flush=True)
        else:
            _tell(f"building the engine: {percent} %")

    def end(self) -> None:
        """Leave the line, so that what follows begins a new one."""
        if self._terminal and self._shown >= 0:
            print(file=sys.stderr, flush=True)


def format_engine(stored: StoredEngine, built: BuiltEngine | None) -> str:
    """Where the engine is, what it is, which layers fell back, and what TensorRT warned of."""
    papers = stored.sidecar
    how = f"built in {built.seconds:.0f} s" if built is not None else "there already, and fits"
    lines = [
        f"{stored.path}: {how}",
        f"{papers.precision} for {papers.gpu}, TensorRT {papers.tensorrt}, {len(stored.plan) / 2**20:.1f} MiB",
    ]
    lines += _listed("layers that DLA cannot run are on the GPU", papers.fallback)
    if built is not None:
        lines += _listed("layers", [_layer_line(layer) for layer in built.layers])
    lines += [f"warning: {text}" for text in papers.warnings]
    return "\n".join(lines)


def _listed(what: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    shown = [f"  {name}" for name in names[:_FALLBACK_SHOWN]]
    more = [f"  and {len(names) - _FALLBACK_SHOWN} more: --json has all"] if len(names) > _FALLBACK_SHOWN else []
    return [f"{len(names)} {what}:", *shown, *more]


def _layer_line(layer: Mapping[str, Any]) -> str:
    kind = layer.get("LayerType")
    return f"{layer['Name']} ({kind})" if kind else str(layer["Name"])


def plan_record(made: BuildPlan) -> dict[str, Any]:
    """A plan as JSON."""
    from dataclasses import asdict

    return asdict(made)


def engine_record(stored: StoredEngine, built: BuiltEngine | None) -> dict[str, Any]:
    """What the sidecar says, and what only the build knows, as JSON."""
    papers = stored.sidecar
    return {
        "path": str(stored.path),
        "built_now": built is not None,
        "precision": papers.precision,
        "tensorrt": papers.tensorrt,
        "gpu": papers.gpu,
        "bytes": len(stored.plan),
        "seconds": papers.seconds,
        "sizes": papers.sizes,
        "dla_fallback": papers.fallback,
        "warnings": papers.warnings,
        "plan": None if built is None else plan_record(built.plan),
        "layers": None if built is None else built.layers,
    }
