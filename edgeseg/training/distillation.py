"""Learning from a larger model: a trained teacher's answers to the same images, beside the labels."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edgeseg.errors import ConfigError
from edgeseg.labels import LabelMap
from edgeseg.models.checkpoint import TrainedModel, load_checkpoint
from edgeseg.models.sealed import Preprocess
from edgeseg.settings import above_zero
from edgeseg.training import distributed


@dataclass(frozen=True, slots=True)
class DistillationConfig:
    """What a recipe's `[distillation]` table may say."""

    teacher: str
    """A checkpoint (.safetensors), relative to the data folder; a network of any kind and size, of the same classes."""
    factor: float = 1.0
    """Factor of the distillation loss, which is added to the others."""
    temperature: float = 4.0
    """Divides both models' logits: above 1 the classes that the teacher holds second and third count too."""
    kind: str = "pixel"
    """"pixel" compares the classes of each pixel, "channel" the places of each class."""
    scale: float = 1.0
    """The teacher sees the crops enlarged by this, its logits are brought back: for one trained on larger images."""

    def __post_init__(self) -> None:
        above_zero(factor=self.factor, temperature=self.temperature, scale=self.scale)
        if self.kind not in KINDS:
            raise ConfigError(f"kind={self.kind!r}: expected one of {', '.join(KINDS)}.")


def pixel_divergence(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Logits (N, C, H, W) twice → scalar: τ²·KL(teacher‖student) of the class probabilities at temperature τ, the mean
    over pixels (Hinton, Vinyals, Dean 2015, section 2).

    Over all pixels, void ones too: where there is no label the teacher is all there is to learn from.
    """
    divergence = _divergence(student, teacher, temperature, axis=1)
    count = divergence.new_tensor(student.numel() / student.shape[1])
    return temperature**2 * distributed.all_sum(divergence) / distributed.all_sum(count)


def channel_divergence(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Logits (N, C, H, W) twice → scalar: τ²/C·Σ_c KL(teacher‖student) of where class c is, by a softmax over all
    places, the mean over images (channel-wise distillation, Shu et al. 2021, equations 5 and 6, on logits).
    """
    divergence = _divergence(student.flatten(2), teacher.flatten(2), temperature, axis=2)
    count = divergence.new_tensor(float(student.shape[0] * student.shape[1]))
    return temperature**2 * distributed.all_sum(divergence) / distributed.all_sum(count)


KINDS: Mapping[str, Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]] = {
    "pixel": pixel_divergence,
    "channel": channel_divergence,
}


class Distillation:
    """A teacher and its share of the loss. It is not part of what is trained, wrapped, averaged or saved."""

    def __init__(
        self,
        config: DistillationConfig,
        teacher: TrainedModel,
        label_map: LabelMap,
        preprocess: Preprocess,
        device: torch.device,
    ) -> None:
        """`preprocess` is what the student's images went through. Raises `ConfigError` for another order of classes."""
        if teacher.label_map.names != label_map.names:
            raise ConfigError(
                f"distillation.teacher has the {len(teacher.label_map)} classes {', '.join(teacher.label_map.names)}; "
                f"this recipe's data have the {len(label_map)} {', '.join(label_map.names)}. Name another teacher."
            )
        self._config = config
        network = _without_batch_norm(copy.deepcopy(teacher.network).eval()).requires_grad_(False)
        self._network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._renormalise = _Renormalise(preprocess, Preprocess((1, 1), teacher.mean, teacher.std)).to(device)
        self.lineage: dict[str, Any] = {
            "file": Path(teacher.source).name,
            "sha256": teacher.sha256,
            "network": teacher.spec.name,
        }

    @property
    def sha256(self) -> str:
        """Of the teacher's file."""
        return str(self.lineage["sha256"])

    def require(self, sha256: str) -> None:
        """Raise `ConfigError` unless the teacher's file is the one with this hash."""
        if sha256 != self.sha256:
            raise ConfigError(
                f"distillation.teacher: {self.lineage['file']} is another file than the run began with (sha256 "
                f"{self.sha256[:12]}, was {sha256[:12]}). Put that one back, or start anew with another --output."
            )

    @torch.no_grad()
    def answer(self, images: torch.Tensor) -> torch.Tensor:
        """The student's preprocessed images (N, 3, H, W) → the teacher's logits (N, C, H, W)."""
        given = self._renormalise(images)
        sizes_hw = tuple(images.shape[-2:])
        if self._config.scale != 1:
            given = _resized(given, tuple(round(side * self._config.scale) for side in sizes_hw))
        logits: torch.Tensor = self._network(given)["out"]
        return logits if tuple(logits.shape[-2:]) == sizes_hw else _resized(logits, sizes_hw)

    def loss(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        """Logits of both → scalar float32, factor included: the whole batch's, however it is split over processes."""
        config = self._config
        return config.factor * KINDS[config.kind](student.float(), teacher.float(), config.temperature)


def load_distillation(
    config: DistillationConfig, data_root: Path, label_map: LabelMap, preprocess: Preprocess, device: torch.device
) -> Distillation:
    """Read the teacher of a recipe; raises `CheckpointError`, and `ConfigError` where it has other classes."""
    return Distillation(config, load_checkpoint(data_root / config.teacher), label_map, preprocess, device)


def _resized(values: torch.Tensor, size_hw: tuple[int, ...]) -> torch.Tensor:
    return F.interpolate(values, size=size_hw, mode="bilinear", align_corners=False)


class _Renormalise(nn.Module):
    """Images normalised by one mean and deviation → by another; nothing where they are the same."""

    factor: torch.Tensor
    offset: torch.Tensor

    def __init__(self, given: Preprocess, wanted: Preprocess) -> None:
        super().__init__()
        self._same = (given.mean, given.std) == (wanted.mean, wanted.std)
        self.register_buffer("factor", given.std_grey / wanted.std_grey)
        self.register_buffer("offset", (given.mean_grey - wanted.mean_grey) / wanted.std_grey)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images if self._same else images * self.factor + self.offset


def _without_batch_norm(network: nn.Module) -> nn.Module:
    """`network`, in evaluation mode, with each normalisation behind a convolution folded into it.

    A teacher never trains, and on a CPU these small steps are a quarter of its time.
    """
    for sequence in network.modules():
        if not isinstance(sequence, nn.Sequential):
            continue
        for index, (layer, following) in enumerate(itertools.pairwise(sequence)):
            if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
                sequence[index], sequence[index + 1] = fuse_conv_bn_eval(layer, following), nn.Identity()
    return network


def _divergence(student: torch.Tensor, teacher: torch.Tensor, temperature: float, axis: int) -> torch.Tensor:
    """The sum of KL(teacher‖student) of softmax over `axis` at that temperature."""
    wanted = (teacher / temperature).log_softmax(axis)
    given = (student / temperature).log_softmax(axis)
    return F.kl_div(given, wanted, reduction="sum", log_target=True)
