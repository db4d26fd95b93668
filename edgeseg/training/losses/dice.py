"""Soft Dice: F1 with probabilities in place of decisions."""

from __future__ import annotations

import torch

from edgeseg.training.losses.pixels import Pixels


def soft_dice(pixels: Pixels) -> torch.Tensor:
    """1 − mean over the batch's classes of 2·Σp·y / Σ(p + y), with softmax p and one-hot y; void pixels left out.

    The Dice loss of Sudre et al. 2017 (equation of DL₂, without class weights), for any number of classes. Scalar; 0
    where every pixel is void.
    """
    overlap, mass = pixels.overlap_and_mass
    size = pixels.class_pixels
    present = size > 0
    both = torch.where(present, mass + size, 1.0)
    return (present * (1 - 2 * overlap / both)).sum() / present.sum().clamp_min(1)
