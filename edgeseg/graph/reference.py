"""The trained network in PyTorch, on numpy frames: what every graph is compared with."""

from __future__ import annotations

import numpy as np
import torch

from edgeseg.graph.agreement import Logits
from edgeseg.models.sealed import SealedNetwork
from edgeseg.types import Confidence, Frame, Labels


def torch_logits(sealed: SealedNetwork, frame_bgr: Frame) -> Logits:
    """uint8 (H, W, 3) BGR → float32 (C, h, w)."""
    with torch.inference_mode():
        return np.asarray(sealed.logits(_batch(frame_bgr))[0].numpy())


def torch_labels(sealed: SealedNetwork, frame_bgr: Frame) -> Labels:
    """uint8 (H, W, 3) BGR → uint8 (H, W)."""
    with torch.inference_mode():
        return np.asarray(sealed(_batch(frame_bgr))[0].numpy())


def torch_confidence(sealed: SealedNetwork, frame_bgr: Frame) -> Confidence:
    """uint8 (H, W, 3) BGR → uint8 (H, W), 255 times the probability of each label."""
    with torch.inference_mode():
        batch = _batch(frame_bgr)
        return np.asarray(sealed.confidence(sealed.logits(batch), batch.shape[1:3])[0].numpy())


def _batch(frame_bgr: Frame) -> torch.Tensor:
    # A copy, because torch warns of arrays that are read-only or reversed.
    return torch.from_numpy(np.array(frame_bgr[np.newaxis]))
