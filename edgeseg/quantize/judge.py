"""Building INT8 graphs of one export and measuring what each costs, for the search in `edgeseg.quantize.budget`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

import cv2
import numpy as np
from onnx import ModelProto

from edgeseg.data import SegmentationDataset
from edgeseg.graph.export import ExportedGraph
from edgeseg.graph.locate import module_of
from edgeseg.labels import LabelMap
from edgeseg.quantize.budget import Budget, Cost, Mix, Search, search
from edgeseg.quantize.dialects import DIALECTS, QuantizedGraph, quantize
from edgeseg.quantize.placement import CPU, TRT
from edgeseg.quantize.ranges import RangeTable
from edgeseg.quantize.scoring import Agreement, latencies_ms, score
from edgeseg.quantize.sensitivity import (
    SHORTLIST,
    LayerLoss,
    LogitsNoise,
    layer_noise,
    leave_one_out,
    quantised_layers,
)
from edgeseg.types import Frame

SENSITIVITY_FRAMES = 4
"""Frames of the evaluation set, evenly spread, on which layers are compared: dozens of graphs are run on them."""

DIMMED = 0.45
"""Brightness of every second one of these: an evaluation set by day says nothing of dusk, where the noise is largest
(default model, 24 calibration frames, all layers in INT8 for TensorRT: 2.1 times that of the same frames by day)."""

QUIET = 5e-4
"""Noise power over signal power of the logits (33 dB) from which on every layer of TensorRT's graph stays in INT8. The
default model has 3.6e-3 with all of them: after a ReLU there are half as many steps as in the CPU graph, which has
1.1e-3."""

LOUD_SHARE = 0.1
"""A layer is loud if without it so much of that noise is gone. It stays in FP16 whatever the budget says: no time tells
there what INT8 of that layer gains, and what it loses shows on frames that nobody judged by."""

LOUD_SHORTLIST = 6
"""The first layers of the graph and those that add most noise to their own output, so many of each, are compared. What
the first ones add is little there, and goes through all the others."""

IN_TURN = 6
"""Most sensitive layers that are found one after the other, each without those before. A tensor stays INT8 as long as
one layer beside it is: on drawn roads two layers of the default model make 33 % and 7 % of the noise, 53 % together."""

MAX_LOUD = 6
"""Layers that may be left out for that; where more are loud, the budget decides."""


class Judge:
    """INT8 graphs of one export, by the very files: `search(dialect)` finds the best within the budget.

    `floats` are the FP32 and FP16 graphs, which INT8 has to beat. `tell` gets a line after each graph.
    """

    def __init__(
        self,
        exported: ExportedGraph,
        floats: Mapping[str, ModelProto],
        table: RangeTable,
        dataset: SegmentationDataset,
        label_map: LabelMap,
        *,
        threads: int | None,
        tell: Callable[[str], None],
        seen: bool = False,
    ) -> None:
        self._fp32 = exported.model
        self._camera_hw = exported.sealed.camera_hw
        self._table = table
        self._dataset = dataset
        self._label_map = label_map
        self._threads = threads
        self._tell = tell
        self._seen = seen
        self._floats = {precision: model.SerializeToString() for precision, model in floats.items()}
        self.fp32 = score(self._floats["fp32"], "fp32", dataset, label_map)
        self.losses: dict[str, list[LayerLoss]] = {}
        """Dialect → its layers, most sensitive first; only where the search had to ask."""
        # The search ends with a graph that it built shortly before.
        self.build = lru_cache(maxsize=4)(self._build)

    def search(self, dialect: str, methods: Sequence[str], budget: Budget) -> Search:
        """The best graph of a dialect within the budget."""
        return search(
            lambda method, kept: self._measure(dialect, method, kept, budget),
            lambda method: self._rank(dialect, method),
            methods,
            budget,
            self._loud(dialect, methods[0]) if dialect == TRT else (),
        )

    def _build(self, dialect: str, method: str, kept: tuple[str, ...]) -> QuantizedGraph:
        """The INT8 graph with these layers in float."""
        return quantize(
            self._fp32, self._table, dialect=dialect, method=method, keep=kept, dynamic=self._camera_hw is None
        )

    def _measure(self, dialect: str, method: str, kept: tuple[str, ...], budget: Budget) -> Mix:
        precision = DIALECTS[dialect]
        file = self.build(dialect, method, kept).model.SerializeToString()
        found = score(file, precision, self._dataset, self._label_map)
        latency = reference = None
        if dialect == CPU:
            frame_bgr = sized(self._dataset[0].image_bgr, self._camera_hw)
            times = latencies_ms({**self._floats, precision: file}, frame_bgr, threads=self._threads)
            latency, reference = times.pop(precision), min(times.values())
        cost = Cost.of(found, self.fp32, labelled=not isinstance(self._dataset, Agreement), seen=self._seen)
        mix = Mix(method, kept, found, cost, latency, reference)
        floats = f", {len(kept)} layers in float" if kept else ""
        speed = "" if mix.speedup is None else f"; {mix.speedup:.2f} times as fast as float"
        self._tell(f"{precision}, ranges by {method}{floats}: {cost.describe(budget)}{speed}")
        return mix

    def _loud(self, dialect: str, method: str) -> tuple[str, ...]:
        """The layers that alone make much of the noise; one found, the others are compared anew without it."""
        loud: tuple[LayerLoss, ...] = ()
        noise = LogitsNoise(self._fp32, self._sensitivity_frames())
        while len(loud) < MAX_LOUD:
            names = tuple(loss.layer for loss in loud)
            if noise(self._for_noise(dialect, method, names).model).mean() <= QUIET:
                break
            worst = self._losses(dialect, method, names, noise, LOUD_SHORTLIST)[0]
            if (worst.gain or 0.0) < LOUD_SHARE:
                break
            module = next(module_of(node) for node in self._fp32.graph.node if node.name == worst.layer)
            self._tell(f"{DIALECTS[dialect]}: {module} alone makes {worst.gain:.0%} of the noise: not in INT8")
            loud = (*loud, worst)
        self.losses[dialect] = list(loud)
        return tuple(loss.layer for loss in loud)

    def _rank(self, dialect: str, method: str) -> list[str]:
        loud = self.losses.get(dialect, [])
        self._tell(f"{DIALECTS[dialect]}: leaving layers in float one by one, to see which lose most")
        noise = LogitsNoise(self._fp32, self._sensitivity_frames())
        chosen: list[LayerLoss] = []
        losses = self._losses(dialect, method, tuple(loss.layer for loss in loud), noise, SHORTLIST)
        while len(chosen) < IN_TURN and len(losses) > 1:
            chosen.append(losses[0])
            kept = tuple(loss.layer for loss in (*loud, *chosen))
            losses = self._losses(dialect, method, kept, noise, LOUD_SHORTLIST)
        self.losses[dialect] = [*loud, *chosen, *losses]
        return [loss.layer for loss in (*chosen, *losses)]

    def _losses(
        self, dialect: str, method: str, kept: tuple[str, ...], noise: LogitsNoise, shortlist: int
    ) -> list[LayerLoss]:
        """The layers that are INT8 beside those in `kept`, most sensitive first; `shortlist` are left out in turn."""
        whole = self._for_noise(dialect, method, kept)
        layers = quantised_layers(self._fp32, whole.placement)
        by_noise = layer_noise(self._fp32, whole.model, layers, self._sensitivity_frames(), optimised=True)
        if len(layers) == 1:
            # Without it nothing would be INT8.
            return by_noise
        first = {node.name for node in layers[:shortlist]}
        compared = [loss for index, loss in enumerate(by_noise) if index < shortlist or loss.layer in first]
        tried = leave_one_out(noise, lambda more: self._for_noise(dialect, method, (*kept, *more)).model, compared)
        return [*tried, *(loss for loss in by_noise if loss not in compared)]

    def _for_noise(self, dialect: str, method: str, kept: tuple[str, ...]) -> QuantizedGraph:
        """The INT8 graph in FP32 instead of FP16, which adds next to nothing to INT8's noise: ONNX Runtime may optimise
        it then, and it is written in a fraction of the time."""
        dynamic = self._camera_hw is None
        return quantize(self._fp32, self._table, dialect=dialect, method=method, keep=kept, fp16=False, dynamic=dynamic)

    def _sensitivity_frames(self) -> list[Frame]:
        indices = np.unique(np.linspace(0, len(self._dataset) - 1, SENSITIVITY_FRAMES).astype(int))
        frames = [sized(self._dataset[int(index)].image_bgr, self._camera_hw) for index in indices]
        return [
            np.asarray(frame * DIMMED, np.uint8) if position % 2 else frame for position, frame in enumerate(frames)
        ]


def sized(frame_bgr: Frame, camera_hw: tuple[int, int] | None) -> Frame:
    """A frame, uint8 (H, W, 3) BGR, at the size that a graph for one camera takes; for any camera as it is."""
    if camera_hw is None or frame_bgr.shape[:2] == camera_hw:
        return frame_bgr
    return np.asarray(cv2.resize(frame_bgr, camera_hw[::-1]), np.uint8)


def all_sized(frames: Iterator[Frame], camera_hw: tuple[int, int] | None) -> Iterator[Frame]:
    """The same of many, one at a time."""
    return (sized(frame_bgr, camera_hw) for frame_bgr in frames)
