"""When a run ends: after its epochs, or earlier, when validation no longer gets better."""

from __future__ import annotations

from collections.abc import Sequence

from edgeseg.errors import ConfigError


def best_row(history: Sequence[dict[str, float]]) -> dict[str, float] | None:
    """The first row with the highest mIoU; None where nothing was measured."""
    return max((row for row in history if "miou" in row), key=lambda row: row["miou"], default=None)


def no_longer_better(history: Sequence[dict[str, float]], patience: int | None) -> bool:
    """Whether the last row is a measurement that lies `patience` epochs or more behind the best one."""
    best = best_row(history)
    if patience is None or best is None or "miou" not in history[-1]:
        return False
    return history[-1]["epoch"] - best["epoch"] >= patience


def diverged(loss: float, epoch: int) -> ConfigError:
    """The end of a run whose loss is no number."""
    return ConfigError(
        f"the loss became {loss} in epoch {epoch}. Lower learning_rate in the recipe and start again "
        "with another --output."
    )
