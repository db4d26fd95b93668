"""The run's curves as a picture: loss and learning rate above, validation below."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeseg.files import atomic_path
from edgeseg.lazy import require


def draw_curves(history: Sequence[dict[str, float]], path: Path) -> None:
    """Write a PNG of loss and learning rate by epoch and, where measured, validation mIoU and pixel accuracy."""
    measured = [row for row in history if "miou" in row]
    # A figure of its own, without pyplot, which would switch the backend of a notebook that trains.
    figure = require("matplotlib.figure", extra="train").Figure(figsize=(7, 3 + 2.6 * bool(measured)))
    axes = figure.subplots(1 + bool(measured), 1, squeeze=False)
    epochs = [row["epoch"] for row in history]
    top = axes[0, 0]
    top.plot(epochs, [row["loss"] for row in history], color="tab:blue", marker=".")
    top.set_ylabel("training loss", color="tab:blue")
    rate = top.twinx()
    rate.plot(epochs, [row["learning_rate"] for row in history], color="tab:grey", linestyle="--")
    rate.set_ylabel("learning rate", color="tab:grey")
    if measured:
        below = axes[1, 0]
        for key, colour in (("miou", "tab:green"), ("pixel_accuracy", "tab:orange")):
            values = [100 * row[key] for row in measured]
            below.plot([row["epoch"] for row in measured], values, color=colour, marker="o", label=key)
        below.set_ylabel("validation, %")
        below.legend()
        below.grid(alpha=0.3)
    axes[-1, 0].set_xlabel("epoch")
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)
