"""FCN on VGG16: sizes, torchvision's names and values, the classifier as convolutions, and where training begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from network_checks import assert_gradients_reach_all, assert_logits_fit, image, shapes
from torch import nn

from edgeseg.models.fcn2s_vgg16 import Fcn2sVgg16
from edgeseg.models.fcn_vgg16 import FcnVgg16
from edgeseg.models.foreign import recognise
from edgeseg.models.registry import NETWORKS, ModelSpec, build_model
from edgeseg.models.upsampling import crop_to
from edgeseg.models.vgg16 import Vgg16
from edgeseg.models.weights import as_convolutions, load_partial
from edgeseg.training.start import load_start_weights

CLASSES = 5
HIDDEN = 32
"""Width of fc6 and fc7 in these tests; with VGG's 4096 they hold 120 of 134 million parameters."""

VGG = tuple(name for name in NETWORKS if name.endswith("_vgg16"))
STRIDES = (32, 16, 8)


def fcn(finest: int) -> Any:
    torch.manual_seed(0)
    return FcnVgg16(CLASSES, finest=finest, hidden=HIDDEN)


@pytest.fixture(scope="module", params=[*STRIDES, 2])
def network(request: pytest.FixtureRequest) -> nn.Module:
    return Fcn2sVgg16(CLASSES) if request.param == 2 else fcn(request.param)


def test_logits_have_the_size_of_the_image(network: nn.Module) -> None:
    assert_logits_fit(network, CLASSES, ((64, 96), (75, 101), (33, 32)))


def test_gradients_reach_every_parameter(network: nn.Module) -> None:
    # Also where skips start at zero: what lies before them hears of the loss through the scores at stride 32.
    assert_gradients_reach_all(network, (40, 56))


@torch.inference_mode()
def test_the_trunk_computes_what_torchvision_computes() -> None:
    torch.manual_seed(0)
    ours = Vgg16().eval()
    theirs = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"])
    assert shapes(ours.features) == shapes(theirs)
    theirs.load_state_dict(ours.features.state_dict())
    maps = ours(image((64, 96)))
    assert [(value.shape[1], *value.shape[2:]) for value in maps] == [
        (64, 32, 48),
        (128, 16, 24),
        (256, 8, 12),
        (512, 4, 6),
        (512, 2, 3),
    ]
    assert torch.equal(maps[-1], theirs(image((64, 96))))


@torch.inference_mode()
def test_odd_sizes_are_rounded_up() -> None:
    assert [tuple(value.shape[2:]) for value in Vgg16()(image((75, 33)))] == [
        (38, 17),
        (19, 9),
        (10, 5),
        (5, 3),
        (3, 2),
    ]


@torch.inference_mode()
def test_untrained_activations_neither_vanish_nor_explode() -> None:
    torch.manual_seed(0)
    for value in Vgg16(hidden=256).eval()(image((64, 64))):
        assert 0.05 < value.square().mean().sqrt() < 20


class Classifier(nn.Module):
    """torchvision's VGG16 with narrower hidden layers, for an image of 224×224."""

    def __init__(self) -> None:
        super().__init__()
        self.features = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"])
        hidden = (nn.Linear(512 * 7 * 7, HIDDEN), nn.ReLU(), nn.Dropout(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU())
        self.classifier = nn.Sequential(*hidden, nn.Dropout(), nn.Linear(HIDDEN, 10))


@torch.inference_mode()
def test_the_classifiers_layers_as_convolutions_compute_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs, ours = Classifier().eval(), fcn(8).eval()
    torch.save(theirs.state_dict(), tmp_path / "vgg16.pth")
    report = load_start_weights(ours, tmp_path / "vgg16.pth")
    assert set(report.taken) == set(ours.backbone.state_dict())
    assert list(report.dropped) == ["classifier.6.weight", "classifier.6.bias"]
    last = torch.randn(1, 512, 7, 7, generator=torch.Generator().manual_seed(2))
    assert ours.backbone.classifier is not None
    # The middle of the padded 7×7 convolution sees exactly the map that the linear layer was made for.
    got = ours.backbone.classifier(last)[..., 3, 3]
    torch.testing.assert_close(got, theirs.classifier[:6](last.flatten(1)))


def test_torchvisions_own_vgg16_has_these_names_and_as_many_values() -> None:
    with torch.device("meta"):
        theirs, ours = torchvision.models.vgg16().state_dict(), Vgg16(hidden=4096).state_dict()
    assert list(theirs)[:-2] == list(ours)
    assert all(theirs[name].numel() == value.numel() for name, value in ours.items())
    assert theirs["classifier.0.weight"].shape == (4096, 25088)
    assert ours["classifier.0.weight"].shape == (4096, 512, 7, 7)


def test_only_a_matrix_that_fits_becomes_a_kernel() -> None:
    layer = nn.Sequential(nn.Conv2d(2, 3, 3))
    for shape in ((4, 18), (3, 17), (18, 3), (3, 2, 9)):
        assert as_convolutions(layer, {"0.weight": torch.zeros(shape)})["0.weight"].shape == shape
    matrix = torch.arange(54.0).reshape(3, 18)
    fitted = as_convolutions(layer, {"0.weight": matrix, "0.bias": torch.zeros(3), "1.weight": matrix})
    assert torch.equal(fitted["0.weight"].flatten(1), matrix)
    assert fitted["0.weight"].shape == (3, 2, 3, 3)
    assert torch.equal(fitted["1.weight"], matrix)


@torch.inference_mode()
def test_fcn16s_and_fcn8s_begin_with_what_the_coarse_scores_say() -> None:
    torch.manual_seed(3)
    for finest in (16, 8):
        network = fcn(finest).eval()
        expected = network.score[0](network.backbone(image((75, 101)))[-1])
        sizes = [(5, 7), (10, 13)][: len(network.up) - 1]
        for up, size_hw in zip(network.up, sizes, strict=False):
            expected = crop_to(up(expected), size_hw)
        expected = crop_to(network.up[-1](expected), (75, 101))
        assert torch.equal(network(image((75, 101)))["out"], expected)
        assert bool(expected.std() > 0)


@pytest.mark.parametrize("finest", STRIDES)
def test_strides_and_skips(finest: int) -> None:
    network = fcn(finest)
    count = STRIDES.index(finest) + 1
    assert [layer.in_channels for layer in network.score] == [HIDDEN, 512, 256][:count]
    assert [layer.stride[0] for layer in network.up] == [*[2] * (count - 1), finest]
    assert all(layer.bias is None for layer in network.up)


def test_a_trained_fcn32s_starts_fcn16s() -> None:
    coarse, finer = fcn(32), fcn(16)
    report = load_partial(finer, coarse.state_dict())
    # The last step of one is longer than the first of the other.
    assert list(report.new) == ["score.1.weight", "score.1.bias", "up.0.weight", "up.1.weight"]
    assert list(report.dropped) == ["up.0.weight"]
    assert torch.equal(finer.score[0].weight, coarse.score[0].weight)


@torch.inference_mode()
def test_fcn2s_doubles_five_times_and_adds_every_block() -> None:
    torch.manual_seed(0)
    network: Any = Fcn2sVgg16(CLASSES).eval()
    assert [step.up.stride for step in network.steps] == [(2, 2)] * 5
    assert [step.blend[0].kernel_size for step in network.steps] == [(3, 3)] * 5
    whole = network(image((33, 32)))["out"]
    for index in range(5):

        def without(
            _: nn.Module, __: tuple[torch.Tensor], maps: list[torch.Tensor], index: int = index
        ) -> list[torch.Tensor]:
            return [*maps[:index], torch.zeros_like(maps[index]), *maps[index + 1 :]]

        hook = network.backbone.register_forward_hook(without)
        assert bool((network(image((33, 32)))["out"] != whole).any()), f"pool{index + 1} is not read"
        hook.remove()


@pytest.mark.parametrize("name", VGG)
def test_recognised_by_their_tensors(name: str, tmp_path: Path) -> None:
    with torch.device("meta"):
        state = build_model(ModelSpec(name, 19, auxiliary=False)).state_dict()
    assert recognise(state, tmp_path) == ModelSpec(name, 19, auxiliary=False)
