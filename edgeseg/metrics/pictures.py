"""Pictures of an evaluation: the confusion matrix, and a contact sheet of image | truth | prediction | error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgeseg.data import Sample
from edgeseg.data.sheet import VOID_RGB, Row, class_panel, draw_sheet, save_picture
from edgeseg.files import atomic_path
from edgeseg.labels import LabelMap
from edgeseg.lazy import require
from edgeseg.metrics.confusion import EvaluationResult, FrameScore
from edgeseg.types import Frame, Labels

_WRONG_RGB = (235, 60, 30)
_COLUMNS = ("image", "truth", "prediction", "error")


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """One row of a contact sheet."""

    sample: Sample
    prediction: Labels
    caption: str


class Gallery:
    """Keeps a few frames of an evaluation for a contact sheet: some evenly spread over it, and the worst.

    `add` is an `on_sample` of `evaluate`. The spread shows what to expect, the worst what to expect at worst.
    """

    def __init__(self, frames: int, *, spread: int = 3, worst: int = 3) -> None:
        self._chosen = {(2 * part + 1) * frames // (2 * spread) for part in range(spread)}
        self._worst_kept = worst
        self._spread: list[tuple[FrameScore, Sample, Labels]] = []
        self._worst: list[tuple[FrameScore, Sample, Labels]] = []

    def add(self, score: FrameScore, sample: Sample, prediction: Labels) -> None:
        """Keep the frame if its turn has come, or if it is among the worst so far."""
        if score.index in self._chosen:
            self._spread.append((score, sample, prediction))
        elif score.miou is not None:
            self._worst.append((score, sample, prediction))
            self._worst.sort(key=lambda kept: kept[0].miou or 0.0)
            del self._worst[self._worst_kept :]

    def tiles(self) -> list[Tile]:
        """Spread frames in their order, then the worst of the others, worst first."""
        return [
            Tile(sample, prediction, f"{score.name}   {_figure(score)}{remark}")
            for kept, remark in ((self._spread, ""), (self._worst, "   among the worst"))
            for score, sample, prediction in kept
        ]


def save_contact_sheet(path: Path, tiles: Sequence[Tile], label_map: LabelMap, title: str) -> None:
    """PNG of `contact_sheet`; written atomically."""
    save_picture(path, contact_sheet(tiles, label_map, title))


def contact_sheet(tiles: Sequence[Tile], label_map: LabelMap, title: str, *, panel_width: int = 400) -> Frame:
    """BGR picture with a row of image | truth | prediction | error for each tile, and a legend.

    In the error panel right pixels keep the image, dim, wrong ones are red, void ones light. `panel_width` in pixels.
    """
    rows = [_row(tile, label_map) for tile in tiles]
    return draw_sheet(rows, _COLUMNS, title, label_map, extra=(("wrong", _WRONG_RGB),), panel_width=panel_width)


def save_confusion_picture(path: Path, result: EvaluationResult, label_map: LabelMap, title: str) -> None:
    """PNG of the confusion matrix, rows in percent of the true class; written atomically."""
    # `Figure` without pyplot draws with Agg, needs no display and leaves no global state behind.
    figure_type = require("matplotlib.figure", extra="train").Figure
    truth = result.matrix.sum(axis=1, keepdims=True)
    percent = 100.0 * result.matrix / np.maximum(truth, 1)
    classes = range(len(label_map))
    side = 2.6 + 0.46 * len(label_map)
    figure = figure_type(figsize=(side, side), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    for row in classes:
        for column in classes:
            value = percent[row, column]
            if value >= 0.5:
                colour = "white" if value > 55 else "black"
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(classes, label_map.names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(classes, label_map.names)
    axes.set_xlabel("predicted as")
    axes.set_ylabel("true class")
    axes.set_xticks(np.arange(len(label_map) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(label_map) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(f"{title}\nmIoU {100 * result.miou:.2f} %   rows: percent of the true class's pixels", fontsize=10)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def error_panel(image_bgr: Frame, truth: Labels, prediction: Labels, void: int) -> Frame:
    """BGR uint8 (H, W, 3): red where the prediction is wrong, light where the truth is void, else the image, dim."""
    dim = cv2.convertScaleAbs(cv2.cvtColor(image_bgr, cv2.COLOR_BGR2GRAY), alpha=1 / 3, beta=20)
    panel: Frame = np.repeat(np.asarray(dim, np.uint8)[..., np.newaxis], 3, axis=2)
    panel[truth != prediction] = _WRONG_RGB[::-1]
    panel[truth == void] = VOID_RGB[::-1]
    return panel


def _row(tile: Tile, label_map: LabelMap) -> Row:
    image, truth, prediction = tile.sample.image_bgr, tile.sample.labels, tile.prediction
    errors = error_panel(image, truth, prediction, label_map.void)
    drawn = (class_panel(truth, label_map), label_map.colourise(prediction), errors)
    return Row((image, *drawn), tile.caption)


def _figure(score: FrameScore) -> str:
    return "all void" if score.miou is None else f"mIoU {100 * score.miou:.1f} %"
