"""The focal loss: pixels that are right already hardly count."""

from __future__ import annotations

import torch

from edgeseg.training.losses.pixels import Pixels


def focal(pixels: Pixels, *, gamma: float) -> torch.Tensor:
    """Σ −w·(1 − p_y)^γ·ln p_y / Σ w over labelled pixels, w the class weight (Lin et al. 2017, equation 5).

    Scalar; 0 where every pixel is void.
    """
    # 1 − p through expm1, which keeps what p so near to 1 would round away. The clamp keeps the power's own gradient
    # finite at p = 1 for every γ.
    wrong = (-torch.expm1(-pixels.nll)).clamp_min(torch.finfo(pixels.nll.dtype).eps)
    return pixels.mean(wrong**gamma * pixels.nll * pixels.pixel_weights, pixels.pixel_weights)
