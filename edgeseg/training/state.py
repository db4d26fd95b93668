"""What a run needs to go on where it stopped, in one file that is whole or absent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from edgeseg.errors import CheckpointError, ConfigError
from edgeseg.files import atomic_path
from edgeseg.models.foreign import read_plain
from edgeseg.training.recipe import Recipe

_INDIFFERENT = frozenset({"schedule.workers"})
"""Settings that change how fast a run goes but not what comes out; they may differ when resuming."""


@dataclass
class RunState:
    """Progress of a run at the end of an epoch."""

    epoch: int = 0
    """Epochs finished."""
    history: list[dict[str, float]] = field(default_factory=list)
    tensors: dict[str, Any] = field(default_factory=dict)
    """State dicts of network, average and optimiser; the generators' states."""


def save_state(path: Path, state: RunState, recipe: Recipe) -> None:
    """Write the state atomically, so that a kill at any moment leaves the last whole one."""
    content = {"epoch": state.epoch, "history": state.history, "recipe": recipe.to_dict(), **state.tensors}
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


def load_state(path: Path, recipe: Recipe) -> RunState:
    """Read the state of a run of the same recipe; raises `CheckpointError` or, for another recipe, `ConfigError`."""
    if not path.is_file():
        raise CheckpointError(f"{path}: nothing to resume. Start without --resume.")
    content = read_plain(path, "Delete it to start anew, or choose another --output.")
    if not isinstance(content, dict) or not content.keys() >= {"epoch", "history", "recipe"}:
        raise CheckpointError(f"{path}: not a training state. Choose another --output.")
    changed = list(_changes(content.pop("recipe"), recipe.to_dict()))
    if changed:
        raise ConfigError(
            f"{path}: belongs to another recipe ({'; '.join(changed)}). Resume with the one it was started with, "
            "or choose another --output."
        )
    return RunState(content.pop("epoch"), content.pop("history"), content)


def _changes(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """Every setting that differs, by its dotted name, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*new, *old]):
            yield from _changes(old.get(key), new.get(key), f"{where}.{key}" if where else key)
    elif old != new and where not in _INDIFFERENT:
        yield f"{where} was {old}, now {new}"
