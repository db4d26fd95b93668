"""Opening a bundle: every file is checked against the manifest before anything is made of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.bundle.golden import GoldenEntry, GoldenFrame, golden_problem
from edgeseg.bundle.manifest import MANIFEST_NAME, Contract, GraphEntry, Manifest
from edgeseg.errors import BundleError
from edgeseg.files import sha256_file
from edgeseg.labels import LabelMap


class Bundle:
    """A bundle on disk whose files are as its manifest says. Made by `Bundle.open`."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @staticmethod
    def open(path: Path | str) -> Bundle:
        """Read the manifest and check every file against it; raises `BundleError` naming the first that differs."""
        folder = Path(path)
        try:
            if not folder.is_dir():
                what = "this is a file, but a bundle is a folder" if folder.exists() else "there is no such bundle"
                raise BundleError(f"{what}. Make one with: edgeseg export")
            manifest = Manifest.from_bytes((folder / MANIFEST_NAME).read_bytes())
        except FileNotFoundError as error:
            raise BundleError(f"{folder} is not a bundle: it has no {MANIFEST_NAME}.") from error
        except OSError as error:
            raise BundleError(f"{folder} cannot be read as a bundle ({error.strerror}).") from error
        except BundleError as error:
            raise BundleError(f"{folder}: {error}") from error
        bundle = Bundle(folder, manifest)
        for relative in manifest.files:
            bundle._check(relative, sha256_file)
        for graph in manifest.graphs.values():
            size = (folder / graph.file).stat().st_size
            if size != graph.bytes:
                raise BundleError(f"{folder / graph.file} has {size} bytes, but its manifest says {graph.bytes}.")
        return bundle

    @property
    def name(self) -> str:
        """The model's name."""
        return self.manifest.name

    @property
    def label_map(self) -> LabelMap:
        """Classes, palette and void of the labels."""
        return self.manifest.label_map

    @property
    def contract(self) -> Contract:
        """Input and output of every graph."""
        return self.manifest.contract

    @property
    def precisions(self) -> tuple[str, ...]:
        """Precisions of the graphs, in the order of export."""
        return tuple(self.manifest.graphs)

    def graph_path(self, precision: str = "fp32") -> Path:
        """Where the graph lies, for tools that want a path; `graph_bytes` is the one that is sure of the content."""
        return self.path / self._graph(precision).file

    def graph_bytes(self, precision: str = "fp32") -> bytes:
        """The graph, hashed after it was read: what is returned is what the manifest lists, whatever the disk does."""
        return self._read(self._graph(precision).file)

    def golden(self) -> tuple[GoldenFrame, ...]:
        """The golden frames, decoded; raises `BundleError` where one does not fit the contract."""
        return tuple(self._decode(entry) for entry in self.manifest.golden)

    def _graph(self, precision: str) -> GraphEntry:
        graph = self.manifest.graphs.get(precision)
        if graph is None:
            raise BundleError(f"{self.path} has no {precision} graph; it has: {', '.join(self.precisions)}.")
        return graph

    def _decode(self, entry: GoldenEntry) -> GoldenFrame:
        frame = _decode_png(self._read(entry.frame))
        labels = _decode_png(self._read(entry.labels))
        sure = entry.confidence
        confidence = None if sure is None else _decode_png(self._read(sure.file))
        problem = golden_problem(frame, labels, self.contract, self.label_map, confidence)
        if problem:
            raise BundleError(f"{self.path}: golden frame {entry.name}: {problem}. Export it again.")
        return GoldenFrame(
            entry.name,
            np.asarray(frame, np.uint8),
            np.asarray(labels, np.uint8),
            entry.may_differ,
            None if confidence is None else np.asarray(confidence, np.uint8),
            None if sure is None else sure.may_differ,
        )

    def _read(self, relative: str) -> bytes:
        data = b""

        def read_and_hash(path: Path) -> str:
            nonlocal data
            data = path.read_bytes()
            return hashlib.sha256(data).hexdigest()

        self._check(relative, read_and_hash)
        return data

    def _check(self, relative: str, digest: Callable[[Path], str]) -> None:
        path = self.path / relative
        try:
            if not path.resolve().is_relative_to(self.path.resolve()):
                raise BundleError(f"{path} is a link that leads out of the bundle; nothing outside it is read.")
            if not path.is_file():
                raise BundleError(
                    f"{path} is in the manifest but not on disk. Copy the whole folder, or export it again."
                )
            found = digest(path)
        except (OSError, RuntimeError) as error:  # resolve() calls a loop of links a RuntimeError
            raise BundleError(f"{path} cannot be read ({error}).") from error
        expected = self.manifest.files[relative]
        if found != expected:
            raise BundleError(
                f"{path} is damaged or altered: its sha256 is {found[:12]}…, the manifest says {expected[:12]}…. "
                "Copy the bundle again, or export it again."
            )


def _decode_png(data: bytes) -> NDArray[np.generic]:
    """The picture, or an array of no pixels where there is none."""
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        decoded = None
    return np.zeros((0, 0), np.uint8) if decoded is None else np.asarray(decoded)
