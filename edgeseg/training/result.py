"""What a run comes to: the checkpoint, which says how it was made, and nothing that would differ another time."""

from __future__ import annotations

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


def write_result(
    path: Path,
    recipe: Recipe,
    network: nn.Module,
    spec: ModelSpec,
    label_map: LabelMap,
    *,
    start_weights: dict[str, Any],
    teacher: dict[str, Any],
    quantiser: Quantiser | None,
    row: dict[str, float],
) -> None:
    """Write the checkpoint of a run; `row` is its epoch's in the history, `start_weights` what it started from."""
    settings = recipe.to_dict()
    # How samples are loaded changes no weight, and the same weights are to be the same file.
    del settings["schedule"]["workers"]
    for entry in (*settings["data"], settings["validation"] or {}):
        entry.pop("cache", None)
    lineage = {
        "recipe": settings,
        "start_weights": start_weights,
        **({"teacher": teacher} if teacher else {}),
        **({QUANTIZATION: quantiser.lineage(network)} if quantiser else {}),
        "history": [row],
        "versions": {"edgeseg": edgeseg.__version__, "torch": str(torch.__version__)},
    }
    if quantiser:
        network = plain(network, spec)
    save_checkpoint(path, TrainedModel(network, spec, label_map, recipe.size_hw, lineage=lineage), half=recipe.half)
