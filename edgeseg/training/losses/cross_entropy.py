"""Cross entropy over labelled pixels, all of them or the hardest ones."""

from __future__ import annotations

import torch

from edgeseg.training import distributed
from edgeseg.training.losses.pixels import Pixels


def cross_entropy(pixels: Pixels, *, smoothing: float = 0.0, fraction: float = 1.0) -> torch.Tensor:
    """Σ w·ℓ / Σ w over labelled pixels, w the class weight, or over the `fraction` of them with the largest w·ℓ.

    ℓ = (1 − ε)·(−ln p_y) + ε/C · Σ_c −ln p_c with ε = `smoothing` (Szegedy et al. 2016, section 7). Hard pixels alone:
    Shrivastava et al. 2016, for pixels. Scalar; 0 where every pixel is void.
    """
    if fraction == 1 and not smoothing:
        return pixels.ratio(pixels.summed_nll(), (pixels.class_pixels * pixels.weights).sum())
    losses = pixels.nll
    if smoothing:
        uniform = -pixels.log_probability.mean(1)
        losses = (1 - smoothing) * losses + smoothing * uniform
    losses = losses * pixels.pixel_weights
    if fraction == 1:
        return pixels.mean(losses, pixels.pixel_weights)
    share = hardest(losses.detach(), pixels, fraction)
    return pixels.mean(losses * share, pixels.pixel_weights * share)


def hardest(losses: torch.Tensor, pixels: Pixels, fraction: float) -> torch.Tensor:
    """(N, H, W): 1 for the `fraction` of the whole batch's labelled pixels with the largest loss, else 0.

    Pixels that tie for the last place share it, so that nothing depends on their order or on how the batch is split.
    """
    everywhere = distributed.all_gather_values(losses[pixels.labelled])
    if not everywhere.numel():
        return torch.zeros_like(losses)
    count = max(1, int(everywhere.numel() * fraction))
    last = everywhere.topk(count, sorted=False).values.min()
    above, equal = int((everywhere > last).sum()), int((everywhere == last).sum())
    share = (losses > last).to(losses.dtype) + (losses == last) * ((count - above) / equal)
    return share * pixels.labelled
