"""Labelled datasets. A new format is one file with an `open` function, and one line in `FORMATS`."""

from __future__ import annotations

import importlib
from pathlib import Path

from edgeseg.data.base import Sample, SegmentationDataset
from edgeseg.errors import ConfigError, DataError

__all__ = ["FORMATS", "Sample", "SegmentationDataset", "detect_format", "open_dataset"]

FORMATS = {
    "camvid": "edgeseg.data.camvid:open_camvid",
    "kitti-road": "edgeseg.data.kitti_road:open_kitti_road",
    "voc": "edgeseg.data.voc:open_voc",
    "folder": "edgeseg.data.folder:open_folder",
    "synthetic": "edgeseg.data.synthetic:open_synthetic",
}
"""Format name → `module:function`, loaded when first used. Each function is `(root, split) -> SegmentationDataset`."""

_SIGNS = {
    "camvid": ("trainannot", "valannot", "testannot"),
    "kitti-road": ("training/gt_image_2",),
    "voc": ("ImageSets/Segmentation",),
    "folder": ("labels.toml",),
}
"""Format name → paths of which one is enough to recognise a dataset folder."""


def open_dataset(format: str, root: Path | str, split: str) -> SegmentationDataset:
    """Open `split` of the dataset at `root`; lists and file names are checked now, file contents when a sample is read.

    `root` is a folder, except for `synthetic`, where it describes the drive (`seed=7&scene=rain&frames=100`).
    Raises `ConfigError` for an unknown format and `DataError` for a folder that cannot be used.
    """
    if format not in FORMATS:
        raise ConfigError(f"dataset format {format!r} is unknown; choose one of: {', '.join(FORMATS)}.")
    module, function = FORMATS[format].split(":")
    dataset: SegmentationDataset = getattr(importlib.import_module(module), function)(root, split)
    return dataset


def detect_format(root: Path | str) -> str:
    """Name of the format that the folder `root` is laid out in; raises `DataError` where that is not certain."""
    folder = Path(root)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such dataset folder. Check the path.")
    found = [name for name, signs in _SIGNS.items() if any((folder / sign).exists() for sign in signs)]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(f"{folder}: looks like {' and '.join(found)} at once. Say which with --format.")
    signs = "; ".join(f"{name} has {' or '.join(signs)}" for name, signs in _SIGNS.items())
    raise DataError(f"{folder}: not a dataset layout known here ({signs}). Check the path or give --format.")
