"""Trained model → bundle: export, convert, compare, and deliver only what passed."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from onnx import ModelProto

from edgeseg.bundle import Bundle, BundleWriter
from edgeseg.errors import ConfigError
from edgeseg.files import write_bytes
from edgeseg.graph.contract import OPSET
from edgeseg.graph.export import ExportedGraph, export_graph
from edgeseg.graph.fp16 import Fp16Graph, convert_to_fp16
from edgeseg.graph.frames import FRAMES_FROM, SCENES, NamedFrame, road_scenes
from edgeseg.graph.golden import golden_frames, replay
from edgeseg.graph.observe import statistics
from edgeseg.graph.parity import ParityReport, measure_parity
from edgeseg.graph.recipe import ExportConfig
from edgeseg.graph.reference import torch_logits
from edgeseg.models.checkpoint import ACCURACY, TrainedModel
from edgeseg.runtime.ort import OrtSession

SUFFIX = ".edgeseg"


@dataclass(frozen=True, slots=True)
class Int8Graphs:
    """INT8 graphs that were found good, and the evidence."""

    graphs: Mapping[str, ModelProto]
    """By precision: int8-cpu, int8-trt."""
    record: Mapping[str, Any]
    """For the manifest: calibration, budget, accuracy, layers that stayed in float and why."""


Quantise = Callable[[ExportedGraph, Mapping[str, ModelProto]], Int8Graphs]
"""What adds INT8 to a delivery: the export and its float graphs by precision → INT8 graphs; raises `GateError` where
none is good enough. `edgeseg.quantize.deliver` makes one."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What an export gave: a bundle, or the graphs that failed, kept for a look."""

    parity: ParityReport
    bundle: Bundle | None
    kept: Mapping[str, Path]
    """Precision → file of a graph that failed its gate."""
    int8: Mapping[str, Any] | None = None
    """What the manifest says of INT8, where it was asked for."""

    def raise_if_failed(self) -> None:
        """Raise `GateError` with the reason and the place of the failed graph."""
        if self.bundle is None:
            failed = next(iter(self.kept.values()))
            self.parity.raise_if_failed(
                f"No bundle was written; the graph is kept as {failed}. "
                f"Find the layer with: edgeseg parity {failed} --checkpoint CHECKPOINT --locate"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        bundle = self.bundle
        graphs = {precision: str(bundle.graph_path(precision)) for precision in bundle.precisions} if bundle else {}
        return {
            "bundle": str(bundle.path) if bundle else None,
            "graphs": graphs,
            "parity": self.parity.to_dict(),
            "int8": None if self.int8 is None else dict(self.int8),
            "failed": {precision: str(path) for precision, path in self.kept.items()},
        }


def deliver(
    trained: TrainedModel,
    config: ExportConfig,
    path: Path | str,
    *,
    name: str | None = None,
    quantise: Quantise | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
) -> Delivery:
    """Export `trained` to a bundle at `path`, if every graph passes its gate; `quantise` adds INT8 graphs.

    If one does not, nothing is written at `path`, an older bundle there stays, and the failed graph is kept beside it
    as `STEM.model.PRECISION.failed.onnx`. Raises `ConfigError` or `BundleError` for a path that will not do, and what
    `quantise` raises.
    """
    path = Path(path)
    require_bundle_name(path)
    if config.int8 and quantise is None:
        raise ConfigError("int8 asks for graphs that are calibrated and judged first: deliver needs `quantise`.")
    network_hw = config.size_hw or trained.size_hw
    camera_hw = None if config.dynamic else config.camera_hw or network_hw
    # Made first, because it refuses a path that holds something else before the work is done.
    writer = BundleWriter(
        path,
        name=name or path.stem,
        label_map=trained.label_map,
        network_hw=network_hw,
        camera_hw=camera_hw,
        mean=trained.mean,
        std=trained.std,
        confidence=config.confidence,
        clock=clock,
    )
    exported = export_graph(trained, config)
    scenes = road_scenes(camera_hw, network_hw)
    graphs = {"fp32": exported.model}
    half = _half_graph(exported, scenes, config) if config.fp16 else None
    if half is not None:
        graphs["fp16"] = half.model
    measure = partial(
        measure_parity,
        frames=[scene.frame_bgr for scene in scenes],
        label_map=trained.label_map,
        reference=partial(torch_logits, exported.sealed),
        frames_from=FRAMES_FROM,
    )
    parity = measure(graphs)
    int8: Int8Graphs | None = None
    if quantise is not None and parity.passed:  # it takes minutes, and there is no INT8 of a graph that failed
        int8 = quantise(exported, graphs)
        graphs.update(int8.graphs)
        parity = measure(graphs)
    if not parity.passed:
        record = None if int8 is None else int8.record
        return Delivery(parity, None, _keep(graphs, parity.failed_precisions, path), record)
    golden = golden_frames(scenes, parity, exported.sealed, confidence=config.confidence)
    files = {precision: model.SerializeToString() for precision, model in graphs.items()}
    replays = {precision: replay(precision, file, golden) for precision, file in files.items()}
    latency = {precision: found.median_ms for precision, found in replays.items()}
    quantised = {precision: replays[precision] for precision in (int8.graphs if int8 else ())}
    with writer:
        for precision, file in files.items():
            writer.add_graph(precision, file, opset=OPSET, params=_parameters(trained))
        for frame in golden:
            writer.add_golden(
                frame.name,
                frame.frame_bgr,
                frame.labels,
                confidence=frame.confidence,
                differing={precision: found.differing[frame.name] for precision, found in quantised.items()},
                confidence_off={
                    precision: found.confidence_off.get(frame.name, 0.0) for precision, found in quantised.items()
                },
            )
        record = parity.to_dict() | ({"fp16_conversion": half.to_dict()} if half else {})
        bundle = writer.finish(
            lineage=_lineage(trained) | {"graph_passes": dict(exported.rewrites)},
            parity=record,
            accuracy=trained.lineage.get(ACCURACY),
            latency={"median_ms": latency, "backend": OrtSession.backend, "machine": _machine()},
            int8=int8.record if int8 else None,
        )
    return Delivery(parity, bundle, {}, bundle.manifest.int8)


def require_bundle_name(path: Path) -> None:
    """Raise `ConfigError` for a path that does not end as a bundle's does."""
    if path.suffix != SUFFIX:
        raise ConfigError(f"{path} is not a bundle's name; it ends in {SUFFIX}: try {path.name}{SUFFIX}.")


def _half_graph(exported: ExportedGraph, scenes: list[NamedFrame], config: ExportConfig) -> Fp16Graph:
    seen = statistics(exported.model, [scene.frame_bgr for scene in scenes[: len(SCENES)]])
    return convert_to_fp16(exported.model, seen, dynamic=config.dynamic)


def _machine() -> str:
    """What the latency was measured on, without a name that would tell whose machine it is."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"


def _keep(graphs: Mapping[str, ModelProto], precisions: tuple[str, ...], path: Path) -> dict[str, Path]:
    kept = {}
    for precision in precisions:
        kept[precision] = path.with_name(f"{path.stem}.model.{precision}.failed.onnx")
        write_bytes(kept[precision], graphs[precision].SerializeToString())
    return kept


def _parameters(trained: TrainedModel) -> int:
    return sum(parameter.numel() for parameter in trained.network.parameters())


def _lineage(trained: TrainedModel) -> dict[str, Any]:
    """Where the graphs come from. The checkpoint's folder is left out: it means nothing on another machine."""
    return {
        "checkpoint": Path(trained.source).name,
        "checkpoint_sha256": trained.sha256,
        "network": trained.spec.to_dict(),
        "training": trained.lineage,
        "tools": {package: version(package) for package in ("torch", "onnx", "onnxscript", "onnxruntime")},
    }
