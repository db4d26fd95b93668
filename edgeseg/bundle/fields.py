"""Strict reading of JSON objects: a field that is missing, mistyped or unknown is a `BundleError` that names it."""

from __future__ import annotations

from typing import Any, TypeVar

from edgeseg.errors import BundleError

_T = TypeVar("_T")


class Fields:
    """One JSON object being read: typed access, and a complaint about whatever was not asked for."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise BundleError(f"{where} is {_kind(value)}, expected an object.")
        self._left = dict(value)
        self._where = where

    def take(self, key: str, kind: type[_T]) -> _T:
        """The field, which must be there and of this type."""
        if key not in self._left:
            raise BundleError(f"{self._where} has no field {key!r}; expected {kind.__name__}.")
        return typed(self._left.pop(key), kind, f"{self._where}, field {key!r}")

    def take_or_none(self, key: str, kind: type[_T]) -> _T | None:
        """The field, which must be there, of this type or null."""
        if key in self._left and self._left[key] is None:
            del self._left[key]
            return None
        return self.take(key, kind)

    def take_list(self, key: str, kind: type[_T], count: int) -> list[_T]:
        """The field, a list of exactly `count` values of this type."""
        values = self.take(key, list)
        if len(values) != count:
            raise BundleError(f"{self._where}, field {key!r} has {len(values)} values, expected {count}.")
        return [typed(value, kind, f"{self._where}, field {key!r}") for value in values]

    def done(self) -> None:
        """Raise if a field is left that nobody took."""
        if self._left:
            raise BundleError(f"{self._where} has unknown fields: {', '.join(sorted(self._left))}.")


def typed(value: Any, kind: type[_T], where: str) -> _T:
    """`value` if it is exactly of JSON type `kind`: a bool is no int here, and an int is no float."""
    if type(value) is not kind:
        raise BundleError(f"{where} is {_kind(value)}, expected {kind.__name__}.")
    return value


def typed_items(value: dict[str, Any], kind: type[_T], where: str) -> dict[str, _T]:
    """The object, if all its values are of this type."""
    return {key: typed(item, kind, f"{where}, {key!r}") for key, item in value.items()}


def _kind(value: Any) -> str:
    return "null" if value is None else f"of type {type(value).__name__}"
