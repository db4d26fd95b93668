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
    (10, 2, 0): "it builds engines whose outputs are wrong",
}
"""Release → why no engine is built with it."""

OPSET_CEILINGS = ((8, 6, 17), (10, 0, 20), (10, 15, 24), (11, 0, 25))
"""(major, minor, opset): from this release on its ONNX parser reads graphs up to this opset."""

JETPACKS = {
    "5.1": Version(8, 5),
    "6.1": Version(10, 3),
    "6.2": Version(10, 3),
    "7.1": Version(10, 13),
    "7.2": Version(10, 16),
}
"""JetPack → the TensorRT that comes with it."""


def parse(text: str) -> Version:
    """`"10.3"`, `"10.3.0"`, `"10.16.1.11"` or `"8.6.1.post1"` → `Version`; raises `ConfigError` for anything else."""
    match = re.fullmatch(r"(\d+)\.(\d+)(?:\.(\d+)(?:[.+-]\w+)*)?", text.strip())
    if match is None:
        raise ConfigError(f"{text!r} is not a TensorRT version; expected one such as 10.3 or 11.4.0.")
    major, minor, patch = match.groups()
    return Version(int(major), int(minor), None if patch is None else int(patch))


def opset_ceiling(version: Version) -> int:
    """The highest ONNX opset that this release's parser reads."""
    return max(opset for major, minor, opset in OPSET_CEILINGS if (major, minor) <= (version.major, version.minor))
