"""Engines that ONNX Runtime's TensorRT provider keeps: used again only where every byte is known.

An engine is native code, and the provider loads whatever lies in its folder. So the folder is edgeseg's own, one for
each graph and version of ONNX Runtime, and a list of hashes is kept beside it: files that are not on the list, or have
changed, go before the provider sees them, and are built again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from edgeseg.files import sha256_file, write_json
from edgeseg.runtime.default import cache_folder


@dataclass(frozen=True, slots=True)
class EngineCache:
    """The engines of one graph. `folder` belongs to the provider, `record` to us."""

    folder: Path
    record: Path

    @staticmethod
    def of(graph: bytes, version: str) -> EngineCache:
        """In edgeseg's cache folder, by the graph's hash and the version of ONNX Runtime."""
        top = cache_folder() / "onnxruntime-tensorrt"
        name = f"{hashlib.sha256(graph).hexdigest()[:16]}-{version}"
        return EngineCache(top / name, top / f"{name}.json")

    def options(self) -> dict[str, str]:
        """Settings of the provider: keep engines and timings here."""
        return {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(self.folder),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(self.folder),
        }

    def drop_unknown(self) -> None:
        """Remove the folder unless its files are exactly those on the list, and make sure that it is there."""
        try:
            listed = json.loads(self.record.read_text())
        except (OSError, ValueError):
            listed = None
        if self.folder.exists() and listed != self._hashes():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def keep(self) -> None:
        """Write down what the provider has left here."""
        write_json(self.record, self._hashes())

    def _hashes(self) -> dict[str, str]:
        return {path.name: sha256_file(path) for path in sorted(self.folder.iterdir()) if path.is_file()}
