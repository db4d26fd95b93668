"""Validation while training: the averaged weights, through the very preprocessing and argmax that get exported."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from edgeseg.data import Sample, SegmentationDataset
from edgeseg.labels import LabelMap
from edgeseg.metrics.confusion import EvaluationResult, FrameScore
from edgeseg.metrics.evaluate import evaluate
from edgeseg.models.sealed import Preprocess, SealedNetwork
from edgeseg.types import Frame, Labels


def validate(
    network: nn.Module,
    dataset: SegmentationDataset,
    label_map: LabelMap,
    preprocess: Preprocess,
    device: torch.device,
    on_sample: Callable[[FrameScore, Sample, Labels], None] | None = None,
) -> EvaluationResult:
    """Measure `network` on `dataset`; `on_sample(score, sample, prediction)` is called after each frame."""
    sealed = SealedNetwork(network, preprocess, None).to(device).eval()

    @torch.inference_mode()
    def segment(frame_bgr: Frame) -> Labels:
        labels: Labels = sealed(torch.from_numpy(frame_bgr)[None].to(device))[0].cpu().numpy()
        return labels

    return evaluate(dataset, segment, label_map, on_sample=on_sample)
