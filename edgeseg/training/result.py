"""What a run comes to: the checkpoint, which says how it was made, and nothing that would differ another time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

import edgeseg
from edgeseg.labels import LabelMap
from edgeseg.models.checkpoint import TrainedModel, save_checkpoint
from edgeseg.models.registry import ModelSpec
from edgeseg.training.quantization import QUANTIZATION, Quantiser, plain
from edgeseg.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Origin:
    """What a run's network is, and what it learned from beside the data."""

    spec: ModelSpec
    label_map: LabelMap
    start_weights: dict[str, Any]
    """File, hash and number of tensors taken; empty without."""
    teacher: dict[str, Any]
    """File, hash and network; empty without."""
    quantiser: Quantiser | None
    """Who made it compute as its INT8 graph; None without."""


def write_result(path: Path, recipe: Recipe, network: nn.Module, origin: Origin, *, row: dict[str, float]) -> None:
    """Write the checkpoint of a run; `row` is its epoch's in the history."""
    settings = recipe.to_dict()
    # How samples are loaded changes no weight, and the same weights are to be the same file.
    del settings["schedule"]["workers"]
    for entry in (*settings["data"], settings["validation"] or {}):
        entry.pop("cache", None)
    lineage = {
        "recipe": settings,
        "start_weights": origin.start_weights,
        **({"teacher": origin.teacher} if origin.teacher else {}),
        **({QUANTIZATION: origin.quantiser.lineage(network)} if origin.quantiser else {}),
        "history": [row],
        "versions": {"edgeseg": edgeseg.__version__, "torch": str(torch.__version__)},
    }
    if origin.quantiser:
        network = plain(network, origin.spec)
    trained = TrainedModel(network, origin.spec, origin.label_map, recipe.size_hw, lineage=lineage)
    save_checkpoint(path, trained, half=recipe.half)
