"""INT8 for a delivery: ranges observed, both dialects written, each within the accuracy budget, or refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from onnx import ModelProto

from edgeseg.data import SegmentationDataset
from edgeseg.errors import ConfigError, GateError
from edgeseg.files import write_json
from edgeseg.graph.deliver import Int8Graphs
from edgeseg.graph.export import ExportedGraph
from edgeseg.graph.locate import module_of
from edgeseg.labels import LabelMap
from edgeseg.quantize.budget import SEEN_MARGIN, Budget, Mix
from edgeseg.quantize.dialects import DIALECTS, QuantizedGraph
from edgeseg.quantize.front import save_front
from edgeseg.quantize.judge import Judge, all_sized, sized
from edgeseg.quantize.ranges import METHODS, RangeTable, graph_digest, observe_ranges
from edgeseg.quantize.scoring import Agreement, segmenter
from edgeseg.quantize.seen import seen_in
from edgeseg.quantize.sensitivity import LayerLoss
from edgeseg.quantize.trained_ranges import TRAINED, with_trained_ranges
from edgeseg.types import Frame

METHOD_ORDER = ("mse", "moving-average", "min-max", "percentile", "entropy")
"""Ways of choosing ranges, in the order in which they are tried: by the mIoU that the default model loses on CamVid's
validation frames, 0.07, 0.08, 0.08, 0.17 and 0.37 points."""

HELD_BACK = 4
"""Without an evaluation set every so-many-th calibration frame is judged on instead of calibrated on."""

MIN_JUDGED = 2
"""Frames to judge by, for there to be a bound. It is six times as wide on two as on many (`confidence.student_t`)."""

UNTIMED = "TensorRT runs this graph; ONNX Runtime, where there is none, tells what it computes and not how fast it is"


class CalibrationFrames(Protocol):
    """What INT8 is calibrated on: `edgeseg.quantize.calibration_set.CalibrationSet`."""

    @property
    def digest(self) -> str:
        """Hexadecimal digest of the frames and their order."""
        ...

    def summary(self) -> dict[str, Any]:
        """What they are, for the manifest."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Frame]: ...


@dataclass(frozen=True)
class Int8Config:
    """How INT8 is made and judged. Raises `ConfigError` for what cannot be."""

    calibration: CalibrationFrames
    evaluation: SegmentationDataset | None = None
    """Labelled frames in the model's classes; None: agreement with FP32 on calibration frames that are held back."""
    budget: Budget = field(default_factory=Budget)
    methods: tuple[str, ...] = METHOD_ORDER
    """Ways of choosing ranges, in the order in which they are tried."""
    threads: int = min(2, os.cpu_count() or 1)
    """CPU threads of the latency figures."""
    note: str | None = None
    """What the manifest must say besides, such as that the frames are drawn."""
    ranges: RangeTable | None = None
    """Observed before; used where they are of this very graph and of all frames of `calibration`."""
    lineage: Mapping[str, Any] = field(default_factory=dict)
    """The checkpoint's. Ranges that it was trained with (`edgeseg train --qat`) are tried before `methods`."""
    training_data: Sequence[Mapping[str, Any]] = ()
    """What the checkpoint was trained on (`edgeseg.quantize.seen`): judged by these frames, INT8 looks better."""

    def __post_init__(self) -> None:
        require_methods(self.methods)
        if self.evaluation is None and len(self.calibration) < MIN_JUDGED * HELD_BACK:
            raise ConfigError(
                f"{len(self.calibration)} calibration frames and no labelled ones: expected at least "
                f"{MIN_JUDGED * HELD_BACK}, because every {HELD_BACK}th is held back to judge on."
            )
        if self.evaluation is not None and len(self.evaluation) < MIN_JUDGED:
            raise ConfigError(
                f"{self.evaluation.name}: {len(self.evaluation)} labelled frame; expected at least {MIN_JUDGED}, "
                "because one alone does not tell what INT8 loses on others."
            )


def require_methods(methods: Sequence[str]) -> None:
    """Raise `ConfigError` unless each is a way of choosing ranges, and there is one."""
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods:
        raise ConfigError(f"ranges by {', '.join(unknown) or 'nothing'}: choose from {', '.join(METHODS)}.")


def int8_within_budget(
    exported: ExportedGraph,
    floats: Mapping[str, ModelProto],
    *,
    config: Int8Config,
    label_map: LabelMap,
    report_stem: Path,
    tell: Callable[[str], None] = lambda _: None,
) -> Int8Graphs:
    """Both INT8 graphs of an export; `GateError` where one is over budget, or slower than float on this machine.

    All that was tried is in `STEM.int8.json` and, as a picture for each dialect, in `STEM.int8-cpu.png` and
    `STEM.int8-trt.png`, whether it was refused or not. `floats` are the FP32 and FP16 graphs that INT8 has to beat.
    `tell` is given a line after each step that takes long.
    """
    camera_hw = exported.sealed.camera_hw
    calibrated, judged = _divide(config, floats["fp32"], label_map, camera_hw)
    table = _ranges(config, exported, all_sized(calibrated, camera_hw), tell)
    table = with_trained_ranges(table, config.lineage)
    methods = (*(method for method in table.ranges if method == TRAINED), *config.methods)
    seen = seen_in(judged.name, config.training_data)
    if seen is not None:
        tell(
            f"judged on {judged.name}, which the network was trained on ({seen}): it is surer of these frames than of "
            f"new ones, so {SEEN_MARGIN:g} points are added to the drop of mIoU; "
            "name other labelled frames with --int8-data"
        )
    judge = Judge(exported, floats, table, judged, label_map, threads=config.threads, tell=tell, seen=seen is not None)
    record: dict[str, Any] = {
        "calibration": {**config.calibration.summary(), "observed_frames": table.frames},
        "evaluation": {
            "dataset": judged.name,
            "frames": len(judged),
            "labelled": config.evaluation is not None,
            "part_of_training_data": seen,
        },
        "budget": asdict(config.budget),
        "note": config.note,
        "fp32": judge.fp32.to_dict(),
    }
    graphs: dict[str, ModelProto] = {}
    entries: dict[str, dict[str, Any]] = {}
    tried: dict[str, list[dict[str, Any]]] = {}
    refusal = None
    for dialect, precision in DIALECTS.items():
        found = judge.search(dialect, methods, config.budget)
        tried[precision] = [mix.to_dict() for mix in found.mixes]
        picture = _beside(report_stem, f"{precision}.png")
        save_front(picture, found, judge.fp32, config.budget, f"{report_stem.name} {precision}")
        if found.chosen is None:
            refusal = f"{precision}: {found.refusal}"
            break
        graph = judge.build(dialect, found.chosen.method, found.chosen.kept)
        graphs[precision] = graph.model
        modules = {node.name: module_of(node) for node in exported.model.graph.node}
        entries[precision] = _entry(found.chosen, graph, judge.losses.get(dialect, []), modules, config.threads)
    record["graphs"] = entries
    report = _beside(report_stem, "int8.json")
    write_json(report, {**record, "refused": refusal, "tried": tried})
    if refusal is not None:
        raise GateError(
            f"INT8 is refused. {refusal}. No bundle was written; what was tried is in {report}. "
            "Export without --int8, allow more, or calibrate on frames like those of the camera."
        )
    return Int8Graphs(graphs, record)


def _ranges(
    config: Int8Config, exported: ExportedGraph, frames: Iterator[Frame], tell: Callable[[str], None]
) -> RangeTable:
    """Those observed before, if nothing speaks against them, or observed now."""
    digest = config.calibration.digest
    if (saved := config.ranges) is not None:
        reasons = {
            "of another graph": saved.graph_sha256 != graph_digest(exported.model),
            "of other frames": saved.calibration_digest != digest,
            "also of frames that are held back to judge by": config.evaluation is None,
        }
        if not any(reasons.values()):
            tell(f"ranges of all tensors, observed on {saved.frames} frames, taken from the calibration folder")
            return saved
        why = next(reason for reason, holds in reasons.items() if holds)
        tell(f"the calibration folder's ranges are {why}: they are observed again")
    table = observe_ranges(exported.model, frames, calibration_digest=digest)
    tell(f"ranges of all tensors observed on {table.frames} frames")
    return table


def _divide(
    config: Int8Config, fp32: ModelProto, label_map: LabelMap, camera_hw: tuple[int, int] | None
) -> tuple[Iterator[Frame], SegmentationDataset]:
    """Frames to calibrate on, one at a time, and frames to judge by."""
    if config.evaluation is not None:
        return iter(config.calibration), config.evaluation
    held = [
        sized(frame_bgr, camera_hw)
        for index, frame_bgr in enumerate(config.calibration)
        if index % HELD_BACK == HELD_BACK - 1
    ]
    others = (frame for index, frame in enumerate(config.calibration) if index % HELD_BACK != HELD_BACK - 1)
    with segmenter(fp32.SerializeToString(), "fp32", label_map) as segment:
        truth = [segment(frame_bgr).labels for frame_bgr in held]
    return others, Agreement(held, truth, label_map)


def _entry(
    mix: Mix, graph: QuantizedGraph, losses: Sequence[LayerLoss], modules: Mapping[str, str], threads: int
) -> dict[str, Any]:
    """What the manifest says of a graph."""
    by_layer = {loss.layer: loss.to_dict() for loss in losses}
    return {
        **mix.to_dict(),
        "kept": {layer: {"module": modules[layer], **by_layer[layer]} for layer in mix.kept},
        "threads": threads,
        "untimed_because": UNTIMED if mix.latency_ms is None else None,
        "conversion": dict(graph.report),
    }


def _beside(stem: Path, suffix: str) -> Path:
    """`road` and `int8.json` → `road.int8.json`; a stem with a dot in it keeps it."""
    return stem.with_name(f"{stem.name}.{suffix}")
