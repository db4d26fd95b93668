"""Parity of graphs that are there already, measured again: a bundle's, or one that failed its gate and was kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import onnx
from onnx import ModelProto, TensorProto

from edgeseg.bundle import Bundle
from edgeseg.data import SegmentationDataset
from edgeseg.errors import BundleError, CheckpointError, ConfigError, UnavailableError
from edgeseg.files import sha256_file
from edgeseg.graph.contract import CHECKPOINT_PROPERTY, CLASSES_PROPERTY, FRAME, IMAGE
from edgeseg.graph.lint import tensor_types
from edgeseg.graph.locate import Divergence, locate_fp16, locate_int8
from edgeseg.graph.parity import MIN_AGREEMENT, ParityReport, Reference, measure_parity
from edgeseg.graph.recipe import ExportConfig
from edgeseg.labels import LabelMap, distinct_palette
from edgeseg.types import Frame

if TYPE_CHECKING:
    from edgeseg.models.checkpoint import TrainedModel


@dataclass(frozen=True)
class Exported:
    """Graphs to measure, and what they were made of."""

    path: Path
    graphs: Mapping[str, ModelProto]
    """By precision."""
    label_map: LabelMap
    network_hw: tuple[int, int]
    camera_hw: tuple[int, int] | None
    """Height and width of the frames; None: any."""
    checkpoint_sha256: str | None

    @property
    def config(self) -> ExportConfig:
        """With which they were exported."""
        return ExportConfig(
            size_hw=self.network_hw,
            camera_hw=self.camera_hw,
            dynamic=self.camera_hw is None,
            confidence=all(len(model.graph.output) > 1 for model in self.graphs.values()),
        )


def open_exported(path: Path) -> Exported:
    """Open a bundle (a folder), or a single graph of one (a file); raises `BundleError` for anything else."""
    return _graph_file(path) if path.is_file() else _bundle(Bundle.open(path))


def trained_model(exported: Exported, checkpoint: Path | None) -> TrainedModel:
    """What the graphs were exported from: `checkpoint`, else the default model; `CheckpointError` if it is not that.

    A checkpoint is known by its sha256. Comparing with another model would say nothing about the export.
    """
    from edgeseg.models.checkpoint import default_checkpoint, load_checkpoint

    path, wanted = default_checkpoint() if checkpoint is None else checkpoint, exported.checkpoint_sha256
    found = sha256_file(path) if path.is_file() else None
    if checkpoint is None and found != wanted:
        raise CheckpointError(
            f"{exported.path} was not exported from the default model. Name its checkpoint with --checkpoint."
        )
    if found is not None and found != wanted:
        raise CheckpointError(
            f"{path} is not what {exported.path} was exported from: its sha256 is {found[:12]}…, expected "
            f"{str(wanted)[:12]}…. Give that file, or export this one."
        )
    return load_checkpoint(path)


def dataset_frames(dataset: SegmentationDataset, limit: int, camera_hw: tuple[int, int] | None) -> list[Frame]:
    """Up to `limit` frames, spread evenly over the dataset, resized to the camera's size if that is fixed."""
    if limit < 1:
        raise ConfigError(f"limit={limit}: parity is measured on at least one frame.")
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(limit, len(dataset))).astype(int))
    frames = [dataset[int(index)].image_bgr for index in chosen]
    if camera_hw is None:
        return frames
    return [
        frame if frame.shape[:2] == camera_hw else np.asarray(cv2.resize(frame, camera_hw[::-1]), np.uint8)
        for frame in frames
    ]


class Recheck:
    """The ladder on given graphs; without the trained model (None), from FP32 on.

    A kept FP16 or INT8 graph comes alone: the FP32 graph above it is then exported again from the trained model.
    """

    def __init__(self, exported: Exported, trained: TrainedModel | None) -> None:
        self._exported = exported
        self._trained = trained
        self._graphs = dict(exported.graphs)
        if "fp32" not in self._graphs:
            if trained is None:
                raise UnavailableError(
                    f"{exported.path} has no FP32 graph to compare with, and there is no PyTorch here to export one. "
                    "Install it with: pip install 'edgeseg[train]'"
                )
            from edgeseg.graph.export import export_graph

            self._graphs = {"fp32": export_graph(trained, exported.config).model, **self._graphs}

    def measure(self, frames: Sequence[Frame], *, frames_from: str) -> ParityReport:
        """Compare on `frames`, uint8 (H, W, 3) BGR of the camera's size; `frames_from` says what they are."""
        reference: Reference | None = None
        if self._trained is not None:
            # Only here, because graphs can be checked from FP32 on where there is no PyTorch.
            from edgeseg.graph.export import sealed_network
            from edgeseg.graph.reference import torch_logits

            reference = partial(torch_logits, sealed_network(self._trained, self._exported.config))
        return measure_parity(
            self._graphs, frames, self._exported.label_map, reference=reference, frames_from=frames_from
        )

    def locate(self, frame_bgr: Frame) -> list[Divergence]:
        """Walk through the graphs: PyTorch beside FP32 if the trained model is given, and FP32 beside FP16 and INT8."""
        found = []
        if self._trained is not None:
            from edgeseg.graph.export import export_graph
            from edgeseg.graph.program import locate_fp32

            program = export_graph(self._trained, self._exported.config)
            found.append(locate_fp32(program, self._graphs["fp32"], frame_bgr))
        if "fp16" in self._graphs:
            found.append(locate_fp16(self._graphs["fp32"], self._graphs["fp16"], frame_bgr))
        found += [
            locate_int8(self._graphs["fp32"], graph, precision, frame_bgr)
            for precision, graph in self._graphs.items()
            if precision.startswith("int8")
        ]
        return found


def _bundle(bundle: Bundle) -> Exported:
    known = [precision for precision in bundle.precisions if precision in MIN_AGREEMENT]
    return Exported(
        path=bundle.path,
        graphs={precision: onnx.load_from_string(bundle.graph_bytes(precision)) for precision in known},
        label_map=bundle.label_map,
        network_hw=bundle.contract.network_hw,
        camera_hw=bundle.contract.camera_hw,
        checkpoint_sha256=bundle.manifest.lineage.get("checkpoint_sha256"),
    )


def _graph_file(path: Path) -> Exported:
    """A graph says itself what it is: in its shapes, and in the properties that the export wrote."""
    try:
        model = onnx.load_from_string(path.read_bytes())
        properties = {entry.key: entry.value for entry in model.metadata_props}
        names = tuple(json.loads(properties[CLASSES_PROPERTY]))
        shapes = {
            value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
            for value in (*model.graph.input, *model.graph.value_info)
        }
        # An open size is 0 here.
        _, height, width, _ = shapes[FRAME]
        # In INT8 for CPUs there may be no image: the first convolution reads the frame, which then has its size.
        _, _, network_height, network_width = shapes.get(IMAGE, (1, 3, height, width))
    except Exception as error:  # protobuf's, JSON's and our own; whatever it is, this is no graph that we wrote
        raise BundleError(f"{path} is not a sealed graph of edgeseg. Name one, or a bundle (a folder).") from error
    return Exported(
        path=path,
        graphs={_precision_of(model): model},
        label_map=LabelMap(names, distinct_palette(len(names))),
        network_hw=(network_height, network_width),
        camera_hw=(height, width) if height and width else None,
        checkpoint_sha256=properties.get(CHECKPOINT_PROPERTY),
    )


def _precision_of(model: ModelProto) -> str:
    """By what the graph computes with; of the INT8 dialects only that for CPUs has unsigned activations."""
    types = tensor_types(model)
    zero_points = {types.get(node.input[2]) for node in model.graph.node if node.op_type == "QuantizeLinear"}
    if zero_points:
        return "int8-cpu" if TensorProto.UINT8 in zero_points else "int8-trt"
    return "fp16" if TensorProto.FLOAT16 in types.values() else "fp32"
