"""What a run needs to go on where it stopped, to the bit, in one file that is whole or absent."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from edgeseg.errors import CheckpointError, ConfigError
from edgeseg.files import atomic_path
from edgeseg.models.foreign import read_plain
from edgeseg.training.recipe import Recipe

_INDIFFERENT = frozenset({"schedule.workers", "data.cache", "validation.cache"})
"""Settings that change how fast a run goes but not what comes out; they may differ when resuming."""

_PROGRESS = ("epoch", "step", "loss_sum", "history")


@dataclass
class RunState:
    """Progress of a run between two steps."""

    epoch: int = 0
    """Epochs finished."""
    step: int = 0
    """Steps taken of the epoch after them."""
    loss_sum: float = 0.0
    """Sum of those steps' losses."""
    history: list[dict[str, float]] = field(default_factory=list)
    tensors: dict[str, Any] = field(default_factory=dict)
    """State dicts of network, average and optimiser; the generators' states, equal in all processes."""


def save_state(path: Path, state: RunState, recipe: Recipe) -> None:
    """Write the state atomically, so that a kill at any moment leaves the last whole one."""
    progress = {name: getattr(state, name) for name in _PROGRESS}
    with atomic_path(path) as temporary:
        torch.save({**progress, "recipe": recipe.to_dict(), **state.tensors}, temporary)


def load_state(path: Path, recipe: Recipe) -> RunState:
    """Read the state of a run of the same recipe; raises `CheckpointError` or, for another recipe, `ConfigError`."""
    if not path.is_file():
        raise CheckpointError(f"{path}: nothing to resume. Start without --resume.")
    content = read_plain(path, "Delete it to start anew, or choose another --output.")
    if not isinstance(content, dict) or not content.keys() >= {"epoch", "history", "recipe"}:
        raise CheckpointError(f"{path}: not a training state. Choose another --output.")
    if not content.keys() >= {*_PROGRESS, "processes"}:
        raise CheckpointError(f"{path}: an older edgeseg wrote it. Finish with that one, or choose another --output.")
    changed = list(_changes(content.pop("recipe"), recipe))
    if changed:
        raise ConfigError(
            f"{path}: belongs to another recipe ({'; '.join(changed)}). Resume with the one it was started with, "
            "or choose another --output."
        )
    return RunState(**{name: content.pop(name) for name in _PROGRESS}, tensors=content)


def generator_states(device: torch.device) -> dict[str, torch.Tensor]:
    """The states of the generators that dropout draws from. Samples and their order have seeds of their own."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_generators(states: dict[str, torch.Tensor], device: torch.device) -> None:
    """The inverse of `generator_states`."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


def _changes(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """Every setting that differs, by its dotted name, with both values."""
    if dataclasses.is_dataclass(new) and isinstance(old, dict):
        for entry in dataclasses.fields(new):
            name = f"{where}.{entry.name}" if where else entry.name
            # A setting that is younger than the state was at its default.
            before = old[entry.name] if entry.name in old else _default(entry)
            yield from _changes(before, getattr(new, entry.name), name)
    elif isinstance(new, tuple) and isinstance(old, list | tuple) and len(old) == len(new):
        for index, (before, now) in enumerate(zip(old, new, strict=True)):
            yield from _changes(before, now, f"{where}[{index}]")
    elif old != new and re.sub(r"\[\d+\]", "", where) not in _INDIFFERENT:
        now = dataclasses.asdict(new) if dataclasses.is_dataclass(new) and not isinstance(new, type) else new
        yield f"{where} was {old}, now {now}"


def _default(entry: dataclasses.Field[Any]) -> Any:
    """The default of a dataclass's field; None where it has to be given."""
    if entry.default_factory is not dataclasses.MISSING:
        return entry.default_factory()
    return None if entry.default is dataclasses.MISSING else entry.default
