"""`manifest.json`: what a bundle holds, the contract of its graphs, where it comes from, and the hash of every file.

The manifest seals itself as well: edgeseg.bundle.seal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from edgeseg.bundle.fields import Fields, typed, typed_items
from edgeseg.bundle.golden import GoldenEntry
from edgeseg.bundle.seal import DIGEST, UNSEALED, parse_json, seal_holds, sealed_json
from edgeseg.errors import BundleError, ConfigError
from edgeseg.labels import LabelMap
from edgeseg.types import CONFIDENCE, TensorSpec

SCHEMA = 1
MANIFEST_NAME = "manifest.json"

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_RELATIVE_PATH = re.compile(rf"{_NAME.pattern}(/{_NAME.pattern})*")
"""No absolute path, no `..`, no backslash, no drive letter: nothing that leads out of the folder."""


@dataclass(frozen=True, slots=True)
class Contract:
    """What every graph of the bundle takes and gives, and, for information, what it does to a frame inside.

    `frame`: uint8 (1, H, W, 3) BGR; H and W are both `None` in a graph that takes any camera size.
    `labels`: uint8 (1, H, W), class ids at the frame's own size. `confidence`: likewise, 255 times the probability of
    each label, in a bundle whose graphs give it; else it is `None`, and not in the file.
    """

    frame: TensorSpec
    labels: TensorSpec
    network_hw: tuple[int, int]
    """Height and width that the frame is resized to inside the graph, in pixels."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    """RGB mean and standard deviation, in units of the full scale (1.0 is 255)."""
    confidence: TensorSpec | None = None

    def __post_init__(self) -> None:
        batch, height, width, channels = self.frame.shape if len(self.frame.shape) == 4 else (0, 0, 0, 0)
        sizes_fit = (height is None) == (width is None) and all(size is None or size > 0 for size in (height, width))
        if (batch, channels) != (1, 3) or not sizes_fit or self.frame.dtype != "uint8":
            raise BundleError(f"the contract's input is {self.frame}; expected uint8 (1, H, W, 3).")
        for output in (self.labels, self.confidence):
            if output is not None and (output.shape != (1, height, width) or output.dtype != "uint8"):
                raise BundleError(f"the contract's output is {output}; expected uint8 (1, H, W) of the input's size.")
        if min(self.network_hw) < 1 or min(self.std) <= 0 or not all(map(isfinite, (*self.mean, *self.std))):
            raise BundleError(f"network_hw={self.network_hw}, mean={self.mean}, std={self.std}: not sizes and scales.")

    @staticmethod
    def of(
        camera_hw: tuple[int, int] | None,
        network_hw: tuple[int, int],
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        *,
        confidence: bool = False,
    ) -> Contract:
        """The contract for one camera size, or for any (`None`); with a second output if `confidence`."""
        height, width = (None, None) if camera_hw is None else (int(camera_hw[0]), int(camera_hw[1]))
        frame = TensorSpec("frame", "uint8", (1, height, width, 3))
        labels = TensorSpec("labels", "uint8", (1, height, width))
        return Contract(
            frame,
            labels,
            network_hw=(int(network_hw[0]), int(network_hw[1])),
            mean=(float(mean[0]), float(mean[1]), float(mean[2])),
            std=(float(std[0]), float(std[1]), float(std[2])),
            confidence=TensorSpec(CONFIDENCE, "uint8", (1, height, width)) if confidence else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as in the file."""
        value = asdict(self)
        if self.confidence is None:
            del value["confidence"]
        return value

    @property
    def camera_hw(self) -> tuple[int, int] | None:
        """Height and width that the graphs take, in pixels; `None`: any."""
        _, height, width, _ = self.frame.shape
        return None if height is None or width is None else (height, width)


@dataclass(frozen=True, slots=True)
class GraphEntry:
    """One ONNX file: path in the bundle, opset, size in bytes, number of parameters where counted."""

    file: str
    opset: int
    bytes: int
    params: int | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest as data. `lineage`, `accuracy`, `parity`, `latency` and `int8` are records for people and reports.

    `int8` is in the file only where the bundle has an INT8 graph: what it was calibrated on, what it costs, and which
    layers stayed in float and why.
    """

    name: str
    created: str
    """When the bundle was written: UTC, ISO 8601."""
    edgeseg: str
    """Version of edgeseg that wrote it."""
    label_map: LabelMap
    contract: Contract
    graphs: Mapping[str, GraphEntry]
    """By precision."""
    golden: tuple[GoldenEntry, ...]
    files: Mapping[str, str]
    """SHA-256 of every file but the manifest, by path relative to the bundle, with forward slashes."""
    lineage: Mapping[str, Any]
    accuracy: Mapping[str, Any] | None = None
    parity: Mapping[str, Any] | None = None
    latency: Mapping[str, Any] | None = None
    int8: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for path, digest in self.files.items():
            if not _RELATIVE_PATH.fullmatch(path) or path == MANIFEST_NAME:
                raise BundleError(f"the manifest lists {path!r}, which is not a path inside a bundle.")
            if not DIGEST.fullmatch(digest):
                raise BundleError(f"the manifest's sha256 of {path} is not 64 hexadecimal digits.")
        if not self.graphs or not self.golden:
            raise BundleError("a bundle holds at least one graph and one golden frame; this manifest does not.")
        used = [graph.file for graph in self.graphs.values()]
        used += [path for golden in self.golden for path in golden.files]
        if sorted(used) != sorted(self.files):
            odd = sorted(set(used) ^ set(self.files)) or ["one path used twice"]
            raise BundleError(f"the manifest's graphs and golden frames are not the files it hashes: {', '.join(odd)}.")
        for golden in self.golden:
            if set(golden.may_differ) != set(self.graphs) or min(golden.may_differ.values()) < 0:
                raise BundleError(f"golden frame {golden.name} has no tolerance for each of: {', '.join(self.graphs)}.")
            sure = golden.confidence
            if sure and (set(sure.may_differ) != set(self.graphs) or min(sure.may_differ.values()) < 0):
                known = ", ".join(self.graphs)
                raise BundleError(
                    f"the confidence of golden frame {golden.name} has no tolerance for each of: {known}."
                )

    def to_bytes(self) -> bytes:
        """The sealed file; anything in the records that JSON cannot hold (NaN, arrays) raises `ConfigError`."""
        value = {
            "schema": SCHEMA,
            "sha256": UNSEALED,
            "name": self.name,
            "created": self.created,
            "edgeseg": self.edgeseg,
            "classes": self.label_map.to_dict(),
            "contract": self.contract.to_dict(),
            "graphs": {precision: asdict(graph) for precision, graph in self.graphs.items()},
            "golden": [golden.to_dict() for golden in self.golden],
            "lineage": self.lineage,
            "accuracy": self.accuracy,
            "parity": self.parity,
            "latency": self.latency,
            **({} if self.int8 is None else {"int8": self.int8}),
            "files": self.files,
        }
        try:
            return sealed_json(value)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"the bundle's records cannot be written as JSON: {error}") from error

    @staticmethod
    def from_bytes(data: bytes) -> Manifest:
        """Read a manifest strictly: whatever is unknown, missing, mistyped or altered raises `BundleError`."""
        try:
            value = parse_json(data)
        except ValueError as error:
            raise BundleError(
                f"{MANIFEST_NAME} is not JSON ({error}): it is damaged or altered. Export it again."
            ) from error
        top = Fields(value, "the manifest")
        schema = top.take("schema", int)
        if schema > SCHEMA:
            writer = value.get("edgeseg", "a later version")
            raise BundleError(
                f"this bundle has schema {schema}, written by edgeseg {writer}; this one reads up to schema {SCHEMA}. "
                f"Install edgeseg {writer} or later, or export the bundle again."
            )
        if schema != SCHEMA:
            raise BundleError(f"this bundle has schema {schema}; there is no such schema. Export it again.")
        if not seal_holds(data, top.take("sha256", str)):
            raise BundleError(f"{MANIFEST_NAME} is damaged or altered: its own sha256 does not match. Export it again.")
        manifest = Manifest(
            name=top.take("name", str),
            created=top.take("created", str),
            edgeseg=top.take("edgeseg", str),
            label_map=_read_label_map(top.take("classes", dict)),
            contract=_read_contract(top.take("contract", dict)),
            graphs={key: _read_graph(graph, key) for key, graph in top.take("graphs", dict).items()},
            golden=tuple(GoldenEntry.read(entry) for entry in top.take("golden", list)),
            lineage=top.take("lineage", dict),
            accuracy=top.take_or_none("accuracy", dict),
            parity=top.take_or_none("parity", dict),
            latency=top.take_or_none("latency", dict),
            int8=top.take("int8", dict) if "int8" in value else None,
            files=typed_items(top.take("files", dict), str, "files"),
        )
        top.done()
        return manifest


def _read_label_map(value: dict[str, Any]) -> LabelMap:
    try:
        label_map = LabelMap.from_dict(value)
    except ConfigError as error:
        raise BundleError(f"the manifest's classes are unusable: {error}") from error
    if label_map.to_dict() != value:
        raise BundleError("the manifest's classes are more than names, palette and void, or of other types.")
    return label_map


def _read_contract(value: dict[str, Any]) -> Contract:
    fields = Fields(value, "the manifest's contract")
    height, width = fields.take_list("network_hw", int, 2)
    mean = fields.take_list("mean", float, 3)
    std = fields.take_list("std", float, 3)
    confidence = fields.take("confidence", dict) if "confidence" in value else None
    contract = Contract(
        frame=_read_spec(fields.take("frame", dict), "the contract's frame"),
        labels=_read_spec(fields.take("labels", dict), "the contract's labels"),
        network_hw=(height, width),
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        confidence=None if confidence is None else _read_spec(confidence, "the contract's confidence"),
    )
    fields.done()
    return contract


def _read_spec(value: dict[str, Any], where: str) -> TensorSpec:
    fields = Fields(value, where)
    shape = tuple(None if size is None else typed(size, int, where) for size in fields.take("shape", list))
    spec = TensorSpec(fields.take("name", str), fields.take("dtype", str), shape)
    fields.done()
    return spec


def _read_graph(value: Any, precision: str) -> GraphEntry:
    fields = Fields(value, f"the manifest's graph {precision!r}")
    entry = GraphEntry(
        file=fields.take("file", str),
        opset=fields.take("opset", int),
        bytes=fields.take("bytes", int),
        params=fields.take_or_none("params", int),
    )
    fields.done()
    return entry
