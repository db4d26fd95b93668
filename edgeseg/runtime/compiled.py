"""What a runtime has made of a graph on this machine, kept for the next start, and used only where every byte is known.

One file for each graph, runtime, version, processor and setting: 32 bytes of SHA-256 over all of these and what
follows, then the runtime's own bytes. A torn, altered or renamed file has another hash, counts as absent and is
written again. It is in the user's own cache folder, beside what else could be put there: the hash keeps accidents out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgeseg.files import write_bytes
from edgeseg.runtime.default import cache_folder

_DIGEST_BYTES = 32

MOST_KEPT = 16
"""Files of one runtime; the oldest go. Graphs that are tried once would fill a Jetson's disk."""


@dataclass(frozen=True, slots=True)
class CompiledGraph:
    """The place of one compiled graph, be it there or not."""

    path: Path
    key: bytes

    @staticmethod
    def of(runtime: str, graph: bytes, circumstances: Sequence[object]) -> CompiledGraph:
        """In edgeseg's cache folder. `circumstances` is all that the result depends on beside the graph, in order."""
        digest = hashlib.sha256(graph).hexdigest()
        key = hashlib.sha256(json.dumps([runtime, digest, *circumstances]).encode()).digest()
        return CompiledGraph(cache_folder() / runtime / f"{digest[:16]}-{key.hex()[:16]}.bin", key)

    def read(self) -> bytes | None:
        """What was kept; `None` where nothing was, or something else is there."""
        try:
            data = self.path.read_bytes()
        except OSError:
            return None
        kept = data[_DIGEST_BYTES:]
        return kept if data[:_DIGEST_BYTES] == self._digest(kept) else None

    def write(self, compiled: bytes) -> None:
        """Keep it, whole or not at all; raises `OutputError` where the file system refuses."""
        write_bytes(self.path, self._digest(compiled) + compiled)
        with suppress(OSError):  # another process was faster
            by_age = sorted(self.path.parent.glob("*.bin"), key=lambda path: path.stat().st_mtime_ns)
            for path in by_age[:-MOST_KEPT]:
                path.unlink()

    def _digest(self, compiled: bytes) -> bytes:
        return hashlib.sha256(self.key + compiled).digest()
