"""Lovász-softmax: the tight convex extension of 1 − IoU."""

from __future__ import annotations

import torch

from edgeseg.training import distributed
from edgeseg.training.losses.pixels import Pixels


def lovasz_softmax(pixels: Pixels) -> torch.Tensor:
    """Mean over the batch's classes of the Lovász extension of 1 − IoU at the errors |y − p| (Berman, Triki, Blaschko
    2018, equations 8, 9 and 11), over all labelled pixels of the batch at once, as there for IoU over a dataset.

    Scalar; 0 where every pixel is void. Where the batch is split over processes, each sends all others 8 bytes a pixel
    for every class present, and ranks the whole batch.
    """
    present = torch.nonzero(pixels.class_pixels)[:, 0].tolist()
    total = pixels.logits.sum() * 0.0
    for index in present:
        probability, is_class = pixels.probability[:, index][pixels.labelled], pixels.truth[pixels.labelled] == index
        errors = torch.where(is_class, 1 - probability, probability)
        errors = distributed.all_gather_values(errors)
        truth = distributed.all_gather_values(is_class.to(errors.dtype))
        ranked, order = errors.sort(descending=True)
        total = total + ranked @ jaccard_steps(truth[order])
    return total / max(1, len(present))


def jaccard_steps(truth: torch.Tensor) -> torch.Tensor:
    """(P,) of 0 and 1: is the pixel of the class, from the largest error down → (P,): J_i − J_{i−1}.

    J_i = 1 − (T − Σ_{k≤i} y_k) / (T + Σ_{k≤i} (1 − y_k)) is 1 − IoU where the first i pixels are wrong; T are of the
    class (equation 9).
    """
    # Whole numbers: float32 counts no further than 16.7 million pixels.
    hit = truth.long().cumsum(0)
    place = torch.arange(1, len(hit) + 1, device=hit.device)
    jaccard = 1 - (hit[-1:] - hit).to(truth.dtype) / (hit[-1:] + place - hit)
    return torch.diff(jaccard, prepend=jaccard.new_zeros(1))
