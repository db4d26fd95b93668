"""What every network must do, for the test files of each family."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from edgeseg.labels import CAMVID
from edgeseg.models.checkpoint import TrainedModel
from edgeseg.models.registry import ModelSpec, build_model


def image(size_hw: tuple[int, int], batch: int = 1) -> torch.Tensor:
    """Noise, the same every time: float32 (batch, 3, H, W)."""
    return torch.randn(batch, 3, *size_hw, generator=torch.Generator().manual_seed(1))


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """Name → shape of all parameters and buffers."""
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


@torch.inference_mode()
def assert_logits_fit(network: nn.Module, classes: int, sizes_hw: Iterable[tuple[int, int]]) -> None:
    """In evaluation there is one output, finite float32 logits (1, classes, H, W) at the image's size."""
    for size_hw in sizes_hw:
        outputs = network.eval()(image(size_hw))
        assert outputs.keys() == {"out"}
        assert outputs["out"].shape == (1, classes, *size_hw)
        assert outputs["out"].dtype == torch.float32
        assert bool(outputs["out"].isfinite().all())


def assert_gradients_reach_all(network: nn.Module, size_hw: tuple[int, int]) -> None:
    """No parameter is left without a gradient, from whichever output."""
    network.train().zero_grad()
    sum(logits.square().mean() for logits in network(image(size_hw, batch=2)).values()).backward()
    untouched = [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert untouched == []


def random_model(name: str, size_hw: tuple[int, int]) -> TrainedModel:
    """A network in CamVid's classes with random weights, whose batch norm is no identity."""
    torch.manual_seed(0)
    spec = ModelSpec(name, len(CAMVID))
    network = build_model(spec).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)
    return TrainedModel(network, spec, CAMVID, size_hw)
