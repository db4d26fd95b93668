"""2×2 max-pooling that remembers where each maximum was, and its inverse, in two forms that agree to the bit.

PyTorch remembers an int64 index a window. In a deployed graph that would be a MaxPool with a second output and a
scatter, of which TensorRT builds neither. While a network is exported, the same functions therefore say the same in
plain operators: a place is one of the four positions (row, column) in the window, and a mask a position tells which
windows have their maximum there. Maxima that occur twice, as zeros behind a ReLU do, count where PyTorch finds them
first: (0, 0), (0, 1), (1, 0), (1, 1).

The two forms agree for every input without NaN, infinities included. In a window with a NaN the pooled value is NaN in
both; unpooled, PyTorch puts the value where the NaN was, the graph nowhere, because nothing equals NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
import torch.nn.functional as F

from edgeseg.models.upsampling import crop_to

Places = torch.Tensor | tuple[torch.Tensor, ...]
"""Where the maxima were, for `unpool`: int64 indices (N, C, h, w) or, in an export, four bool masks of that shape."""

_WINDOW = 2


def pool_with_places(value: torch.Tensor) -> tuple[torch.Tensor, Places]:
    """float (N, C, H, W) → maxima of 2×2 windows (N, C, ceil(H/2), ceil(W/2)), and where they were.

    As `F.max_pool2d(value, 2, ceil_mode=True, return_indices=True)`: of an odd size the last window is a narrow one.
    """
    if not torch.compiler.is_exporting():
        pooled, indices = F.max_pool2d(value, _WINDOW, ceil_mode=True, return_indices=True)
        return pooled, indices
    # The maximum of the four, not MaxPool: ONNX Runtime's answers the lowest float32 to a window of −∞.
    phases = _phases(value)
    pooled = reduce(torch.maximum, phases)
    masks: list[torch.Tensor] = []
    taken: torch.Tensor | None = None
    for phase in phases:
        here = phase == pooled
        masks.append(here if taken is None else here & ~taken)
        taken = here if taken is None else taken | here
    return pooled, tuple(masks)


def unpool(value: torch.Tensor, places: Places, size_hw: Sequence[int]) -> torch.Tensor:
    """float (N, C, h, w) → (N, C, *size_hw): each value where the maximum of its window was, zeros elsewhere.

    As `F.max_unpool2d`; `places` and `size_hw` are those of the map that was pooled.
    """
    if isinstance(places, torch.Tensor):
        return F.max_unpool2d(value, places, [_WINDOW, _WINDOW], output_size=list(size_hw))
    # where, not a product: 0·∞ would be NaN.
    phases = torch.stack([torch.where(mask, value, 0.0) for mask in places], dim=2)
    return crop_to(F.pixel_shuffle(phases.flatten(1, 2), _WINDOW), size_hw)


def _phases(value: torch.Tensor) -> list[torch.Tensor]:
    """The four positions of all windows, in the order in which PyTorch looks at them: (N, C, h, w) each.

    An odd side repeats its last row or column. The copy equals a value that comes before it in the window, so it is
    never the first maximum; a constant would have to be below everything, and −∞ is nothing to hand to every runtime.
    """
    if value.shape[-2] % _WINDOW:
        value = torch.cat((value, value[..., -1:, :]), dim=-2)
    if value.shape[-1] % _WINDOW:
        value = torch.cat((value, value[..., -1:]), dim=-1)
    return [value[..., row::_WINDOW, column::_WINDOW] for row in range(_WINDOW) for column in range(_WINDOW)]
