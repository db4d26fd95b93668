"""Writing a bundle: built in a folder beside the target, hashed, and swapped into place when it is whole."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2

from edgeseg import __version__
from edgeseg.bundle.golden import GoldenConfidence, GoldenEntry, golden_problem
from edgeseg.bundle.manifest import MANIFEST_NAME, Contract, GraphEntry, Manifest
from edgeseg.bundle.reader import Bundle
from edgeseg.errors import BundleError, ConfigError
from edgeseg.files import fsync_folder, write_bytes
from edgeseg.labels import LabelMap
from edgeseg.types import Confidence, Frame, Labels

MAY_DIFFER_PPM = {"fp32": 100, "fp16": 1000, "int8-cpu": 5000, "int8-trt": 10_000}
"""Precision → pixels in a million that a replay of a golden frame may label otherwise than the trained network did,
because processors round differently: agreement of at least 99.99 % in FP32 and 99.9 % in FP16.

INT8 labels some pixels otherwise by its nature, as many as `add_golden` is told; for it these are the pixels that a
device may add. For TensorRT more, because the graph was counted in another runtime."""

CONFIDENCE_MAY_DIFFER = {"fp32": 0.0001, "fp16": 0.005, "int8-cpu": 0.01, "int8-trt": 0.02}
"""Precision → by how much the confidence of a replay may differ from the trained network's, as a probability, in the
mean of the pixels that keep their label. For INT8, as above, what a device may add."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


class BundleWriter:
    """Builds a bundle in a folder beside `path`; `finish` swaps it into place, leaving without it discards it.

    A bundle that is at `path` already is replaced as a whole, engines included (they belong to the old graphs); any
    other folder with something in it is refused.

        with BundleWriter("my.edgeseg", name="my", label_map=CAMVID, network_hw=(360, 480), camera_hw=None,
                          mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)) as writer:
            writer.add_graph("fp32", model.SerializeToString(), opset=20)
            writer.add_golden("day_000", frame_bgr, labels)
            bundle = writer.finish(lineage={"source": "…"})
    """

    def __init__(
        self,
        path: Path | str,
        *,
        name: str,
        label_map: LabelMap,
        network_hw: tuple[int, int],
        camera_hw: tuple[int, int] | None,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        confidence: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self.path = Path(path)
        _refuse_to_replace(self.path)
        self._name = name
        self._label_map = label_map
        self._contract = Contract.of(camera_hw, network_hw, mean, std, confidence=confidence)
        self._clock = clock
        self._graphs: dict[str, GraphEntry] = {}
        self._golden: dict[str, GoldenEntry] = {}
        self._files: dict[str, str] = {}
        self._folder: Path | None = None

    def __enter__(self) -> BundleWriter:
        with self._naming_the_target():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=f".{self.path.stem}.", suffix=".partial", dir=self.path.parent))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def add_graph(self, precision: str, model: bytes, *, opset: int, params: int | None = None) -> None:
        """Add a serialised ONNX model without external data."""
        if precision not in MAY_DIFFER_PPM:
            raise ConfigError(f"unknown precision {precision!r}; known: {', '.join(MAY_DIFFER_PPM)}.")
        if precision in self._graphs:
            raise ConfigError(f"the bundle has a {precision} graph already.")
        file = f"model.{precision}.onnx"
        self._write(file, model)
        self._graphs[precision] = GraphEntry(file, opset, len(model), params)

    def add_golden(
        self,
        name: str,
        frame_bgr: Frame,
        labels: Labels,
        *,
        confidence: Confidence | None = None,
        differing: Mapping[str, int] | None = None,
        confidence_off: Mapping[str, float] | None = None,
    ) -> None:
        """Add a frame, uint8 (H, W, 3) BGR, with the labels, uint8 (H, W), that the trained network gives it, and the
        confidence, likewise, in a bundle that has one.

        `differing`: precision → pixels that its graph labels otherwise already here, where it was made;
        `confidence_off`: precision → mean difference of its confidence here.
        """
        if not _NAME.fullmatch(name) or name in self._golden:
            raise ConfigError(f"golden frame {name!r}: the name must be unique, of letters, digits, - and _.")
        problem = golden_problem(frame_bgr, labels, self._contract, self._label_map, confidence)
        if problem:
            raise ConfigError(f"golden frame {name}: {problem}.")
        frame_file = self._write_png(f"golden/{name}.png", frame_bgr)
        labels_file = self._write_png(f"golden/{name}.labels.png", labels)
        here, off = differing or {}, confidence_off or {}
        may_differ = {
            precision: here.get(precision, 0) + labels.size * ppm // 1_000_000
            for precision, ppm in MAY_DIFFER_PPM.items()
        }
        sure = None
        if confidence is not None:
            sure = GoldenConfidence(
                self._write_png(f"golden/{name}.confidence.png", confidence),
                {precision: off.get(precision, 0.0) + more for precision, more in CONFIDENCE_MAY_DIFFER.items()},
            )
        self._golden[name] = GoldenEntry(name, frame_file, labels_file, may_differ, sure)

    def finish(
        self,
        *,
        lineage: Mapping[str, Any],
        accuracy: Mapping[str, Any] | None = None,
        parity: Mapping[str, Any] | None = None,
        latency: Mapping[str, Any] | None = None,
        int8: Mapping[str, Any] | None = None,
    ) -> Bundle:
        """Write the manifest, swap the bundle into place and open it again from there, hashes and all."""
        manifest = Manifest(
            name=self._name,
            created=self._clock().astimezone(timezone.utc).isoformat(timespec="seconds"),
            edgeseg=__version__,
            label_map=self._label_map,
            contract=self._contract,
            graphs=self._graphs,
            golden=tuple(self._of_these_graphs(entry) for entry in self._golden.values()),
            files=self._files,
            lineage=lineage,
            accuracy=accuracy,
            parity=parity,
            latency=latency,
            int8=int8,
        )
        sealed = manifest.to_bytes()
        folder = self._building()
        _refuse_to_replace(self.path)  # again, because an export takes minutes
        with self._naming_the_target():
            write_bytes(folder / MANIFEST_NAME, sealed)
            folder.chmod(0o755)
            _swap(folder, self.path)
        self._folder = None
        return Bundle.open(self.path)

    def _of_these_graphs(self, entry: GoldenEntry) -> GoldenEntry:
        """The entry with the tolerances of those precisions alone that the bundle has."""
        sure = entry.confidence
        if sure is not None:
            sure = replace(sure, may_differ={precision: sure.may_differ[precision] for precision in self._graphs})
        may_differ = {precision: entry.may_differ[precision] for precision in self._graphs}
        return replace(entry, may_differ=may_differ, confidence=sure)

    def _write_png(self, relative: str, picture: Frame | Labels) -> str:
        self._write(relative, cv2.imencode(".png", picture)[1].tobytes())
        return relative

    def _write(self, relative: str, data: bytes) -> None:
        with self._naming_the_target():
            write_bytes(self._building() / relative, data)
        self._files[relative] = hashlib.sha256(data).hexdigest()

    @contextmanager
    def _naming_the_target(self) -> Iterator[None]:
        """A full disk or a folder without write permission is said of the bundle, not of a temporary file in it."""
        try:
            yield
        except OSError as error:
            raise BundleError(f"{self.path} cannot be written ({error.strerror or error}).") from error

    def _building(self) -> Path:
        if self._folder is None:
            raise ConfigError("a BundleWriter is used inside its `with` block, and not after finish().")
        return self._folder


def _refuse_to_replace(path: Path) -> None:
    """Raise `BundleError` unless `path` is free, an empty folder, or a bundle, sound or damaged."""
    if not path.exists():
        return
    if path.is_dir() and not path.is_symlink():
        is_bundle = (path / MANIFEST_NAME).is_file() and any(path.glob("model.*.onnx"))
        if is_bundle or not any(path.iterdir()):
            return
    raise BundleError(f"{path} exists and is not a bundle; it is left alone. Choose another output.")


def _swap(folder: Path, target: Path) -> None:
    """Put `folder` at `target`; what was there is deleted afterwards, or put back if the move fails.

    A folder cannot be renamed over another in one step: a kill between the two renames leaves the old bundle beside
    the target under its hidden name, and the new one complete beside it.
    """
    if not target.exists():
        folder.rename(target)
        fsync_folder(target.parent)
        return
    aside = folder.with_suffix(".replaced")
    target.rename(aside)
    try:
        folder.rename(target)
    except OSError:
        aside.rename(target)
        raise
    fsync_folder(target.parent)
    shutil.rmtree(aside, ignore_errors=True)
