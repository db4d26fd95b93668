"""Class mappings: from the classes of one dataset to those that a model is to learn. A mapping is a TOML file:

    target = "driving"              # a shipped taxonomy, or a file of classes as the plain folder's labels.toml
    default = "void"                # optional: where source classes go that are not named below

    [classes]                       # source class = target class, or "void"
    road = "road"
    car = "vehicle"
    bus = "vehicle"
    "ego vehicle" = "void"

In place of the name there can be a table `[target]` with the keys of labels.toml: names, palette, void. Without a
default every class of the source has to be named, so that none is lost by a slip.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgeseg.data.base import SegmentationDataset
from edgeseg.data.folder import coding_from, read_label_file
from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import CAMVID, VOC, LabelMap

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

VOID: Final = "void"
"""What stands for no class in a mapping file."""
REFUSE: Final = ""
"""As a `default`: a source class that is not named is an error."""

_SHIPPED = Path(__file__).resolve().parents[1] / "assets" / "mappings"
_TAXONOMIES = Path(__file__).resolve().parents[1] / "assets" / "taxonomies"
_BUILT_IN = {"camvid": CAMVID, "voc": VOC}
"""Targets that are a dataset's own classes."""
_SAME_CLASSES = {
    "bdd100k": "cityscapes",
    "kitti-semantic": "cityscapes",
    "synthetic": "camvid",
    "coco-panoptic": "coco-stuff",
    "sbd": "voc",
}
"""Format → the format whose classes it has, and whose mappings so fit it."""
_KEYS = ("target", "default", "classes")


@dataclass(frozen=True)
class ClassMapping:
    """Which target class each source class becomes. Checked at birth; raises `ConfigError`."""

    name: str
    target: LabelMap
    classes: Mapping[str, str | None]
    """Source class name → target class name, or None for void."""
    default: str | None = REFUSE
    """Target of source classes that `classes` does not name; None is void, `REFUSE` makes them an error."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", MappingProxyType(dict(self.classes)))
        if VOID in self.target.names:
            raise ConfigError(f"mapping {self.name}: a target class cannot be called {VOID!r}, which means no class.")
        for source, target in (*self.classes.items(), ("default", self.default or None)):
            if target is not None and target not in self.target.names:
                raise ConfigError(
                    f"mapping {self.name}: {source} = {target!r} is no target class; there are: "
                    f"{', '.join(self.target.names)}, and {VOID}."
                )

    def __reduce__(self) -> tuple[type[ClassMapping], tuple[Any, ...]]:
        """A mapping proxy cannot be pickled, and loader workers may be started by pickling."""
        return ClassMapping, (self.name, self.target, dict(self.classes), self.default)

    def target_of(self, source: str) -> str | None:
        """Target class of a source class, None for void; raises `ConfigError` for a class that is not named."""
        target = self.classes.get(source, self.default)
        if target == REFUSE:
            raise ConfigError(f"mapping {self.name} does not name class {source!r}; {_advice([source])}")
        return target

    def ids(self, source: LabelMap) -> tuple[int, ...]:
        """For each source id its target id, void included; raises `ConfigError` naming all classes that are missing."""
        missing = [name for name in source.names if self.classes.get(name, self.default) == REFUSE]
        if missing:
            shown = ", ".join(map(repr, missing))
            raise ConfigError(
                f"mapping {self.name} does not name {len(missing)} of the classes: {shown}; {_advice(missing)}"
            )
        if not any(name in self.classes for name in source.names):
            raise ConfigError(
                f"mapping {self.name} names no class of this dataset, which has: {', '.join(source.names)}. "
                "Choose the mapping that belongs to it."
            )
        targets = [self.target_of(name) for name in source.names]
        return tuple(self.target.void if name is None else self.target.names.index(name) for name in targets)

    def lut(self, source: LabelMap) -> NDArray[np.uint8]:
        """uint8 (256,): target id of each source id; void, and ids without a class, become the target's void.

        Raises `ConfigError` for a source class that the mapping does not name, and where it names none of them.
        """
        table = np.full(256, self.target.void, np.uint8)
        table[: len(source)] = self.ids(source)
        return table


@runtime_checkable
class Mappable(Protocol):
    """A dataset that maps its classes itself, because what it draws depends on them.

    COCO's objects overlap: pixels of two wanted classes are void, and those of an unwanted one hide nothing.
    """

    def mapped(self, mapping: ClassMapping) -> SegmentationDataset:
        """This dataset with the mapping's target classes; raises `ConfigError` for one that does not fit."""
        ...


def read_mapping(path_or_name: Path | str, *, source: str | None = None) -> ClassMapping:
    """A mapping from a TOML file, or a shipped one by name; raises `ConfigError` naming the file and what is wrong.

    With `source`, the name of a format, the target is name enough: `driving` finds `camvid-to-driving`.
    """
    path = _find(str(path_or_name), source)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise ConfigError(f"{path}: cannot be read as TOML ({error}). Correct it.") from error
    try:
        return _mapping_from(content, path)
    except (ConfigError, DataError) as error:
        raise ConfigError(f"{path}: {error}") from error


def shipped_mappings() -> list[str]:
    """Names of the mappings that come with edgeseg: `camvid-to-driving` …"""
    return sorted(file.stem for file in _SHIPPED.glob("*.toml"))


def taxonomy(name: str) -> LabelMap:
    """Target classes by name: a shipped taxonomy, or the classes of `camvid` or `voc`; raises `ConfigError`."""
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    known = [*sorted(file.stem for file in _TAXONOMIES.glob("*.toml")), *_BUILT_IN]
    if name not in known:
        raise ConfigError(f"target = {name!r}: no such file, nor one of: {', '.join(known)}.")
    return read_label_file(_TAXONOMIES / f"{name}.toml").label_map


def _find(wanted: str, source: str | None) -> Path:
    shipped = shipped_mappings()
    for name in (wanted, f"{_SAME_CLASSES.get(source or '', source)}-to-{wanted}"):
        if name in shipped:
            return _SHIPPED / f"{name}.toml"
    path = Path(wanted)
    if path.is_file():
        return path
    fitting = [name for name in shipped if name.startswith(f"{_SAME_CLASSES.get(source or '', source)}-to-")]
    where = f"; for {source} there are" if fitting else "; there are"
    raise ConfigError(f"{wanted}: no such mapping file, nor a shipped mapping{where}: {', '.join(fitting or shipped)}.")


def _mapping_from(content: dict[str, Any], path: Path) -> ClassMapping:
    if unknown := sorted(set(content) - set(_KEYS)):
        raise ConfigError(f"unknown key {unknown[0]}; known are: {', '.join(_KEYS)}.")
    classes, default = content.get("classes", {}), content.get("default", REFUSE)
    if not isinstance(classes, dict):
        raise ConfigError('classes is not a table. Write lines like car = "vehicle" below [classes].')
    for key, value in (*classes.items(), ("default", default)):
        if not isinstance(value, str):
            raise ConfigError(f'{key} = {value!r} is not a class name. Write {key} = "..." or "{VOID}".')
    names = {source: None if target == VOID else target for source, target in classes.items()}
    return ClassMapping(path.stem, _target(content.get("target"), path), names, None if default == VOID else default)


def _target(value: Any, path: Path) -> LabelMap:
    if isinstance(value, dict):
        return coding_from(value).label_map
    if not isinstance(value, str):
        raise ConfigError('target is missing. Name the classes to map to: target = "driving", or a table [target].')
    file = path.parent / value
    return read_label_file(file).label_map if file.is_file() else taxonomy(value)


def _advice(missing: list[str]) -> str:
    line = f'"{missing[0]}" = "{VOID}"'
    return f'add each below [classes], as {line} or with a target class, or set default = "{VOID}".'
