"""What a recipe names, opened, built and checked before the first step: batches, network, validation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from edgeseg.data.augment import Augment
from edgeseg.data.loaders import TrainingBatches, class_shares
from edgeseg.errors import ConfigError
from edgeseg.models.checkpoint import IMAGENET_MEAN, IMAGENET_STD, TrainedModel
from edgeseg.models.pretrained import start_file
from edgeseg.models.registry import ModelSpec, build_model
from edgeseg.models.sealed import Preprocess
from edgeseg.training import distributed
from edgeseg.training.datasets import open_entry, open_parts
from edgeseg.training.distillation import load_distillation
from edgeseg.training.learner import Learner
from edgeseg.training.losses import SegmentationLoss
from edgeseg.training.quantization import Quantiser, compute_in_steps
from edgeseg.training.recipe import Recipe
from edgeseg.training.result import Origin
from edgeseg.training.seen import Seen
from edgeseg.training.start import average_with, start_from
from edgeseg.training.validation import Validation


class Prepared(NamedTuple):
    """The parts of a run that is about to start."""

    learner: Learner
    batches: TrainingBatches
    validation: Validation | None
    origin: Origin


def prepare(
    recipe: Recipe,
    data_root: Path,
    device: torch.device,
    say: Callable[[str], None],
    quantiser: Quantiser | None = None,
) -> Prepared:
    """Open data and weights under `data_root`, and build the network on `device`.

    Seeds PyTorch, alike in all processes, which then draw alike. Raises `EdgesegError` for whatever does not fit.
    """
    schedule, processes = recipe.schedule, distributed.process_count()
    if schedule.batch_size % (schedule.accumulate * processes):
        raise ConfigError(
            f"schedule.batch_size={schedule.batch_size} does not divide into {processes} processes x "
            f"accumulate={schedule.accumulate}. Change one of them."
        )
    torch.manual_seed(recipe.seed)
    least_hw = recipe.augment.crop_hw if recipe.augment.small == "skip" else None
    parts = open_parts(recipe.data, data_root, least_hw)
    label_map = parts[0].dataset.label_map
    spec = ModelSpec(recipe.model.network, len(label_map), recipe.model.auxiliary, recipe.model.upsample)
    network = build_model(spec)
    start_weights: dict[str, Any] = {}
    if name := recipe.model.pretrained:
        start_weights = start_from(start_file(name, spec.name, data_root), network, say)
    if others := [data_root / other for other in recipe.model.average_with]:
        start_weights["averaged_with"] = average_with(others, network)
    if recipe.quantization:
        model = TrainedModel(network, spec, label_map, recipe.size_hw)
        compute_in_steps(model, quantiser, recipe.quantization, recipe.augment.crop_hw)
    shares = class_shares(parts) if recipe.loss.class_weight_offset else None
    loss = SegmentationLoss(recipe.loss, void=label_map.void, shares=shares)
    crops = Preprocess(recipe.augment.crop_hw, IMAGENET_MEAN, IMAGENET_STD)
    teacher = None
    if recipe.distillation:
        teacher = load_distillation(recipe.distillation, data_root, label_map, crops, device)
    learner = Learner(network, recipe, loss, device, Seen(len(label_map), label_map.void, device), teacher)
    batches = TrainingBatches(
        parts,
        Augment(recipe.augment, recipe.size_hw, label_map.void),
        batch_size=schedule.batch_size,
        seed=recipe.seed,
        workers=schedule.workers,
        process=distributed.process_rank(),
        processes=processes,
    )
    validation = None
    if entry := recipe.validation:
        preprocess = Preprocess(recipe.size_hw, IMAGENET_MEAN, IMAGENET_STD).to(device)
        validation = Validation(open_entry(entry, data_root), label_map, preprocess, device)
    say(
        f"{recipe.name}: {spec.name}, {sum(p.numel() for p in network.parameters()) / 1e6:.2f} M parameters; "
        f"{', '.join(f'{part.taken} of {len(part.dataset)} {part.dataset.name}' for part in parts)} an epoch; "
        f"{device.type}" + (f", {processes} processes" if processes > 1 else "")
    )
    origin = Origin(
        spec,
        label_map,
        start_weights,
        teacher.lineage if teacher else {},
        quantiser if recipe.quantization else None,
    )
    return Prepared(learner, batches, validation, origin)
