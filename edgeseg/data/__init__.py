"""Labelled datasets. A new format is one file with a `FORMAT`, and one line in `FORMATS`."""

from __future__ import annotations

import importlib
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.data.base import Sample, SegmentationDataset
from edgeseg.data.format import DatasetFormat
from edgeseg.errors import ConfigError, DataError

if TYPE_CHECKING:
    from edgeseg.data.mapping import ClassMapping

__all__ = ["FORMATS", "Sample", "SegmentationDataset", "dataset_format", "detect_format", "open_dataset"]

FORMATS = {
    "camvid": "edgeseg.data.camvid",
    "kitti-road": "edgeseg.data.kitti_road",
    "voc": "edgeseg.data.voc",
    "cityscapes": "edgeseg.data.cityscapes",
    "kitti-semantic": "edgeseg.data.kitti_semantic",
    "bdd100k": "edgeseg.data.bdd100k",
    "bdd100k-drivable": "edgeseg.data.bdd100k_drivable",
    "mapillary": "edgeseg.data.mapillary",
    "labelme": "edgeseg.data.labelme",
    "eiseg": "edgeseg.data.eiseg",
    "sbd": "edgeseg.data.sbd",
    "coco": "edgeseg.data.coco",
    "coco-panoptic": "edgeseg.data.coco_panoptic",
    "coco-stuff": "edgeseg.data.coco_stuff",
    "oxford-pets": "edgeseg.data.oxford_pets",
    "folder": "edgeseg.data.folder",
    "synthetic": "edgeseg.data.synthetic",
}
"""Format name → module, loaded when first used, whose `FORMAT` is a `DatasetFormat`."""

_FOLDERS_TRIED = 50
"""Folders looked into for a dataset where the one that was named is none."""


def dataset_format(name: str) -> DatasetFormat:
    """The format called `name`; raises `ConfigError` naming the known ones."""
    if name not in FORMATS:
        raise ConfigError(f"dataset format {name!r} is unknown; choose one of: {', '.join(FORMATS)}.")
    found: DatasetFormat = importlib.import_module(FORMATS[name]).FORMAT
    return found


def open_dataset(
    format: str, root: Path | str, split: str, mapping: ClassMapping | Path | str | None = None
) -> SegmentationDataset:
    """Open `split` of the dataset at `root`; lists and file names are checked now, file contents when a sample is read.

    `root` is a folder or file, except for `synthetic`, where it describes the drive (`seed=7&scene=rain&frames=100`).
    `mapping` gives it other classes: a mapping, its file, or a shipped one by name; `driving` finds the one of this
    format, `camvid-to-driving`.
    Raises `ConfigError` for an unknown format or mapping and `DataError` for a folder that cannot be used.
    """
    opener = dataset_format(format).open
    if mapping is None:
        return opener(root, split)
    # Here, not above: it loads OpenCV, and `edgeseg --help` wants no more than the names of the formats.
    from edgeseg.data.mapped import map_classes
    from edgeseg.data.mapping import ClassMapping, read_mapping

    chosen = mapping if isinstance(mapping, ClassMapping) else read_mapping(mapping, source=format)
    return map_classes(opener(root, split), chosen)


def detect_format(root: Path | str) -> str:
    """Name of the format that `root` is laid out in; raises `DataError` where that is not certain."""
    path = Path(root)
    if not path.exists():
        raise DataError(f"{path}: no such dataset folder. Check the path.")
    found = _recognised(path)
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(f"{path}: looks like {' and '.join(found)} at once. Say which with --format.")
    below = ", ".join(f"{folder.name} ({' or '.join(names)})" for folder, names in _recognised_below(path))
    if below:
        raise DataError(f"{path}: not a dataset layout known here, but folders in it are: {below}. Choose one of them.")
    raise DataError(
        f"{path}: not a dataset layout known here. `edgeseg data formats` tells what each looks like; "
        "check the path or give --format."
    )


def _recognised(path: Path) -> list[str]:
    return [name for name in FORMATS if dataset_format(name).recognises(path)]


def _recognised_below(path: Path) -> list[tuple[Path, list[str]]]:
    """Folders right below `path` that are datasets, with the formats of each: a user often names the one above."""
    if not path.is_dir():
        return []
    folders = (entry for entry in sorted(path.iterdir()) if entry.is_dir() and not entry.name.startswith("."))
    found = ((folder, _recognised(folder)) for folder in islice(folders, _FOLDERS_TRIED))
    return [(folder, names) for folder, names in found if names]
