"""The training loop: recipe and data in, a checkpoint with its curves out; it can stop after any epoch and go on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import edgeseg
from edgeseg.data import SegmentationDataset, open_dataset
from edgeseg.data.augment import Augment
from edgeseg.data.loaders import Part, class_shares, training_batches
from edgeseg.errors import CheckpointError, ConfigError
from edgeseg.files import sha256_file
from edgeseg.metrics.evaluate import require_same_classes
from edgeseg.models.checkpoint import IMAGENET_MEAN, IMAGENET_STD, TrainedModel, save_checkpoint
from edgeseg.models.registry import ModelSpec, build_model
from edgeseg.models.sealed import Preprocess
from edgeseg.training.journal import Journal
from edgeseg.training.losses import SegmentationLoss
from edgeseg.training.optimiser import build_optimiser, freeze, set_learning_rate
from edgeseg.training.recipe import Recipe
from edgeseg.training.schedule import WeightAverage, poly_with_warmup
from edgeseg.training.start import choose_device, load_start_weights
from edgeseg.training.state import RunState, load_state, save_state
from edgeseg.training.validation import validate

Say = Callable[[str], None]


class Trainer:
    """One run of a recipe. `data_root` is the folder that the recipe's paths are relative to."""

    def __init__(
        self, recipe: Recipe, data_root: Path, output: Path, *, say: Say = print, device: str | None = None
    ) -> None:
        self.recipe = recipe
        self.output = output
        self._say = say
        self._device = choose_device(device)
        torch.manual_seed(recipe.seed)
        parts = [
            Part(_open(entry.format, data_root, entry.root, entry.split), entry.per_epoch) for entry in recipe.data
        ]
        self._label_map = parts[0].dataset.label_map
        spec = ModelSpec(recipe.model.network, len(self._label_map), recipe.model.auxiliary)
        self._spec = spec
        self._network = build_model(spec)
        self._start_weights = self._load_pretrained(data_root)
        # Dense convolutions train a third faster on a CPU with channels last, and tensor cores want it too.
        self._network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._frozen = freeze(self._network, recipe.model.freeze)
        self._preprocess = Preprocess(recipe.augment.crop_hw, IMAGENET_MEAN, IMAGENET_STD).to(self._device)
        shares = class_shares(parts) if recipe.loss.class_weight_offset else None
        self._loss = SegmentationLoss(recipe.loss, void=self._label_map.void, shares=shares).to(self._device)
        augment = Augment(recipe.augment, recipe.size_hw, self._label_map.void)
        self._batches, self._sampler = training_batches(
            parts, augment, batch_size=recipe.schedule.batch_size, seed=recipe.seed, workers=recipe.schedule.workers
        )
        self._average = WeightAverage(self._network, recipe.schedule.ema_decay)
        self._optimiser = build_optimiser(self._network, recipe.optimiser)
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=self._device.type == "cuda")
        validation = recipe.validation
        self._validation: SegmentationDataset | None = None
        if validation is not None:
            self._validation = _open(validation.format, data_root, validation.root, validation.split)
            require_same_classes(self._label_map, self._validation)
        self._state = RunState()
        self._say(
            f"{recipe.name}: {spec.name}, {sum(p.numel() for p in self._network.parameters()) / 1e6:.2f} M parameters; "
            f"{', '.join(f'{part.taken} of {len(part.dataset)} {part.dataset.name}' for part in parts)} an epoch; "
            f"{self._device.type}"
        )

    def resume(self) -> None:
        """Go on from the state in the output folder."""
        state = load_state(self._state_path, self.recipe)
        tensors = state.tensors
        try:
            self._network.load_state_dict(tensors["network"])
            self._average.network.load_state_dict(tensors["average"])
            self._average.updates = tensors["updates"]
            self._optimiser.load_state_dict(tensors["optimiser"])
            self._scaler.load_state_dict(tensors["scaler"])
            torch.set_rng_state(tensors["rng"])
            if self._device.type == "cuda" and "cuda_rng" in tensors:
                torch.cuda.set_rng_state(tensors["cuda_rng"], self._device)
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"{self._state_path}: is not a state of this network ({str(error).splitlines()[0]}). "
                "It was written by another version; choose another --output."
            ) from error
        self._state = state
        self._say(f"resumed after epoch {self._state.epoch} of {self.recipe.schedule.epochs}")

    def run(self) -> Path:
        """Train to the last epoch; returns the checkpoint's path. State, history and curves are written every epoch."""
        epochs = self.recipe.schedule.epochs
        with Journal(self.output, self._state.history) as journal:
            while self._state.epoch < epochs:
                epoch = self._state.epoch + 1
                row: dict[str, float] = {"epoch": epoch, **self._train_epoch(epoch)}
                if self._validation and (epoch % self._validation_every == 0 or epoch == epochs):
                    row |= self._validate()
                self._state.history.append(row)
                self._state.epoch = epoch
                self._save()
                journal.epoch(self._state.history, row)
                figures = "  ".join(f"{key} {value:.4g}" for key, value in row.items() if key != "epoch")
                self._say(f"epoch {epoch}/{epochs}  {figures}")
        return self._write_checkpoint()

    @property
    def history(self) -> list[dict[str, float]]:
        """One row an epoch: epoch, loss, learning_rate and, where measured, miou and pixel_accuracy."""
        return self._state.history

    @property
    def _state_path(self) -> Path:
        return self.output / "state.pt"

    @property
    def _validation_every(self) -> int:
        return self.recipe.validation.every if self.recipe.validation else 0

    def _train_epoch(self, epoch: int) -> dict[str, float]:
        from tqdm import tqdm

        schedule = self.recipe.schedule
        self._sampler.epoch = epoch
        self._network.train()
        for module in self._frozen:
            module.eval()
        total, losses, factor = len(self._batches) * schedule.epochs, [], 0.0
        batches = tqdm(self._batches, desc=f"epoch {epoch}/{schedule.epochs}", leave=False, mininterval=5, disable=None)
        for step, (frames, labels) in enumerate(batches):
            iteration = (epoch - 1) * len(self._batches) + step
            factor = poly_with_warmup(iteration, total=total, warmup=schedule.warmup_iterations, power=schedule.power)
            set_learning_rate(self._optimiser, factor)
            loss = self._step(frames.to(self._device), labels.to(self._device))
            if not np.isfinite(loss):
                raise ConfigError(
                    f"the loss became {loss} in epoch {epoch}. Lower learning_rate in the recipe and start again "
                    "with another --output."
                )
            losses.append(loss)
            batches.set_postfix(loss=f"{np.mean(losses[-20:]):.3f}")
        return {"loss": float(np.mean(losses)), "learning_rate": self.recipe.optimiser.learning_rate * factor}

    def _step(self, frames: torch.Tensor, labels: torch.Tensor) -> float:
        images = self._preprocess(frames).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self._device.type, enabled=self._scaler.is_enabled()):
            outputs = self._network(images)
            loss = self._loss({name: logits.float() for name, logits in outputs.items()}, labels)
        self._optimiser.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(self._optimiser)
        nn.utils.clip_grad_norm_(self._trainable(), self.recipe.optimiser.clip_norm)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        self._average.update(self._network)
        return float(loss.detach())

    def _validate(self) -> dict[str, float]:
        assert self._validation is not None
        preprocess = Preprocess(self.recipe.size_hw, IMAGENET_MEAN, IMAGENET_STD)
        result = validate(self._average.network, self._validation, self._label_map, preprocess, self._device)
        return {"miou": result.miou, "pixel_accuracy": result.pixel_accuracy}

    def _save(self) -> None:
        self._state.tensors = {
            "network": self._network.state_dict(),
            "average": self._average.network.state_dict(),
            "updates": self._average.updates,
            "optimiser": self._optimiser.state_dict(),
            "scaler": self._scaler.state_dict(),
            "rng": torch.get_rng_state(),
        }
        if self._device.type == "cuda":
            self._state.tensors["cuda_rng"] = torch.cuda.get_rng_state(self._device)
        save_state(self._state_path, self._state, self.recipe)

    def _write_checkpoint(self) -> Path:
        path = self.output / f"{self.recipe.name}.safetensors"
        model = TrainedModel(
            self._average.network,
            self._spec,
            self._label_map,
            self.recipe.size_hw,
            lineage={
                "recipe": self.recipe.to_dict(),
                "start_weights": self._start_weights,
                "history": self._state.history[-1:],
                "versions": {"edgeseg": edgeseg.__version__, "torch": str(torch.__version__)},
            },
        )
        save_checkpoint(path, model, half=self.recipe.half)
        self._say(f"wrote {path}")
        return path

    def _load_pretrained(self, data_root: Path) -> dict[str, Any]:
        """Start from the recipe's weights, if it names any; returns what the checkpoint will say of them."""
        name = self.recipe.model.pretrained
        if name is None:
            return {}
        path = data_root / name
        report = load_start_weights(self._network, path)
        self._say(f"{path.name}: {report}")
        return {"file": path.name, "sha256": sha256_file(path), "taken": len(report.taken)}

    def _trainable(self) -> list[nn.Parameter]:
        return [parameter for parameter in self._network.parameters() if parameter.requires_grad]


def _open(format: str, data_root: Path, root: str, split: str) -> SegmentationDataset:
    """A dataset of the recipe; the synthetic drive has a description instead of a folder."""
    return open_dataset(format, root if format == "synthetic" else data_root / root, split)


def with_schedule(recipe: Recipe, **changes: Any) -> Recipe:
    """The recipe with other schedule settings, checked anew."""
    return dataclasses.replace(recipe, schedule=dataclasses.replace(recipe.schedule, **changes))
