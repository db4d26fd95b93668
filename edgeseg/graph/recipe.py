"""What to export: sizes and precisions, as a frozen configuration or as a recipe file (TOML)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeseg.errors import ConfigError
from edgeseg.settings import one_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MIN_SIDE = 32
"""Pixels. The trunks halve the image five times; a smaller one would leave less than a pixel."""

MAX_SIDE = 8192
"""Pixels. Larger frames come from no camera, but from swapped or mistyped numbers."""


TRANSPOSED_FORMS = ("decided-first", "sub-pixel", "transposed")
"""Ways of writing a transposed convolution: as a convolution to sub-pixels, with the last one's classes decided before
the pixels are laid out; the same without that; as the operator that it is. Labels are the same but for rounding."""


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """One export. Raises `ConfigError` for sizes out of range and for settings that exclude each other."""

    size_hw: tuple[int, int] | None = None
    """Height and width at which the network runs, in pixels; None: those it was trained at."""
    camera_hw: tuple[int, int] | None = None
    """Height and width of the frames that the graph takes, in pixels; None: the network's."""
    dynamic: bool = False
    """Take frames of any size. The network still runs at `size_hw`."""
    fp16: bool = False
    """Add an FP16 graph beside the FP32 one."""
    int8: bool = False
    """Add INT8 graphs, if they meet the accuracy budget; what they are calibrated on is no matter of a recipe."""
    confidence: bool = False
    """Give the probability of each label beside it, as a second output of every graph."""
    transposed: str = TRANSPOSED_FORMS[0]
    """One of `TRANSPOSED_FORMS`. The first is the fastest on CPUs; `edgeseg selftest` tells which is on a device."""

    def __post_init__(self) -> None:
        one_of(TRANSPOSED_FORMS, transposed=self.transposed)
        for name, size in (("size", self.size_hw), ("camera_size", self.camera_hw)):
            if size is not None and not all(MIN_SIDE <= side <= MAX_SIDE for side in size):
                raise ConfigError(
                    f"{name} is {_text(size)} (height x width); each side must be {MIN_SIDE} to {MAX_SIDE} pixels."
                )
        if self.dynamic and self.camera_hw is not None:
            raise ConfigError(
                f"dynamic (any camera size) and camera_size {_text(self.camera_hw)} exclude each other; choose one."
            )


def parse_size(text: str) -> tuple[int, int]:
    """`"360x480"` → (360, 480): height, then width, in pixels."""
    height, cross, width = text.lower().partition("x")
    if not cross or not height.isdecimal() or not width.isdecimal():
        raise ConfigError(f"{text!r} is not a size; expected HEIGHTxWIDTH in pixels, such as 360x480.")
    return int(height), int(width)


def read_recipe(path: Path) -> dict[str, Any]:
    """The settings of a TOML file: [export] with sizes ([height, width]), dynamic, fp16, int8, confidence, transposed.

    [engine] may be there too: it is for `edgeseg engine build`, and is read there. Returns fields of `ExportConfig`,
    only those that the file names. Raises `ConfigError` for a file that cannot be
    read and for anything in it that is not one of these.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"recipe {path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise ConfigError(f"recipe {path} is not TOML: {error}") from error
    content.pop("engine", None)
    table = content.pop("export", None)
    if not isinstance(table, dict) or content:
        found = f"also {', '.join(content)}" if content else "none"
        raise ConfigError(f"recipe {path}: expected one table [export] with {', '.join(_FIELDS)}; found {found}.")
    unknown = sorted(set(table) - set(_FIELDS))
    if unknown:
        raise ConfigError(f"recipe {path}: unknown {', '.join(unknown)}; [export] has {', '.join(_FIELDS)}.")
    return {_FIELDS[key]: _value(path, key, value) for key, value in table.items()}


def merge(recipe: Mapping[str, Any], flags: Mapping[str, Any]) -> ExportConfig:
    """Settings of a recipe with those of the command line; a flag that contradicts the recipe raises `ConfigError`.

    A recipe is what was agreed on for a target. To export something else, one changes it or leaves it out: a bundle
    that was made "with the recipe" is then what the recipe says.
    """
    for field, asked in flags.items():
        if field in recipe and recipe[field] != asked:
            name = _FLAGS[field]
            raise ConfigError(
                f"{name} is {_text(recipe[field])} in the recipe and {_text(asked)} on the command line; remove one."
            )
    return ExportConfig(**{**recipe, **flags})


_FIELDS = {
    "size": "size_hw",
    "camera_size": "camera_hw",
    "dynamic": "dynamic",
    "fp16": "fp16",
    "int8": "int8",
    "confidence": "confidence",
    "transposed": "transposed",
}
"""Name in a recipe → field of `ExportConfig`."""

_FLAGS = {field: name for name, field in _FIELDS.items()}


def _value(path: Path, key: str, value: Any) -> Any:
    if key in ("dynamic", "fp16", "int8", "confidence"):
        if isinstance(value, bool):
            return value
        raise ConfigError(f"recipe {path}: {key} = {value!r}; expected true or false.")
    if key == "transposed":
        if value in TRANSPOSED_FORMS:
            return value
        raise ConfigError(f"recipe {path}: {key} = {value!r}; expected one of {', '.join(TRANSPOSED_FORMS)}.")
    if isinstance(value, list) and len(value) == 2 and all(type(side) is int for side in value):
        return (value[0], value[1])
    raise ConfigError(f"recipe {path}: {key} = {value!r}; expected [height, width] in pixels.")


def _text(value: Any) -> str:
    return f"{value[0]}x{value[1]}" if isinstance(value, tuple) else str(value).lower()
