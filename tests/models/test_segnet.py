"""SegNet: its unpooling is PyTorch's, its encoder torchvision's, and any size goes through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from network_checks import assert_gradients_reach_all, assert_logits_fit, image
from torch import nn

from edgeseg.models.foreign import recognise
from edgeseg.models.registry import ModelSpec, build_model
from edgeseg.models.segnet_vgg16 import Encoder, SegNetVgg16
from edgeseg.models.unpooling import pool_with_places, unpool
from edgeseg.models.weights import load_partial

CLASSES = 5
NAMES = ("segnet_vgg16", "segnet_basic")


@pytest.fixture(scope="module", params=NAMES)
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return build_model(ModelSpec(request.param, CLASSES))


def test_logits_have_the_size_of_the_image(network: nn.Module) -> None:
    assert_logits_fit(network, CLASSES, ((48, 64), (43, 53), (33, 32)))


def test_gradients_reach_every_parameter(network: nn.Module) -> None:
    assert_gradients_reach_all(network, (33, 45))


@pytest.mark.parametrize("name", NAMES)
def test_recognised_by_their_tensors(name: str, tmp_path: Path) -> None:
    with torch.device("meta"):
        state = build_model(ModelSpec(name, 11, auxiliary=False)).state_dict()
    assert recognise(state, tmp_path) == ModelSpec(name, 11, auxiliary=False)


def test_an_imagenet_classifier_fills_the_encoder() -> None:
    with torch.device("meta"):
        theirs = {name: value.shape for name, value in torchvision.models.vgg16_bn().features.state_dict().items()}
    encoder = Encoder()
    assert {name: value.shape for name, value in encoder.features.state_dict().items()} == theirs
    state = {f"features.{name}": torch.zeros(shape) for name, shape in theirs.items()}
    assert set(load_partial(encoder, state).taken) == set(encoder.state_dict())


@torch.inference_mode()
def test_the_encoder_computes_what_torchvision_computes() -> None:
    torch.manual_seed(0)
    encoder = Encoder().eval()
    theirs = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"], batch_norm=True).eval()
    theirs.load_state_dict(encoder.features.state_dict())
    value, poolings = encoder(image((64, 96)))
    assert torch.equal(value, theirs(image((64, 96))))
    assert [tuple(size_hw) for _, size_hw in poolings] == [(64, 96), (32, 48), (16, 24), (8, 12), (4, 6)]


def test_the_decoder_mirrors_the_encoder() -> None:
    with torch.device("meta"):
        network: Any = SegNetVgg16(CLASSES)

    def convolutions(module: nn.Module) -> list[tuple[int, int]]:
        return [(c.in_channels, c.out_channels) for c in module.modules() if isinstance(c, nn.Conv2d)]

    down = convolutions(network.backbone)
    up = [*convolutions(network.decoder), *convolutions(network.classifier)]
    assert len(down) == len(up) == 13
    mirrored = [(outside, inside) for inside, outside in reversed(down)]
    assert up == [*mirrored[:-1], (64, CLASSES)]


@pytest.mark.parametrize("size_hw", [(2, 2), (4, 6), (5, 7), (1, 9), (6, 3), (1, 1)])
@pytest.mark.parametrize("batch", [1, 3])
def test_pooling_and_unpooling_are_pytorchs(size_hw: tuple[int, int], batch: int) -> None:
    rng = torch.Generator().manual_seed(0)
    value = torch.relu(torch.randn(batch, 4, *size_hw, generator=rng))
    pooled, places = pool_with_places(value)
    expected, indices = nn.MaxPool2d(2, ceil_mode=True, return_indices=True)(value)
    assert torch.equal(pooled, expected)
    coarse = torch.randn(pooled.shape, generator=rng)
    assert torch.equal(unpool(coarse, places, size_hw), nn.MaxUnpool2d(2)(coarse, indices, output_size=list(size_hw)))


def test_what_was_pooled_comes_back_to_its_place() -> None:
    value = torch.tensor([[0.0, 3.0, 1.0], [2.0, 3.0, 0.0], [0.0, 0.0, 4.0]])[None, None]
    pooled, places = pool_with_places(value)
    assert pooled.tolist() == [[[[3.0, 1.0], [0.0, 4.0]]]]
    back = unpool(torch.tensor([[[[5.0, 6.0], [7.0, 8.0]]]]), places, (3, 3))
    # Of two equal maxima the first counts, row by row; of a window of zeros its top left.
    assert back.tolist() == [[[[0.0, 5.0, 6.0], [0.0, 0.0, 0.0], [7.0, 0.0, 8.0]]]]


def test_gradients_pass_through_the_places() -> None:
    value = torch.tensor([[[[1.0, 4.0], [2.0, 3.0]]]], requires_grad=True)
    pooled, places = pool_with_places(value)
    (gradient,) = torch.autograd.grad(unpool(2 * pooled, places, (2, 2)).sum(), value)
    assert gradient.tolist() == [[[[0.0, 2.0], [0.0, 0.0]]]]
