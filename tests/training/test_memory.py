"""Less memory for the same result: activation checkpointing, a batch in parts, reduced precision."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from edgeseg.errors import ConfigError
from edgeseg.labels import CAMVID
from edgeseg.models.checkpoint import IMAGENET_MEAN, IMAGENET_STD
from edgeseg.models.registry import ModelSpec, build_model
from edgeseg.models.sealed import Preprocess
from edgeseg.training.losses import LossConfig, SegmentationLoss
from edgeseg.training.memory import checkpoint_activations
from edgeseg.training.seen import Seen
from edgeseg.training.step import Step, reduced_precision

CPU = torch.device("cpu")


def backward(network: nn.Module) -> tuple[torch.Tensor, dict[str, torch.Tensor], int]:
    """Loss, then gradients and buffers by name, and the bytes that the graph kept for the way back."""
    torch.manual_seed(7)
    images = torch.randn(2, 3, 64, 96)
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = network.train()(images)
        loss = sum((value.square().mean() for value in outputs.values()), start=torch.zeros(()))
    loss.backward()
    found = {name: value.grad for name, value in network.named_parameters() if value.grad is not None}
    return loss.detach(), found | dict(network.named_buffers()), sum(kept.values())


@pytest.mark.parametrize("name", ["fcn_resnet18", "deeplabv3_mobilenet_v2", "fcn4s_mobilenet_v2"])
def test_computing_blocks_twice_changes_memory_alone(name: str) -> None:
    torch.manual_seed(0)
    plain = build_model(ModelSpec(name, 5))
    twice = copy.deepcopy(plain)
    assert checkpoint_activations(twice) >= 8
    assert list(twice.state_dict()) == list(plain.state_dict())
    loss, tensors, kept = backward(plain)
    loss_again, tensors_again, kept_again = backward(twice)
    assert torch.equal(loss, loss_again)
    assert tensors.keys() == tensors_again.keys()
    # Batch statistics among them: a second pass that counted again would show here.
    assert all(torch.equal(tensors[key], tensors_again[key]) for key in tensors)
    assert kept_again < 0.6 * kept
    with torch.no_grad():
        assert torch.equal(plain.eval()(torch.ones(1, 3, 64, 96))["out"], twice.eval()(torch.ones(1, 3, 64, 96))["out"])


def test_a_backbone_without_blocks_is_told() -> None:
    network = nn.ModuleDict({"backbone": nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())})
    with pytest.raises(ConfigError, match="plain chain of layers"):
        checkpoint_activations(network)


def test_precision_by_name() -> None:
    assert [reduced_precision(name, CPU) for name in ("auto", "float32", "bfloat16")] == [None, None, torch.bfloat16]
    with pytest.raises(ConfigError, match="precision='float16': not on cpu"):
        reduced_precision("float16", CPU)


@pytest.mark.gpu
def test_a_gpu_uses_half_precision_unless_told_otherwise() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    device = torch.device("cuda")
    assert [reduced_precision(name, device) for name in ("auto", "float32")] == [torch.float16, None]


class Affine(nn.Module):
    """A network without batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Conv2d(3, 11, 3, padding=1)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": self.classifier(images)}


def weights_after_steps(parts: int, precision: str = "float32") -> tuple[list[float], torch.Tensor]:
    """Losses and weights of five steps; void pixels are spread unevenly over each batch."""
    torch.manual_seed(0)
    network, shares = Affine(), np.linspace(0.01, 0.2, 11)
    recipe_loss = SegmentationLoss(LossConfig(class_weight_offset=1.1), void=CAMVID.void, shares=shares)
    step = Step(
        network,
        recipe_loss,
        torch.optim.SGD(network.parameters(), lr=0.5),
        Preprocess((32, 40), IMAGENET_MEAN, IMAGENET_STD),
        device=CPU,
        precision=precision,
        accumulate=parts,
        clip_norm=5.0,
        seen=Seen(len(CAMVID), CAMVID.void, CPU),
    )
    losses = []
    for _ in range(5):
        labels = torch.randint(0, 11, (4, 32, 40))
        labels[0, :30] = CAMVID.void
        losses.append(step(torch.randint(0, 256, (4, 32, 40, 3), dtype=torch.uint8), labels))
    return losses, network.classifier.weight.detach()


@pytest.mark.parametrize("parts", [2, 4])
def test_a_batch_in_parts_is_the_whole_batch(parts: int) -> None:
    losses, weights = weights_after_steps(1)
    losses_again, weights_again = weights_after_steps(parts)
    assert losses_again == pytest.approx(losses, rel=1e-6)
    torch.testing.assert_close(weights_again, weights, rtol=1e-6, atol=1e-6)


def test_bfloat16_learns_nearly_the_same() -> None:
    losses, _ = weights_after_steps(1)
    losses_again, _ = weights_after_steps(1, "bfloat16")
    assert losses_again != losses
    assert losses_again == pytest.approx(losses, rel=0.02)
