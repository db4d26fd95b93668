"""Building INT8 graphs of one export and measuring what each costs, for the search in `edgeseg.quantize.budget`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

import cv2
import numpy as np
from onnx import ModelProto

from edgeseg.data import SegmentationDataset
from edgeseg.graph.export import ExportedGraph
from edgeseg.labels import LabelMap
from edgeseg.quantize.budget import Budget, Cost, Mix, Search, search
from edgeseg.quantize.dialects import DIALECTS, QuantizedGraph, quantize
from edgeseg.quantize.placement import CPU
from edgeseg.quantize.ranges import RangeTable
from edgeseg.quantize.scoring import Agreement, latencies_ms, score
from edgeseg.quantize.sensitivity import LayerLoss, layer_noise, leave_one_out, quantised_layers
from edgeseg.types import Frame

SENSITIVITY_FRAMES = 4
"""Frames of the evaluation set, evenly spread, on which layers are compared: a hundred graphs are run on them."""


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
    ) -> None:
        self._fp32 = exported.model
        self._camera_hw = exported.sealed.camera_hw
        self._table = table
        self._dataset = dataset
        self._label_map = label_map
        self._threads = threads
        self._tell = tell
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
        cost = Cost.of(found.result, self.fp32.result, labelled=not isinstance(self._dataset, Agreement))
        mix = Mix(method, kept, found, cost, latency, reference)
        floats = f", {len(kept)} layers in float" if kept else ""
        speed = "" if mix.speedup is None else f"; {mix.speedup:.2f} times as fast as float"
        self._tell(f"{precision}, ranges by {method}{floats}: {cost.describe(budget)}{speed}")
        return mix

    def _rank(self, dialect: str, method: str) -> list[str]:
        whole = self.build(dialect, method, ())
        indices = np.linspace(0, len(self._dataset) - 1, SENSITIVITY_FRAMES).astype(int)
        frames = [sized(self._dataset[int(index)].image_bgr, self._camera_hw) for index in np.unique(indices)]
        layers = quantised_layers(self._fp32, whole.placement)
        optimised = dialect == CPU
        noise = layer_noise(self._fp32, whole.model, layers, frames, optimised=optimised)
        self._tell(f"{DIALECTS[dialect]}: leaving layers in float one by one, to see which lose most")
        losses = leave_one_out(
            self._fp32, lambda kept: self._build(dialect, method, kept).model, noise, frames, optimised=optimised
        )
        self.losses[dialect] = losses
        return [loss.layer for loss in losses]


def sized(frame_bgr: Frame, camera_hw: tuple[int, int] | None) -> Frame:
    """A frame, uint8 (H, W, 3) BGR, at the size that a graph for one camera takes; for any camera as it is."""
    if camera_hw is None or frame_bgr.shape[:2] == camera_hw:
        return frame_bgr
    return np.asarray(cv2.resize(frame_bgr, camera_hw[::-1]), np.uint8)


def all_sized(frames: Iterator[Frame], camera_hw: tuple[int, int] | None) -> Iterator[Frame]:
    """The same of many, one at a time."""
    return (sized(frame_bgr, camera_hw) for frame_bgr in frames)
