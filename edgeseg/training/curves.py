"""The run's curves as a picture: losses, mIoU of training and validation, learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeseg.files import atomic_path
from edgeseg.lazy import require

History = Sequence[dict[str, float]]

_LOSSES = (
    ("loss", "the recipe's loss, training", "tab:grey", "-"),
    ("training_cross_entropy", "cross entropy, training", "tab:blue", "-"),
    ("validation_cross_entropy", "cross entropy, validation", "tab:orange", "o-"),
)
_SCORES = (
    ("training_miou", "mIoU, training crops", "tab:blue", "-"),
    ("miou", "mIoU, validation", "tab:orange", "o-"),
    ("pixel_accuracy", "pixel accuracy, validation", "tab:green", "o--"),
)
_RATE = (("learning_rate", "learning rate", "tab:grey", "-"),)


def draw_curves(history: History, path: Path) -> None:
    """Write a PNG with three panels over the epochs; what was not measured in an epoch is left out of its curve."""
    # A figure of its own, without pyplot, which would switch the backend of a notebook that trains.
    figure = require("matplotlib.figure", extra="train").Figure(figsize=(7, 8), layout="constrained")
    losses, scores, rate = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.2))
    _draw(losses, history, _LOSSES, 1)
    losses.set_ylabel("loss; cross entropy in nats per pixel")
    losses.set_ylim(bottom=0)
    _draw(scores, history, _SCORES, 100)
    scores.set_ylabel("%")
    scores.set_ylim(bottom=0)
    _draw(rate, history, _RATE, 1)
    rate.set_ylabel("learning rate")
    rate.set_ylim(bottom=0)
    rate.set_xlabel("epoch")
    rate.xaxis.get_major_locator().set_params(integer=True)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _draw(axes: Any, history: History, curves: Sequence[tuple[str, str, str, str]], factor: float) -> None:
    drawn = 0
    for key, label, colour, style in curves:
        measured = [row for row in history if key in row]
        if measured:
            # One epoch alone would be a line without length.
            marker = "." if len(measured) == 1 and "o" not in style else style
            values = [factor * row[key] for row in measured]
            axes.plot([row["epoch"] for row in measured], values, marker, color=colour, label=label, markersize=4)
            drawn += 1
    if drawn > 1:
        # Above the panel, where no curve runs.
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=drawn, frameon=False, fontsize="small")
    axes.grid(alpha=0.3)
