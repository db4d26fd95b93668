"""Writes the two tables of TensorRT's names: the whole one that tests use, and the small one that the package ships.

    python tests/make_tensorrt_names.py [FULL.json]

FULL.json holds every public Python name, member and enum value of twelve releases, read from the Python wheels that
NVIDIA publishes: {version: {name: null | [member] | {"enum": {member: value}}}}. With it, tests/tensorrt_names.json is
written anew: the same, grouped by the releases that have a name. Without it, only edgeseg/engine/tensorrt_names.json
is: of that table, the names that edgeseg may touch.
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

from edgeseg.engine.capabilities import PACKAGED, TOUCHED

WHOLE = Path(__file__).with_name("tensorrt_names.json")

Names = dict[str, Any]
"""Of one release: name → None (a function or a value), list of members (a class), or {member: value} (an enum)."""


@functools.cache
def releases() -> dict[str, Names]:
    """Release → its names, from the grouped table; a mask has one character a release, 1 where it has the name."""
    table = json.loads(WHOLE.read_text())
    found: dict[str, Names] = {version: {} for version in table["releases"]}
    for position, names in enumerate(found.values()):
        for mask, plain in table["plain"].items():
            names.update({name: None for name in plain if mask[position] == "1"})
        for name, masks in table["classes"].items():
            if masks["here"][position] == "1":
                names[name] = sorted(m for mask, ms in masks["members"].items() if mask[position] == "1" for m in ms)
        for name, members in table["enums"].items():
            here = {member: values[position] for member, values in members.items() if values[position] is not None}
            if here:
                names[name] = here
    return found


def grouped(full: dict[str, Names]) -> dict[str, Any]:
    """The table as `releases` reads it, from FULL.json's content."""
    versions = sorted(full, key=lambda version: tuple(map(int, version.split("."))))
    plain: dict[str, list[str]] = {}
    classes: dict[str, Any] = {}
    enums: dict[str, Any] = {}
    for name in sorted({name for version in versions for name in full[version]}):
        entries = [full[version].get(name, False) for version in versions]
        here = _mask(entry is not False for entry in entries)
        if any(isinstance(entry, dict) for entry in entries):
            values = [entry["enum"] if entry else {} for entry in entries]
            members = sorted({member for value in values for member in value})
            enums[name] = {member: [value.get(member) for value in values] for member in members}
        elif any(isinstance(entry, list) for entry in entries):
            lists = [entry or [] for entry in entries]
            masks: dict[str, list[str]] = {}
            for member in sorted({member for members in lists for member in members}):
                masks.setdefault(_mask(member in members for members in lists), []).append(member)
            classes[name] = {"here": here, "members": masks}
        else:
            plain.setdefault(here, []).append(name)
    return {"releases": versions, "plain": plain, "classes": classes, "enums": enums}


def packaged(found: dict[str, Names]) -> dict[str, Any]:
    """Of the names that edgeseg may touch: those that every release has, and the releases of each of the others."""
    has = {name: [version for version in found if _offers(found[version], name)] for name in TOUCHED}
    return {
        "releases": list(found),
        "everywhere": [name for name, versions in has.items() if len(versions) == len(found)],
        "some": {name: versions for name, versions in has.items() if len(versions) < len(found)},
    }


def _offers(names: Names, dotted: str) -> bool:
    owner, _, member = dotted.partition(".")
    return owner in names and (not member or member in (names[owner] or ()))


def _mask(values: Any) -> str:
    return "".join("1" if value else "0" for value in values)


def _lines(value: Any, depth: int) -> str:
    """JSON with one line for each entry down to `depth`, so that a change shows as a change."""
    if depth == 0 or not isinstance(value, dict) or not value:
        return json.dumps(value, separators=(",", ":"))
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {_lines(item, depth - 1)}" for key, item in value.items()) + "\n}"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        WHOLE.write_text(_lines(grouped(json.loads(Path(sys.argv[1]).read_text())), 2) + "\n")
    PACKAGED.write_text(_lines(packaged(releases()), 2) + "\n")
