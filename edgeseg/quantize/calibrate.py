"""Checkpoint and calibration set → a folder with the set, its audit, a contact sheet and the ranges; or a refusal."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from onnx import ModelProto

from edgeseg.data import dataset_format
from edgeseg.data.sheet import draw_grid, save_picture
from edgeseg.errors import ConfigError
from edgeseg.files import atomic_folder, write_bytes, write_json
from edgeseg.quantize.audit import AuditReport
from edgeseg.quantize.calibration_set import FILE_NAME, CalibrationSet, Progress
from edgeseg.quantize.frame_source import FrameSource
from edgeseg.quantize.ranges import RangeTable, observe_ranges
from edgeseg.quantize.tensorrt_cache import calibration_cache

RANGES_NAME, AUDIT_NAME, SHEET_NAME = "ranges.json", "audit.json", "contact_sheet.png"
CACHE_NAME = "calibration.cache"
"""As NVIDIA's samples call it, and `trtexec --calib` takes it."""

_SHEET_FRAMES = 32
"""More than these are drawn by a choice evenly spread over the set."""


def write_calibration(
    model: ModelProto,
    calibration: CalibrationSet,
    report: AuditReport,
    folder: Path,
    *,
    tensorrt: tuple[int, int, int] | None = None,
    progress: Progress | None = None,
) -> RangeTable:
    """Observe an FP32 sealed graph on the set; write calibration.json, audit.json, ranges.json and a contact sheet.

    For a version of `tensorrt` there is a calibration cache too. All of them or none: raises `GateError` where the
    audit failed, `OutputError` where `folder` holds something.
    """
    report.raise_if_failed()
    with atomic_folder(folder) as temporary:
        table = observe_ranges(model, calibration, calibration_digest=calibration.digest, progress=progress)
        calibration.save(temporary / FILE_NAME)
        table.save(temporary / RANGES_NAME)
        write_json(temporary / AUDIT_NAME, report.to_dict())
        if tensorrt is not None:
            write_bytes(temporary / CACHE_NAME, calibration_cache(model, table, version=tensorrt).encode())
        save_contact_sheet(temporary / SHEET_NAME, calibration)
    return table


def saved_ranges(place: Path | str) -> RangeTable | None:
    """The ranges that `edgeseg calibrate` wrote beside the calibration set at `place`; None where there are none.

    Raises `DataError` for a file that is no range table.
    """
    path = Path(place)
    folder = path if path.is_dir() else path.parent
    if not ((path.is_dir() or path.name == FILE_NAME) and (folder / RANGES_NAME).is_file()):
        return None
    return RangeTable.load(folder / RANGES_NAME)


def save_contact_sheet(path: Path, calibration: CalibrationSet) -> None:
    """PNG of the set's frames, with their names; of a large set 32, evenly spread. Written atomically."""
    kept = set(np.linspace(0, len(calibration) - 1, min(_SHEET_FRAMES, len(calibration))).astype(int).tolist())
    tiles = [(named.frame_bgr, named.name) for number, named in enumerate(calibration.named()) if number in kept]
    sources = ", ".join(source.title for source in calibration.sources[:2])
    more = f" and {len(calibration.sources) - 2} more" if len(calibration.sources) > 2 else ""
    shown = f"{len(tiles)} of {len(calibration)} frames" if len(tiles) < len(calibration) else f"{len(tiles)} frames"
    save_picture(path, draw_grid(tiles, f"{shown} of {sources}{more}, seed {calibration.seed}"))


def measured_on(source: FrameSource, splits: Collection[str] = ()) -> list[FrameSource]:
    """The splits of the source's dataset that a set must have no frame of: those named, by default its test split.

    Raises `ConfigError` where splits of images or a video are asked for: they have none.
    """
    if source.format is None:
        if splits:
            raise ConfigError(f"{source.title} has no splits; name the dataset that is measured on.")
        return []
    if splits:
        return [FrameSource(source.place, source.format, split) for split in splits]
    known = dataset_format(source.format).splits(Path(source.place))
    return [FrameSource(source.place, source.format, "test")] if "test" in known else []
