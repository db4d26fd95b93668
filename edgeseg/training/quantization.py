"""Quantisation-aware fine-tuning, as the trainer sees it: settings, and who makes the network compute in steps.

What the steps are, and where in the network they are taken, is known above: by the room that quantises exported graphs.
It is handed in, so that the trainer does not depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from edgeseg.errors import ConfigError
from edgeseg.models.checkpoint import TrainedModel
from edgeseg.models.registry import ModelSpec, build_model
from edgeseg.settings import at_least, one_of

QUANTIZATION = "quantization"
"""Key of a checkpoint's lineage: what the quantiser told of a run."""


@dataclass(frozen=True, slots=True)
class QuantizationConfig:
    """Fine-tune the network as the INT8 graph that will be made of it. Batch statistics stay as they are."""

    dialect: str = "cpu"
    """Whose graph: "cpu" (ONNX Runtime) or "trt" (TensorRT). The ranges serve both."""
    range_batches: int = 500
    """Batches whose activations move the ranges; then these are fixed, and only the weights go on learning."""

    def __post_init__(self) -> None:
        one_of(("cpu", "trt"), dialect=self.dialect)
        at_least(1, range_batches=self.range_batches)


class Quantiser(Protocol):
    """Makes a network compute as its INT8 graph would."""

    def prepare(self, model: TrainedModel, config: QuantizationConfig, sizes_hw: set[tuple[int, int]]) -> None:
        """Change how `model.network` computes, in place, for images of the sizes given; its tensors stay.

        What has to be remembered from batch to batch goes into buffers of its own, so that it is saved and resumed.
        """

    def lineage(self, network: nn.Module) -> dict[str, Any]:
        """What the checkpoint shall tell of a network that was prepared: plain data."""


def compute_in_steps(
    model: TrainedModel, quantiser: Quantiser | None, config: QuantizationConfig, crop_hw: tuple[int, int]
) -> None:
    """Let `quantiser` change `model.network`, for crops and for whole images; raises `ConfigError` without one."""
    if quantiser is None:
        raise ConfigError("a recipe with [quantization] needs Trainer(quantiser=...); edgeseg train gives it.")
    model.network.eval()
    quantiser.prepare(model, config, {crop_hw, model.size_hw})


def plain(network: nn.Module, spec: ModelSpec) -> nn.Module:
    """The network of `spec` with the tensors that a prepared one has learned, and no others."""
    bare = build_model(spec)
    learned = network.state_dict()
    bare.load_state_dict({name: learned[name] for name in bare.state_dict()})
    return bare
