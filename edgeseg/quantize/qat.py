"""Quantisation-aware fine-tuning: a network learns while it computes as its INT8 graph will.

The network keeps its tensors, so that everything of training works on them as ever; only `forward` is another: the
program that its export translates, rounded at the places where the exported graph has Q/DQ pairs. Activation ranges
follow the batches as PyTorch's MovingAverageMinMaxObserver does, for both dialects at once, and go into the
checkpoint's lineage. Statistics of batch normalisation stay as they are, because the graph has them in its weights;
dropout and auxiliary heads are no part of the graph, so they take no part here.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from edgeseg.errors import ConfigError
from edgeseg.graph.export import export_graph
from edgeseg.graph.recipe import ExportConfig
from edgeseg.models.checkpoint import TrainedModel
from edgeseg.quantize.fake import round_asymmetric, round_channels, round_symmetric
from edgeseg.quantize.placement import CPU, TRT, place
from edgeseg.quantize.ranges import MOVING_AVERAGE_SHARE
from edgeseg.quantize.simulation import Hooks, Simulation
from edgeseg.quantize.trained_ranges import RANGES
from edgeseg.training.distributed import all_sum, process_count
from edgeseg.training.quantization import QuantizationConfig

_ROUND = {CPU: round_asymmetric, TRT: round_symmetric}


class QuantizationAware:
    """The trainer's `Quantiser`."""

    def prepare(self, model: TrainedModel, config: QuantizationConfig, sizes_hw: set[tuple[int, int]]) -> None:
        """Let `model.network` compute as its INT8 graph would, for images of these sizes and the model's own.

        Raises `ConfigError` where another size has other tensors than the model's own, so that ranges would be missing.
        """
        network = model.network
        simulations = {size: simulate(model, config.dialect, size) for size in {model.size_hw, *sizes_hw}}
        tensors = simulations[model.size_hw].watched
        for size, simulation in simulations.items():
            if differing := sorted(set(simulation.watched) ^ set(tensors)):
                raise ConfigError(
                    f"images of {size[0]}x{size[1]} pixels have other tensors than those of "
                    f"{model.size_hw[0]}x{model.size_hw[1]} ({', '.join(differing[:3])}); make augment.crop_hw the "
                    "network's size."
                )
        network.add_module("quantization", _Ranges(tensors, config.range_batches, config.dialect))
        for parameter in _unused(network, simulations[model.size_hw]):
            parameter.requires_grad_(False)
        # The very module, so that whoever holds it or its parameters keeps them; only `forward` differs.
        network.__dict__["simulations"] = simulations
        network.__class__ = _QuantizedNetwork

    def lineage(self, network: nn.Module) -> dict[str, Any]:
        """The ranges, by the tensor of the graph."""
        ranges = network.get_submodule("quantization")
        assert isinstance(ranges, _Ranges)
        return ranges.lineage()


def simulate(model: TrainedModel, dialect: str, size_hw: tuple[int, int]) -> Simulation:
    """`model`'s INT8 graph of `dialect` for images of `size_hw`, in PyTorch; it watches what either dialect places."""
    # On a copy: exporting puts a network into evaluation mode.
    exported = export_graph(replace(model, network=copy.deepcopy(model.network)), ExportConfig(size_hw=size_hw))
    placements = {each: place(exported.model, each) for each in (CPU, TRT)}
    watched = {placement.range_of(name) for placement in placements.values() for name in placement.activations}
    return Simulation(exported, placements[dialect], watched)


class _Ranges(nn.Module):
    """Lowest and highest value of every placed tensor: a moving average over the batches of training."""

    low: torch.Tensor
    high: torch.Tensor
    batches: torch.Tensor

    def __init__(self, tensors: list[str], most_batches: int, dialect: str) -> None:
        super().__init__()
        self._position = {tensor: index for index, tensor in enumerate(tensors)}
        self._most_batches = most_batches
        self._dialect = dialect
        self._round = _ROUND[dialect]
        self.register_buffer("low", torch.zeros(len(tensors)))
        self.register_buffer("high", torch.zeros(len(tensors)))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def watcher(self) -> Callable[[str, torch.Tensor], None]:
        """What moves the ranges by one batch; it does nothing while evaluating, and after the last that counts."""
        done = int(self.batches)
        if not self.training or done >= self._most_batches:
            return lambda _name, _values: None
        self.batches += 1
        share = max(MOVING_AVERAGE_SHARE, 1 / (done + 1))

        def watch(name: str, values: torch.Tensor) -> None:
            flat = values.detach().flatten(1)
            ends = torch.stack([flat.amin(1).clamp_max(0).mean(), flat.amax(1).clamp_min(0).mean()])
            low, high = all_sum(ends) / process_count()
            index = self._position[name]
            self.low[index] += share * (low - self.low[index])
            self.high[index] += share * (high - self.high[index])

        return watch

    def activation(self, name: str, values: torch.Tensor) -> torch.Tensor:
        index = self._position[name]
        return self._round(values, self.low[index].clone(), self.high[index].clone())

    def lineage(self) -> dict[str, Any]:
        ends = zip(self.low.tolist(), self.high.tolist(), strict=True)
        return {
            "dialect": self._dialect,
            "batches": int(self.batches),
            RANGES: {name: list(pair) for name, pair in zip(self._position, ends, strict=True)},
        }


class _QuantizedNetwork(nn.Module):
    """A network of any class, after `QuantizationAware.prepare`."""

    simulations: dict[tuple[int, int], Simulation]
    quantization: _Ranges

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """float (N, 3, h, w), normalised → {"out": logits (N, C, h, w)}, in float32 whatever the precision."""
        height, width = images.shape[-2:]
        tensors = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        ranges = self.quantization
        hooks = Hooks(images.device, tensors.__getitem__, ranges.activation, round_channels, ranges.watcher())
        # Half precision would round what is about to be rounded.
        with torch.autocast(images.device.type, enabled=False):
            return {"out": self.simulations[height, width](images.float(), hooks)}


def _unused(network: nn.Module, simulation: Simulation) -> list[nn.Parameter]:
    """Parameters that the graph does not have: processes would wait for their gradients."""
    return [parameter for name, parameter in network.named_parameters() if name not in simulation.tensors]
