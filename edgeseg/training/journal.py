"""What a run leaves to be read, epoch by epoch: history, curves, TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeseg.files import write_json
from edgeseg.lazy import require
from edgeseg.training.curves import draw_curves


class Journal:
    """Writes into `output` after every epoch; a context manager. `history` is what a resumed run has already.

    What could fail after an epoch fails at once: a missing library, a folder that cannot be written to.
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

    def _write_history(self, history: Sequence[dict[str, float]]) -> None:
        write_json(self._output / "history.json", list(history))
