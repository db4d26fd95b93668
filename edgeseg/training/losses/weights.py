"""Class weights: rare classes count more."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray


def class_weights(shares: NDArray[np.float64], offset: float) -> torch.Tensor:
    """float32 (classes,) weights 1/ln(offset + share), scaled to mean 1 (ENet, Paszke et al. 2016, section 5.2)."""
    weights = 1.0 / np.log(offset + shares)
    return torch.from_numpy((weights / weights.mean()).astype(np.float32))
