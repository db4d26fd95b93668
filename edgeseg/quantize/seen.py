"""Whether a network was trained on the frames that it is judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_HOLDS = {"trainval": ("train", "val"), "all": ("train", "val", "test")}
"""Splits that are made of others."""


def training_data(lineage: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The `[[data]]` of the recipe that a checkpoint was trained with; empty where it says nothing."""
    recipe = lineage.get("recipe")
    data = recipe.get("data") if isinstance(recipe, Mapping) else None
    return [entry for entry in data if isinstance(entry, Mapping)] if isinstance(data, Sequence) else []


def seen_in(dataset: str, data: Sequence[Mapping[str, Any]]) -> str | None:
    """The entry of `data` that `dataset` is part of, as `camvid trainval`, or None.

    A dataset is known by its name and split (`camvid val`): where it lies differs from one machine to the next. Frames
    of a folder have the folder's name, drawn ones never repeat between splits.
    """
    judged = dataset.split(",")[0]  # what follows tells into which classes it was mapped
    for entry in data:
        form, split = str(entry.get("format")), str(entry.get("split"))
        for name in (form, Path(str(entry.get("root"))).name):
            if judged in (f"{name} {part}" for part in (split, *_HOLDS.get(split, ()))):
                return f"{name} {split}"
    return None
