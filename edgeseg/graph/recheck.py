"""Parity of a bundle that is already there, measured again: on this machine, or on frames of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import onnx
from onnx import ModelProto

from edgeseg.bundle import Bundle
from edgeseg.data import SegmentationDataset
from edgeseg.errors import BundleError, CheckpointError
from edgeseg.files import sha256_file
from edgeseg.graph.locate import Divergence, locate_fp16
from edgeseg.graph.parity import MIN_AGREEMENT, ParityReport, Reference, measure_parity
from edgeseg.graph.recipe import ExportConfig
from edgeseg.types import Frame

if TYPE_CHECKING:
    from edgeseg.models.checkpoint import TrainedModel


def load_graphs(bundle: Bundle) -> dict[str, ModelProto]:
    """Precision → graph, of those that parity is defined for; raises `BundleError` without an FP32 graph."""
    graphs = {
        name: onnx.load_from_string(bundle.graph_bytes(name)) for name in bundle.precisions if name in MIN_AGREEMENT
    }
    if "fp32" not in graphs:
        raise BundleError(f"{bundle.path} has no fp32 graph to start from; it has: {', '.join(bundle.precisions)}.")
    return graphs


def trained_model(bundle: Bundle, checkpoint: Path | None) -> TrainedModel:
    """The model that a bundle was exported from: `checkpoint`, else the default; `CheckpointError` if it is not that.

    A checkpoint is known by its sha256. Comparing with another model would say nothing about the export.
    """
    from edgeseg.models.checkpoint import default_checkpoint, load_checkpoint

    wanted, name = bundle.manifest.lineage.get("checkpoint_sha256"), bundle.manifest.lineage.get("checkpoint")
    path = default_checkpoint() if checkpoint is None else checkpoint
    found = sha256_file(path) if path.is_file() else None
    if checkpoint is None and found != wanted:
        raise CheckpointError(
            f"{bundle.path} was exported from {name}, which is not the default model. Name the file with --checkpoint."
        )
    if found is not None and found != wanted:
        raise CheckpointError(
            f"{path} is not what {bundle.path} was exported from ({name}, sha256 {str(wanted)[:12]}…): its sha256 is "
            f"{found[:12]}…. Give that file, or export this one."
        )
    return load_checkpoint(path)


def export_config(bundle: Bundle) -> ExportConfig:
    """The configuration that a bundle was exported with."""
    contract = bundle.contract
    return ExportConfig(
        size_hw=contract.network_hw,
        camera_hw=contract.camera_hw,
        dynamic=contract.camera_hw is None,
        fp16="fp16" in bundle.precisions,
    )


def dataset_frames(dataset: SegmentationDataset, limit: int, camera_hw: tuple[int, int] | None) -> list[Frame]:
    """Up to `limit` frames, spread evenly over the dataset, resized to the camera's size if that is fixed."""
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(limit, len(dataset))).astype(int))
    frames = [dataset[int(index)].image_bgr for index in chosen]
    if camera_hw is None:
        return frames
    return [
        frame if frame.shape[:2] == camera_hw else np.asarray(cv2.resize(frame, camera_hw[::-1]), np.uint8)
        for frame in frames
    ]


def recheck(bundle: Bundle, frames: Sequence[Frame], *, frames_from: str, trained: TrainedModel | None) -> ParityReport:
    """Measure the ladder on a bundle's own files; without the trained model, from FP32 on."""
    reference: Reference | None = None
    if trained is not None:
        # Only here, because a bundle can be checked from FP32 on where there is no PyTorch.
        from edgeseg.graph.export import sealed_network
        from edgeseg.graph.reference import torch_logits

        reference = partial(torch_logits, sealed_network(trained, export_config(bundle)))
    return measure_parity(load_graphs(bundle), frames, bundle.label_map, reference=reference, frames_from=frames_from)


def locate(bundle: Bundle, frame: Frame, trained: TrainedModel | None) -> list[Divergence]:
    """Walk through a bundle's graphs: PyTorch beside FP32 if the trained model is given, and FP32 beside FP16."""
    graphs = load_graphs(bundle)
    found = []
    if trained is not None:
        from edgeseg.graph.export import export_graph
        from edgeseg.graph.program import locate_fp32

        found.append(locate_fp32(export_graph(trained, export_config(bundle)), graphs["fp32"], frame))
    if "fp16" in graphs:
        found.append(locate_fp16(graphs["fp32"], graphs["fp16"], frame))
    return found
