"""Which layers lose the most in INT8: first by the noise that each adds, then by what leaving it in float brings back.

Noise is quick to see: one run of both graphs gives it for all layers. But it says what a layer does to its own output,
not what that does to the classes. So the layers that add most are then left in float one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto

from edgeseg.graph.contract import LOGITS
from edgeseg.graph.observe import Observer, inner_floats
from edgeseg.quantize.placement import Placement
from edgeseg.types import Frame

SHORTLIST = 16
"""Layers that are left in float one by one; the others follow them in the order of their noise."""


@dataclass(frozen=True, slots=True)
class LayerLoss:
    """What INT8 does to one layer."""

    layer: str
    """Name of its node."""
    sqnr_db: float | None
    """Signal to quantisation noise of its output, with all that comes before it in INT8 too; None where the dialect has
    rewritten the layer, so that its output is no tensor of both graphs."""
    added_noise: float
    """Noise power over signal power of its output, less that of its input; 0 where that is not known."""
    gain: float | None = None
    """Share of the logits' noise power that goes away when this layer alone is in float; None: not tried."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the report."""
        return asdict(self)


def quantised_layers(model: ModelProto, placement: Placement) -> list[NodeProto]:
    """The nodes of the FP32 graph whose weights become int8."""
    return [node for node in model.graph.node if len(node.input) > 1 and node.input[1] in placement.weights]


def layer_noise(
    fp32: ModelProto, int8: ModelProto, layers: Sequence[NodeProto], frames: Sequence[Frame], *, optimised: bool = False
) -> list[LayerLoss]:
    """Noise of each layer's output over `frames`, uint8 (H, W, 3) BGR; the layer that adds most comes first."""
    both = set(inner_floats(fp32)) & set(inner_floats(int8))
    tensors = sorted({name for node in layers for name in (node.input[0], node.output[0])} & both)
    reference, candidate = Observer(fp32, tensors), Observer(int8, tensors, optimised=optimised)
    signal, noise = dict.fromkeys(tensors, 0.0), dict.fromkeys(tensors, 0.0)
    for frame_bgr in frames:
        exact, found = reference(frame_bgr), candidate(frame_bgr)
        for name in tensors:
            truth = exact[name].astype(np.float64)
            signal[name] += float(np.square(truth).sum())
            noise[name] += float(np.square(found[name].astype(np.float64) - truth).sum())
    ratio = {name: noise[name] / signal[name] if signal[name] > 0 else 0.0 for name in tensors}
    losses = [
        LayerLoss(node.name, _decibels(after), after - ratio.get(node.input[0], 0.0))
        if (after := ratio.get(node.output[0])) is not None
        else LayerLoss(node.name, None, 0.0)
        for node in layers
    ]
    return sorted(losses, key=lambda loss: -loss.added_noise)


def leave_one_out(
    fp32: ModelProto,
    build: Callable[[tuple[str, ...]], ModelProto],
    losses: Sequence[LayerLoss],
    frames: Sequence[Frame],
    *,
    optimised: bool,
) -> list[LayerLoss]:
    """The same layers, the first `SHORTLIST` ordered by what each brings back; `build(kept)` makes the INT8 graph."""
    exact = [Observer(fp32, [LOGITS])(frame_bgr)[LOGITS].astype(np.float64) for frame_bgr in frames]

    def logits_noise(kept: tuple[str, ...]) -> float:
        observe = Observer(build(kept), [LOGITS], optimised=optimised)
        return sum(
            float(np.square(observe(frame_bgr)[LOGITS].astype(np.float64) - truth).sum())
            for frame_bgr, truth in zip(frames, exact, strict=True)
        )

    everything = logits_noise(())
    tried = [
        LayerLoss(
            loss.layer,
            loss.sqnr_db,
            loss.added_noise,
            gain=1 - logits_noise((loss.layer,)) / everything if everything > 0 else 0.0,
        )
        for loss in losses[:SHORTLIST]
    ]
    return [*sorted(tried, key=lambda loss: -(loss.gain or 0.0)), *losses[SHORTLIST:]]


def _decibels(noise_over_signal: float) -> float:
    """Signal over noise in dB, at most 200: JSON has no infinity."""
    return float(min(200.0, -10 * np.log10(max(noise_over_signal, 1e-20))))
