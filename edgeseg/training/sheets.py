"""A contact sheet of the same few validation frames at every measured epoch: how the predictions come along."""

from __future__ import annotations

from edgeseg.data import Sample
from edgeseg.labels import LabelMap
from edgeseg.metrics.confusion import FrameScore
from edgeseg.metrics.pictures import Tile, contact_sheet
from edgeseg.training import distributed
from edgeseg.types import Frame, Labels

ROWS = 4
PANEL_WIDTH = 240
"""Pixels: a sheet of four camera frames takes 0.5 to 0.7 MB."""


class EpochSheet:
    """Keeps `ROWS` of `frames` validation frames, evenly spread; `add` is an `on_sample` of validation."""

    def __init__(self, frames: int) -> None:
        self._chosen = {(2 * row + 1) * frames // (2 * ROWS) for row in range(ROWS)}
        self._tiles: dict[int, Tile] = {}

    def add(self, score: FrameScore, sample: Sample, prediction: Labels) -> None:
        """Keep the frame if it is one of those shown."""
        if score.index in self._chosen:
            figure = "all void" if score.miou is None else f"mIoU {100 * score.miou:.1f} %"
            self._tiles[score.index] = Tile(sample, prediction, f"{score.name}   {figure}")

    def picture(self, label_map: LabelMap, title: str) -> Frame:
        """BGR picture of what all processes kept; every process has to ask for it."""
        tiles = {index: tile for kept in distributed.gather(self._tiles) for index, tile in kept.items()}
        return contact_sheet([tiles[index] for index in sorted(tiles)], label_map, title, panel_width=PANEL_WIDTH)
