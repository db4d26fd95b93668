"""What a run leaves to be read, epoch by epoch: history, curves, contact sheets, TensorBoard."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeseg.data.sheet import save_picture
from edgeseg.files import write_json, write_text
from edgeseg.lazy import require
from edgeseg.training.curves import draw_curves
from edgeseg.types import Frame

COLUMNS = (
    "epoch",
    "loss",
    "learning_rate",
    "training_cross_entropy",
    "training_miou",
    "validation_cross_entropy",
    "miou",
    "pixel_accuracy",
)
"""Of history.csv, always all of them; empty where an epoch did not measure it."""


class Journal:
    """Writes into `output` after every epoch; a context manager. `history` is what a resumed run has already.

    Files are written anew from the whole history each time, whole or not at all, so that no epoch is there twice. What
    could fail after an epoch fails at once: a missing library, a folder that cannot be written to.
    """

    def __init__(self, output: Path, history: Sequence[dict[str, float]]) -> None:
        require("matplotlib.figure", extra="train")
        tensorboard = require("torch.utils.tensorboard", extra="train")
        self._output = output
        self._write_history(history)
        # Epochs that a killed run wrote and a resumed one repeats are dropped.
        self._board: Any = tensorboard.SummaryWriter(str(output / "tensorboard"), purge_step=len(history) + 1)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._board.close()

    def epoch(self, history: Sequence[dict[str, float]], row: dict[str, float]) -> None:
        """Write `row`, the last of `history`, to TensorBoard, and the whole history anew."""
        for key in row.keys() - {"epoch"}:
            self._board.add_scalar(key, row[key], int(row["epoch"]))
        self._write_history(history)
        draw_curves(history, self._output / "curves.png")

    def sheet(self, epoch: int, picture_bgr: Frame) -> None:
        """Write an epoch's contact sheet: epochs/epoch_0005.png, and TensorBoard's images."""
        save_picture(self._output / "epochs" / f"epoch_{epoch:04}.png", picture_bgr)
        self._board.add_image("predictions", picture_bgr[..., ::-1], epoch, dataformats="HWC")

    def _write_history(self, history: Sequence[dict[str, float]]) -> None:
        write_json(self._output / "history.json", list(history))
        table = io.StringIO()
        writer = csv.DictWriter(table, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        write_text(self._output / "history.csv", table.getvalue())
