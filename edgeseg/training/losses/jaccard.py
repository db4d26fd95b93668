"""Soft Jaccard: IoU with probabilities in place of decisions."""

from __future__ import annotations

import torch

from edgeseg.training.losses.pixels import Pixels


def soft_jaccard(pixels: Pixels) -> torch.Tensor:
    """1 − mean over the batch's classes of Σp·y / Σ(p + y − p·y), with softmax p and one-hot y; void pixels left out.

    The relaxed IoU of Rahman and Wang 2016, over the whole batch at once, so that a class absent from one crop but
    present in another keeps a stable value. Scalar; 0 where every pixel is void.
    """
    overlap, mass = pixels.overlap_and_mass
    size = pixels.class_pixels
    present = size > 0
    union = torch.where(present, mass + size - overlap, 1.0)
    return (present * (1 - overlap / union)).sum() / present.sum().clamp_min(1)
