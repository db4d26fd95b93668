"""Which frames INT8 is calibrated on and which it is judged by, from what a person names, or names not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeseg.data import Sample, SegmentationDataset, dataset_format, detect_format, open_dataset
from edgeseg.data.synthetic.dataset import open_synthetic
from edgeseg.errors import ConfigError
from edgeseg.graph.frames import SCENES
from edgeseg.labels import LabelMap
from edgeseg.metrics.evaluate import require_same_classes
from edgeseg.quantize.audit import AuditReport, audit
from edgeseg.quantize.calibrate import measured_on
from edgeseg.quantize.calibration_set import (
    DEFAULT_COUNT,
    DEFAULT_SEED,
    CalibrationSet,
    choose_frames,
    open_calibration,
    synthetic_sources,
)
from edgeseg.quantize.frame_source import SYNTHETIC, FrameSource, find_source

JUDGED_SPLIT = "val"
"""Split that is judged by where the calibration data is a labelled dataset and nothing else is named: choosing layers
to keep is a choice, and the test split is for none."""

DRAWN_FRAMES = 30
"""Frames of each weather that the drive is judged by. Of 12, a class's IoU moved by half a point with nothing to it."""

DRAWN = (
    "calibrated and judged on drawn roads, because no camera's frames were given; give some with --calibration-data "
    "before you trust the figures"
)
CALIBRATED_DRAWN = "calibrated on drawn roads, not on a camera's frames"
FIXED_CAMERA = "calibrated on frames that look like those it is judged by: a camera that never moves (--fixed-camera)"
UNLABELLED = "judged by agreement with FP32 on unlabelled frames: this is not accuracy; give labels with --int8-data"


@dataclass(frozen=True)
class Asked:
    """What a person named."""

    calibration_data: Path | str | None = None
    """Dataset, images, video, or a calibration set chosen before."""
    evaluation_data: Path | str | None = None
    """Labelled dataset."""
    format: str | None = None
    split: str | None = None
    mapping: str | None = None
    """Of the labelled dataset; the format is that of `calibration_data` where no other data is named."""
    count: int = DEFAULT_COUNT
    seed: int = DEFAULT_SEED
    fixed_camera: bool = False
    """Frames may look like those that are measured on; see `audit`."""


@dataclass(frozen=True)
class Int8Sources:
    """Frames to calibrate on and to judge by, audited."""

    calibration: CalibrationSet
    evaluation: SegmentationDataset | None
    """None: there are no labels."""
    audit: AuditReport
    note: str | None
    """What whoever reads the figures has to know."""


class Joined:
    """Several labelled datasets of the same classes, one after the other. A `SegmentationDataset`.

    Samples are kept in memory: to draw a frame takes longer than to segment it, and each graph is run on all of them.
    """

    def __init__(self, name: str, parts: Sequence[SegmentationDataset]) -> None:
        self._name = name
        self._parts = parts
        self._samples: dict[int, Sample] = {}

    @property
    def name(self) -> str:
        """As given."""
        return self._name

    @property
    def label_map(self) -> LabelMap:
        """That of each part."""
        return self._parts[0].label_map

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index}: expected 0 to {len(self) - 1}")
        if index not in self._samples:
            within = index
            for part in self._parts:
                if within < len(part):
                    self._samples[index] = part[within]
                    break
                within -= len(part)
        return self._samples[index]


def find_sources(
    asked: Asked, label_map: LabelMap, size_hw: tuple[int, int], progress: Callable[[int], None] | None = None
) -> Int8Sources:
    """Open, choose and audit; without any data the synthetic drive, different towns to calibrate and to judge.

    Raises `GateError` where the audit refuses the calibration set: noise, blank frames, frames of the split that is
    measured on. Raises `ConfigError` for labels of other classes than the model's, and what opening raises.
    """
    if asked.calibration_data is None:
        return _drawn(asked, label_map, size_hw)
    wanted = None if asked.evaluation_data is not None else asked.format
    calibration = open_calibration(
        asked.calibration_data, count=asked.count, seed=asked.seed, format=wanted, progress=progress
    )
    drawn = all(source.format == SYNTHETIC for source in calibration.sources)
    if drawn and asked.evaluation_data is None and asked.split is None:
        return _drawn(asked, label_map, size_hw, calibration)
    judged = _judged(asked, calibration, label_map)
    against = [*measured_on(calibration.sources[0]), *([] if judged is None else [judged])]
    report = audit(calibration, against=list(dict.fromkeys(against)), fixed_camera=asked.fixed_camera)
    report.raise_if_failed()
    notes = [FIXED_CAMERA] if any(found.kind == "fixed camera" for found in report.findings) else []
    if drawn:
        notes.append(CALIBRATED_DRAWN)
    if judged is None:
        return Int8Sources(calibration, None, report, "; ".join([UNLABELLED, *notes]))
    assert judged.format is not None
    assert judged.split is not None
    dataset = open_dataset(judged.format, judged.place, judged.split, judged.mapping)
    require_same_classes(label_map, dataset)
    return Int8Sources(calibration, dataset, report, "; ".join(notes) or None)


def _judged(asked: Asked, calibration: CalibrationSet, label_map: LabelMap) -> FrameSource | None:
    """The labelled frames: those named, else another split of the dataset that is calibrated on, if it will do."""
    split = asked.split or JUDGED_SPLIT
    if asked.evaluation_data is not None:
        form = asked.format or detect_format(asked.evaluation_data)
        return find_source(asked.evaluation_data, format=form, split=split, mapping=asked.mapping)
    source = calibration.sources[0]
    if source.format is None and asked.mapping is not None:
        raise ConfigError(f"{source.title} has no classes to map; name labelled frames with --int8-data.")
    if source.format is None or split not in dataset_format(source.format).splits(Path(source.place)):
        if asked.split is not None:
            raise ConfigError(f"{source.title} has no split {split}; name labelled frames with --int8-data.")
        return None
    if source.split == split:
        raise ConfigError(f"{source.title} cannot be judged by what it is calibrated on; name another --split.")
    judged = FrameSource(source.place, source.format, split, asked.mapping)
    found = judged.open().label_map
    return judged if asked.mapping is not None or (found is not None and found.names == label_map.names) else None


def _drawn(
    asked: Asked, label_map: LabelMap, size_hw: tuple[int, int], calibration: CalibrationSet | None = None
) -> Int8Sources:
    """Judged by the synthetic drive in all weathers, and calibrated on other towns of it where no set is given."""
    if asked.evaluation_data is not None:
        raise ConfigError("--int8-data is what INT8 is judged by; name what it is calibrated on: --calibration-data.")
    height, width = size_hw
    parts = [
        open_synthetic(f"seed={asked.seed}&scene={scene}&frames={DRAWN_FRAMES}&size={height}x{width}&step=60", "val")
        for scene in SCENES
    ]
    drive = Joined(f"synthetic val: {', '.join(SCENES)}", parts)
    if drive.label_map.names != label_map.names:
        raise ConfigError(
            "without frames INT8 is calibrated on drawn roads in CamVid's classes, and this model has others. "
            "Give frames of its own with --calibration-data."
        )
    if calibration is None:
        calibration = choose_frames(synthetic_sources(size_hw, asked.count, asked.seed), asked.count, asked.seed)
    report = audit(calibration)
    report.raise_if_failed()
    return Int8Sources(calibration, drive, report, DRAWN)
