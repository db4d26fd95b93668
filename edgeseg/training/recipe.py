"""A training recipe: frozen dataclasses, read from TOML, every field checked at birth and unknown keys refused."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeseg.data.augment import AugmentConfig
from edgeseg.errors import ConfigError
from edgeseg.models.registry import NETWORKS, ModelSpec
from edgeseg.settings import above_zero, at_least, one_of, read_settings
from edgeseg.training.distillation import DistillationConfig
from edgeseg.training.losses.config import LossConfig
from edgeseg.training.quantization import QuantizationConfig

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
CACHES = ("none", "memory", "disk")

_SMALLEST = 32
"""Pixels: the deepest stride of the networks, below which nothing is left of an image."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Which network, and from which weights it starts."""

    network: str = "fcn4s_mobilenet_v2"
    auxiliary: bool = True
    pretrained: str | None = None
    """Backbone weights (.pth), or a whole checkpoint (.safetensors), relative to the data folder; or torchvision's by
    name: "imagenet" for the backbone, "coco" for a whole network."""
    average_with: tuple[str, ...] = ()
    """More checkpoints of the same network, fine-tuned from a common start: it begins as the mean of all of them."""
    upsample: str | None = None
    """How class scores reach the image's size, where the network leaves that open; None: its own way."""
    freeze: tuple[str, ...] = ()
    """Modules, by name, that stay as they are: no gradient, batch statistics fixed."""
    checkpoint_activations: bool = False
    """Compute the backbone's blocks twice instead of keeping what they gave: less memory, a third more time."""

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise ConfigError(f"network={self.network!r}: unknown; known: {', '.join(NETWORKS)}.")
        if self.average_with and not self.pretrained:
            raise ConfigError("average_with: there is nothing to average it with; name the first as pretrained.")
        ModelSpec(self.network, 2, upsample=self.upsample)  # refuses an upsampling that the network does not take


@dataclass(frozen=True, slots=True)
class DataConfig:
    """One labelled dataset."""

    format: str
    root: str
    """Folder relative to the data folder; for `synthetic`, the drive's description."""
    split: str
    per_epoch: int | None = None
    """Samples taken each epoch, chosen anew; all of them by default."""
    mapping: str | None = None
    """Gives it other classes: a shipped mapping by name, or a .toml file relative to the data folder."""
    cache: str = "none"
    """Keeps decoded samples in "memory" or on "disk" (.cache in the data folder); changes speed, not results."""

    def __post_init__(self) -> None:
        one_of(CACHES, cache=self.cache)
        if self.per_epoch is not None:
            at_least(1, per_epoch=self.per_epoch)


@dataclass(frozen=True, slots=True)
class OptimiserConfig:
    """AdamW, with a lower learning rate for the backbone, which has little to learn anew."""

    learning_rate: float = 1e-3
    backbone_factor: float = 0.4
    weight_decay: float = 0.01
    clip_norm: float = 5.0
    """Largest gradient norm; larger ones are scaled down to it."""

    def __post_init__(self) -> None:
        above_zero(learning_rate=self.learning_rate, clip_norm=self.clip_norm)
        at_least(0, backbone_factor=self.backbone_factor, weight_decay=self.weight_decay)


@dataclass(frozen=True, slots=True)
class ScheduleConfig:
    """Poly learning rate (1 − t/T)^power after a linear warm-up (Chen et al. 2017, section 4.1)."""

    epochs: int = 40
    batch_size: int = 8
    """Samples to a step of the optimiser, over all processes and all of `accumulate`."""
    accumulate: int = 1
    """Parts in which a batch is computed one after the other, to take less memory."""
    warmup_iterations: int = 100
    power: float = 0.9
    ema_decay: float = 0.998
    """Decay of the exponential moving average of the weights, which is what gets evaluated and saved."""
    workers: int = 1
    precision: str = "auto"
    """Of the network's arithmetic: "float32", "bfloat16", "float16" (GPU), or "auto": float16 on a GPU."""

    def __post_init__(self) -> None:
        at_least(1, epochs=self.epochs, batch_size=self.batch_size, accumulate=self.accumulate)
        if self.batch_size % self.accumulate:
            raise ConfigError(f"accumulate={self.accumulate}: must divide batch_size={self.batch_size}.")
        at_least(0, warmup_iterations=self.warmup_iterations, power=self.power, workers=self.workers)
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"ema_decay={self.ema_decay}: expected 0 (off) up to, but not including, 1.")
        one_of(PRECISIONS, precision=self.precision)


@dataclass(frozen=True, slots=True)
class ValidationConfig:
    """What is measured while training, and how often."""

    format: str
    root: str
    split: str
    every: int = 5
    """Epochs from one measurement to the next; the last epoch is always measured."""
    patience: int | None = None
    """Epochs without a better mIoU after which training ends; the best epoch's weights are the result. None: never,
    and the last epoch's are."""
    mapping: str | None = None
    """As for training data; the classes must come out the same."""
    cache: str = "none"

    def __post_init__(self) -> None:
        one_of(CACHES, cache=self.cache)
        at_least(1, every=self.every)
        if self.patience is not None and self.patience < self.every:
            raise ConfigError(f"patience={self.patience}: expected at least every={self.every}, or it ends untested.")


@dataclass(frozen=True, slots=True)
class Recipe:
    """One training run."""

    name: str
    data: tuple[DataConfig, ...]
    augment: AugmentConfig
    size_hw: tuple[int, int]
    """Height and width, in pixels, that the finished network is fed."""
    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    distillation: DistillationConfig | None = None
    quantization: QuantizationConfig | None = None
    """Fine-tune as the INT8 graph, from a whole checkpoint; None: train the float network."""
    validation: ValidationConfig | None = None
    half: bool = False
    """Save matrices as float16, to publish small weights."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\w[\w.-]*", self.name):
            raise ConfigError(f"name={self.name!r}: it names files; use letters, digits, '.', '_' and '-' alone.")
        if not self.data:
            raise ConfigError("data=[]: a recipe needs at least one [[data]] table.")
        if min(self.size_hw) < _SMALLEST:
            raise ConfigError(f"size_hw={self.size_hw}: expected at least {_SMALLEST} pixels each way.")
        at_least(0, seed=self.seed)
        if self.quantization:
            if self.model.pretrained in (None, "imagenet"):
                raise ConfigError(
                    f"model.pretrained={self.model.pretrained!r}: [quantization] fine-tunes a trained network. "
                    "Name its checkpoint, or train without the table first."
                )
            if self.model.checkpoint_activations:
                raise ConfigError("model.checkpoint_activations and [quantization] exclude each other; remove one.")
        together = self.schedule.batch_size // self.schedule.accumulate
        if together == 1 and self.model.network.startswith("deeplabv3"):
            raise ConfigError(
                f"schedule.batch_size={self.schedule.batch_size}, accumulate={self.schedule.accumulate}: DeepLabv3 "
                "normalises pooled maps over the samples computed together; 2 or more are needed."
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for the checkpoint's lineage."""
        return dataclasses.asdict(self)


def read_recipe(path: Path | str) -> Recipe:
    """Read a recipe; raises `ConfigError` naming the file and the key that is wrong."""
    return read_settings(path, Recipe, "recipe")


def with_schedule(recipe: Recipe, **changes: Any) -> Recipe:
    """The recipe with other schedule settings, checked anew."""
    return dataclasses.replace(recipe, schedule=dataclasses.replace(recipe.schedule, **changes))


def fine_tuning(recipe: Recipe, start: str) -> Recipe:
    """The quantisation-aware fine-tuning of the network that `recipe` trained; `start` is its checkpoint.

    A tenth of the epochs, from a hundredth of the learning rate (Wu et al. 2020, "Integer quantization for deep
    learning inference", on fine-tuning), under another name. A recipe with a [quantization] table of its own says how
    itself: there only the start changes.
    """
    model = dataclasses.replace(recipe.model, pretrained=start, average_with=(), checkpoint_activations=False)
    if recipe.quantization:
        return dataclasses.replace(recipe, model=model)
    schedule, optimiser = recipe.schedule, recipe.optimiser
    return dataclasses.replace(
        recipe,
        name=f"{recipe.name}-qat",
        model=model,
        optimiser=dataclasses.replace(optimiser, learning_rate=optimiser.learning_rate / 100),
        schedule=dataclasses.replace(
            schedule, epochs=max(1, schedule.epochs // 10), warmup_iterations=schedule.warmup_iterations // 10
        ),
        quantization=QuantizationConfig(),
    )
