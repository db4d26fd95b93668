"""What a run needs to go on where it stopped, in one file that is whole or absent."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from edgeseg.errors import CheckpointError, ConfigError
from edgeseg.files import atomic_path
from edgeseg.training.recipe import Recipe

_INDIFFERENT = ("workers",)
"""Schedule settings that change how fast a run goes but not what comes out; they may differ when resuming."""


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
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        saved = content.pop("recipe")
        state = RunState(int(content.pop("epoch")), list(content.pop("history")), content)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError, OSError) as error:
        raise CheckpointError(f"{path}: not a whole training state ({error}). Start without --resume.") from error
    changed = _changed(saved, recipe.to_dict())
    if changed:
        raise ConfigError(
            f"{path}: was written by another recipe (different: {', '.join(changed)}). "
            "Use the old recipe, or another --output."
        )
    return state


def _changed(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    def settled(recipe: dict[str, Any]) -> dict[str, Any]:
        schedule = {key: value for key, value in recipe["schedule"].items() if key not in _INDIFFERENT}
        return recipe | {"schedule": schedule}

    before, after = settled(old), settled(new)
    return [key for key in after if before.get(key) != after[key]]
