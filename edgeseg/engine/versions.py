"""TensorRT's versions: reading them, which are refused and why, what their parsers read, and who delivers them."""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass

from edgeseg.errors import ConfigError


@functools.total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """Major, minor and patch. What follows is left out: 10.16.1.11 is 10.16.1."""

    major: int
    minor: int
    patch: int | None = None
    """None: any, as a person says "10.3"."""

    def __str__(self) -> str:
        return ".".join(str(part) for part in (self.major, self.minor, self.patch) if part is not None)

    def __lt__(self, other: Version) -> bool:
        return self._key() < other._key()

    def _key(self) -> tuple[int, int, float]:
        """Any patch counts as the last one: "10.3" is not older than 10.3.1."""
        return self.major, self.minor, math.inf if self.patch is None else self.patch

    def covers(self, asked: Version) -> bool:
        """Whether this release is one that `asked` means: 10.3.0 is one for 10.3."""
        return (self.major, self.minor) == (asked.major, asked.minor) and asked.patch in (None, self.patch)


FLOOR = Version(10, 0, 0)
"""From here on a network can be strongly typed, so that precision lives in the graph."""

BEST_EFFORT_FLOOR = Version(8, 6, 0)
"""From here on, up to `FLOOR`, engines are built with precision flags, and a warning."""

KNOWN_BAD = {
    (10, 2, 0): (
        "its Linux library asks for libnvinfer_builder_resource_win.so.10.2.0, which is not in the package, so it "
        "builds nothing (ultralytics #24367, NVIDIA/TensorRT #3983)"
    ),
}
"""Release → why no engine is built with it."""

OPSET_CEILINGS = ((8, 6, 17), (10, 0, 20), (10, 6, 22), (10, 15, 24), (11, 0, 25))
"""(major, minor, opset): from this release on its ONNX parser reads graphs up to this opset; for 10.6 and 10.15 as
onnx-tensorrt's docs/operators.md says, for 11 as NVIDIA's ONNX Opset Guide does."""

JETPACKS = {
    "5.1": Version(8, 5),
    "6.0": Version(8, 6),
    "6.1": Version(10, 3),
    "6.2": Version(10, 3),
    "7.1": Version(10, 13),
    "7.2": Version(10, 16),
}
"""JetPack → the TensorRT that comes with it."""

_LAST_10_WITH_DLA = Version(10, 7)
_FIRST_11_FOR_JETSON = Version(11, 4, 1)
"""NVIDIA, TensorRT 11.4.1: Working with DLA; Migrating from 10.x to 11.x on Jetson/JetPack."""


def parse(text: str) -> Version:
    """`"10.3"`, `"10.3.0"`, `"10.16.1.11"` or `"8.6.1.post1"` → `Version`; raises `ConfigError` for anything else."""
    match = re.fullmatch(r"(\d+)\.(\d+)(?:\.(\d+)(?:[.+-]\w+)*)?", text.strip())
    if match is None:
        raise ConfigError(f"{text!r} is not a TensorRT version; expected one such as 10.3 or 11.4.0.")
    major, minor, patch = match.groups()
    return Version(int(major), int(minor), None if patch is None else int(patch))


def refusal(version: Version) -> str | None:
    """Why no engine is built with this release, as a sentence; `None` where it may be tried."""
    reason = KNOWN_BAD.get((version.major, version.minor, version.patch or 0))
    if reason is not None:
        return f"TensorRT {version} is known bad: {reason}. Install another: pip install 'edgeseg[tensorrt]'"
    if version < BEST_EFFORT_FLOOR:
        return (
            f"TensorRT {version} is too old: expected {FLOOR.major}.{FLOOR.minor} or later, at the very least "
            f"{BEST_EFFORT_FLOOR.major}.{BEST_EFFORT_FLOOR.minor}. Install a later one: "
            "pip install 'edgeseg[tensorrt]' (on a Jetson: JetPack 6.1 or later)"
        )
    return None


def dla_refusal(version: Version) -> str | None:
    """Why this release does not run layers on DLA, as a sentence; `None` where it may be tried."""
    if version <= _LAST_10_WITH_DLA or version >= _FIRST_11_FOR_JETSON:
        return None
    return (
        f"TensorRT {version} has no DLA on a Jetson: {_LAST_10_WITH_DLA} was the last 10.x with it, and it is back "
        f"from {_FIRST_11_FOR_JETSON} on (JetPack 7.2.2). Leave DLA out, or install one of these."
    )


def jetson_doubt(version: Version) -> str | None:
    """A warning where NVIDIA supports no such release on a Jetson; `None` where it does."""
    if FLOOR.major < version.major and version < _FIRST_11_FOR_JETSON:
        return (
            f"NVIDIA supports no TensorRT {version} on Jetson: JetPack 6.2 brings {JETPACKS['6.2']}, 7.2 "
            f"{JETPACKS['7.2']}, and of 11.x {_FIRST_11_FOR_JETSON} is the first (JetPack 7.2.2)"
        )
    return None


def opset_ceiling(version: Version) -> int:
    """The highest ONNX opset that this release's parser reads."""
    return max(opset for major, minor, opset in OPSET_CEILINGS if (major, minor) <= (version.major, version.minor))
