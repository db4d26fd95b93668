"""A checkpoint that gives class probabilities beside its labels, for metrics over thresholds. Needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F

from edgeseg.metrics.base import Scored
from edgeseg.models.checkpoint import load_checkpoint
from edgeseg.models.multiscale import network_looking
from edgeseg.models.sealed import Preprocess
from edgeseg.types import Frame


class ScoredModel:
    """BGR uint8 frame (H, W, 3) → labels uint8 (H, W) and softmax scores float32 (classes, H, W), in PyTorch.

    One pass of the network gives both. Labels are those of the sealed graph: argmax at the network's size, then nearest
    neighbour. Scores are softmax at the network's size, then bilinear, so that they stay probabilities.
    """

    def __init__(self, path: Path | None, scales: Sequence[float] = (1.0,), *, flip: bool = False) -> None:
        """`None` is the default model; scales and flip as in `edgeseg.models.multiscale`. Raises `CheckpointError`."""
        trained = load_checkpoint(path)
        self.label_map = trained.label_map
        preprocess = Preprocess(trained.size_hw, trained.mean, trained.std)
        self._sealed = network_looking(trained.network, preprocess, scales, flip=flip).eval()

    @torch.inference_mode()
    def __call__(self, frame_bgr: Frame) -> Scored:
        """Segment one frame."""
        logits = self._sealed.logits(torch.from_numpy(frame_bgr.copy())[None])
        size_hw = frame_bgr.shape[:2]
        ids = F.interpolate(logits.argmax(1, keepdim=True).float(), size=size_hw, mode="nearest-exact")
        scores = F.interpolate(logits.softmax(1), size=size_hw, mode="bilinear", align_corners=False)
        return Scored(ids[0, 0].to(torch.uint8).numpy(), scores[0].numpy())
