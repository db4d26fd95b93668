"""What learns: a network, the optimiser that changes it, and the moving average of its weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from edgeseg.models.checkpoint import IMAGENET_MEAN, IMAGENET_STD
from edgeseg.models.sealed import Preprocess
from edgeseg.training.batch_norm import synchronise
from edgeseg.training.distillation import Distillation
from edgeseg.training.distributed import process_count
from edgeseg.training.dropout import share_dropout
from edgeseg.training.losses import SegmentationLoss
from edgeseg.training.memory import checkpoint_activations
from edgeseg.training.optimiser import build_optimiser, freeze, set_learning_rate
from edgeseg.training.recipe import Recipe
from edgeseg.training.schedule import WeightAverage
from edgeseg.training.seen import Seen
from edgeseg.training.state import generator_states, restore_generators
from edgeseg.training.step import Step


class Learner:
    """Makes `network` ready to learn by the recipe, on `device`. `average` is what is measured and saved."""

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        loss: SegmentationLoss,
        device: torch.device,
        seen: Seen,
        distillation: Distillation | None = None,
    ) -> None:
        self._device = device
        self.seen = seen
        self._distillation = distillation
        # Dense convolutions train a third faster on a CPU with channels last, and tensor cores want it too.
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._average = WeightAverage(network, recipe.schedule.ema_decay)
        # Whatever changes how the network computes comes after the copy.
        self._network = share_dropout(synchronise(network, device))
        self._frozen = freeze(self._network, recipe.model.freeze)
        if not recipe.loss.auxiliary:
            # A head that the loss never sees: processes would wait for its gradients.
            for parameter in _auxiliary(self._network):
                parameter.requires_grad_(False)
        if recipe.model.checkpoint_activations:
            checkpoint_activations(self._network)
        self._optimiser = build_optimiser(self._network, recipe.optimiser)
        self._step = Step(
            self._network,
            loss.to(device),
            self._optimiser,
            Preprocess(recipe.augment.crop_hw, IMAGENET_MEAN, IMAGENET_STD).to(device),
            device=device,
            precision=recipe.schedule.precision,
            accumulate=recipe.schedule.accumulate,
            clip_norm=recipe.optimiser.clip_norm,
            seen=seen,
            distillation=distillation,
        )

    @property
    def average(self) -> nn.Module:
        """The averaged weights, in eval mode."""
        return self._average.network

    def start_epoch(self) -> None:
        """Put the network into training mode, but for what is frozen."""
        self._network.train()
        for module in self._frozen:
            module.eval()

    def learn(self, frames: torch.Tensor, labels: torch.Tensor, rate_factor: float) -> float:
        """One step with a batch, BGR uint8 (n, h, w, 3) and labels int64 (n, h, w), at that share of the peak rate.

        Returns the whole batch's loss. One that is not finite is for the caller to refuse: the weights are lost.
        """
        set_learning_rate(self._optimiser, rate_factor)
        loss = self._step(frames, labels)
        self._average.update(self._network)
        return loss

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on. The generators' states are the same in all processes."""
        return {
            "network": self._network.state_dict(),
            "average": self.average.state_dict(),
            "updates": self._average.updates,
            "optimiser": self._optimiser.state_dict(),
            "scaler": self._step.scaler.state_dict(),
            "seen": self.seen.state(),
            "teacher": self._distillation.sha256 if self._distillation else "",
            "generators": generator_states(self._device),
            "processes": process_count(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of `state`; raises KeyError, RuntimeError or ValueError for another network's.

        Raises `ConfigError` where the teacher's file is no longer the one that the run began with.
        """
        if self._distillation:
            self._distillation.require(state["teacher"])
        self._network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._average.updates = state["updates"]
        self._optimiser.load_state_dict(state["optimiser"])
        self._step.scaler.load_state_dict(state["scaler"])
        self.seen.load_state(state["seen"])
        restore_generators(state["generators"], self._device)


def _auxiliary(network: nn.Module) -> list[nn.Parameter]:
    return [parameter for name, parameter in network.named_parameters() if name.startswith("aux_classifier.")]
