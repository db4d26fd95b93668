"""Mapillary Vistas (Neuhold et al., ICCV 2017; mapillary.com/dataset/vistas): its classes come with it, as JSON.

    config_v1.2.json  config_v2.0.json     labels in id order: name, color, evaluate; config.json in older releases
    SPLIT/images/NAME.jpg                  SPLIT is training or validation; testing has no labels
    SPLIT/v1.2/labels/NAME.png             palette PNG, index = position in the config; SPLIT/labels/ in older releases

Classes are the labels of the config that are evaluated, under their `name` (construction--flat--road); the others are
void. Where a folder holds two versions of the labels, `training` is the older one, with the 65 classes of the
literature, and `training-v2.0` the newer.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgeseg.data.format import DatasetFormat, has_any
from edgeseg.data.pairs import Pair, PairedDataset, require_folder
from edgeseg.data.values import ValueTable
from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import LabelMap

_VERSIONS = {"labels": "config.json", "v1.2/labels": "config_v1.2.json", "v2.0/labels": "config_v2.0.json"}
"""Folder of masks below the split → the config that explains them."""
_PARTS = ("training", "validation")
_VOID = 255


def open_mapillary(root: Path | str, split: str) -> PairedDataset:
    """Vistas split `training`, `validation` or one of them with `-v2.0`, ordered by name; raises `DataError`."""
    folder = require_folder(root)
    masks_of = _masks_of(folder)
    if split not in masks_of:
        reason = "the labels of its test images are not public" if split == "testing" else "no such folder of labels"
        raise DataError(f"{folder}: no split {split!r}: {reason}. Choose {', '.join(masks_of) or 'another folder'}.")
    part, version = masks_of[split]
    images, masks = require_folder(folder, part, "images"), folder / part / version
    pairs = [Pair(images / f"{mask.stem}.jpg", mask) for mask in sorted(masks.glob("*.png"))]
    return PairedDataset(f"mapillary {split}", pairs, read_config(folder / _VERSIONS[version]))


def _masks_of(root: Path) -> dict[str, tuple[str, str]]:
    """Split → sub-folder of the root and folder of masks in it."""
    found: dict[str, tuple[str, str]] = {}
    for part in _PARTS:
        for version in _VERSIONS:
            if (root / part / version).is_dir():
                found[f"{part}-{Path(version).parts[0]}" if part in found else part] = (part, version)
    return found


def read_config(path: Path) -> ValueTable:
    """Classes and the coding of masks from a Vistas config; raises `DataError` naming the file and what is wrong."""
    try:
        entries = json.loads(path.read_bytes())["labels"]
        evaluated = [(value, entry) for value, entry in enumerate(entries) if _evaluated(entry)]
        label_map = LabelMap(
            tuple(str(entry["name"]) for _, entry in evaluated),
            tuple((int(red), int(green), int(blue)) for red, green, blue in (entry["color"] for _, entry in evaluated)),
            _VOID,
        )
        ids = dict.fromkeys(range(len(entries)), _VOID)
        return ValueTable(label_map, ids | {value: index for index, (value, _) in enumerate(evaluated)})
    except FileNotFoundError as error:
        raise DataError(f"{path}: the config that names the classes is missing. Copy it from the archive.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from error
    except (
        KeyError,
        TypeError,
        ValueError,
        OverflowError,
        RecursionError,
        ConfigError,
    ) as error:  # JSON and UTF-8 errors are ValueErrors
        raise DataError(f"{path}: not a Vistas config ({error}). Copy it from the archive again.") from error


def _evaluated(entry: dict[str, Any]) -> bool:
    return bool(entry["evaluate"]) and entry["name"] != "void--unlabeled"


FORMAT = DatasetFormat(
    open_mapillary,
    lambda root: list(_masks_of(root)),
    lambda root: bool(_masks_of(root)) and has_any(*_VERSIONS.values())(root),
    "training/v1.2/labels/ and config_v1.2.json",
)
