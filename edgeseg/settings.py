"""Settings: frozen dataclasses filled from TOML; every wrong key, type and number is named by its dotted key."""

from __future__ import annotations

import dataclasses
import math
import sys
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from edgeseg.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")


def at_least(least: float, **settings: float) -> None:
    """Raise `ConfigError` naming the first of `settings` that is below `least`, or NaN."""
    for name, value in settings.items():
        if not value >= least:
            raise ConfigError(f"{name}={value}: expected at least {least}.")


def above_zero(**settings: float) -> None:
    """Raise `ConfigError` naming the first of `settings` that is not above 0."""
    for name, value in settings.items():
        if not value > 0:
            raise ConfigError(f"{name}={value}: expected a number above 0.")


def one_of(known: Sequence[str], **settings: str) -> None:
    """Raise `ConfigError` naming the first of `settings` that is none of `known`."""
    for name, value in settings.items():
        if value not in known:
            raise ConfigError(f"{name}={value!r}: expected one of {', '.join(known)}.")


def read_toml(path: Path, kind: str) -> dict[str, Any]:
    """The content of a TOML file; `kind` says what it should be ("recipe"). Raises `ConfigError` naming the file."""
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such {kind}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML ({error}).") from error
    return content


def read_settings(path: Path | str, kind: type[T], what: str) -> T:
    """The dataclass `kind` from a TOML file, which messages call a `what`; raises `ConfigError` naming file and key."""
    path = Path(path)
    content = read_toml(path, what)
    try:
        return build(kind, content)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def build(kind: type[T], content: dict[str, Any], where: str = "") -> T:
    """An instance of the dataclass `kind` from a TOML table, nested tables and arrays of tables included."""
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(content) - set(hints))
    if unknown:
        raise ConfigError(f"unknown key {where}{unknown[0]}; known here: {', '.join(hints)}.")
    values = {key: _convert(hints[key], value, f"{where}{key}") for key, value in content.items()}
    required = [
        entry.name
        for entry in dataclasses.fields(kind)  # type: ignore[arg-type]
        if entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
    ]
    missing = [name for name in required if name not in values]
    if missing:
        raise ConfigError(f"missing key {where}{missing[0]}.")
    try:
        return kind(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}{error}") from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert(next(kind for kind in arguments if kind is not type(None)), value, where)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise ConfigError(f"{where} = {value!r}: expected a table.")
        return build(hint, value, f"{where}.")
    if origin is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{where} = {value!r}: expected a list.")
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(value):
            raise ConfigError(f"{where} = {value!r}: expected {len(kinds)} values.")
        items = enumerate(zip(kinds, value, strict=True))
        return tuple(_convert(kind, item, f"{where}[{index}]") for index, (kind, item) in items)
    if hint is float and type(value) in (int, float):
        if not math.isfinite(value):
            raise ConfigError(f"{where} = {value}: expected a finite number.")
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{where} = {value!r}: expected {hint.__name__}.")
    return value
