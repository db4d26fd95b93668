"""Which layers lose the most in INT8: first by the noise that each adds, then by what leaving it in float brings back.

Noise is quick to see: one run of both graphs gives it for all layers. But it says what a layer does to its own output,
not what that does to the classes. So the layers that add most are then left in float one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto

from edgeseg.graph.contract import LOGITS
from edgeseg.graph.observe import Observer, inner_floats
from edgeseg.quantize.placement import Placement
from edgeseg.types import Frame

SHORTLIST = 16
"""Layers that are left in float one by one where the budget asks for an order; the others follow by their noise."""


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
    """Share of the logits' noise power that goes away with this layer in float, besides those that stay so before it;
    None: not tried."""

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


class LogitsNoise:
    """How far the logits of an INT8 graph are from FP32's on some frames."""

    def __init__(self, fp32: ModelProto, frames: Sequence[Frame]) -> None:
        observe = Observer(fp32, [LOGITS])
        self._frames = frames
        self._exact = [observe(frame_bgr)[LOGITS].astype(np.float64) for frame_bgr in frames]

    def __call__(self, int8: ModelProto) -> NDArray[np.float64]:
        """Noise power over signal power on each frame: (frames,)."""
        observe = Observer(int8, [LOGITS], optimised=True)
        pairs = zip(self._frames, self._exact, strict=True)
        ratios = [
            np.square(observe(frame)[LOGITS].astype(np.float64) - exact).sum() / max(np.square(exact).sum(), 1e-30)
            for frame, exact in pairs
        ]
        return np.array(ratios)


def leave_one_out(
    noise: LogitsNoise, build: Callable[[tuple[str, ...]], ModelProto], losses: Sequence[LayerLoss]
) -> list[LayerLoss]:
    """The same layers, ordered by what leaving each in float brings back; `build(kept)` makes the INT8 graph.

    Each frame's noise counts relative to that of the graph with all of them in INT8, so that none outweighs the others.
    """
    everything = noise(build(()))
    noisy = everything > 0

    def gain(layer: str) -> float:
        return float(np.mean(1 - noise(build((layer,)))[noisy] / everything[noisy])) if noisy.any() else 0.0

    tried = [replace(loss, gain=gain(loss.layer)) for loss in losses]
    return sorted(tried, key=lambda loss: -(loss.gain or 0.0))


def _decibels(noise_over_signal: float) -> float:
    """Signal over noise in dB, at most 200: JSON has no infinity."""
    return float(min(200.0, -10 * np.log10(max(noise_over_signal, 1e-20))))
