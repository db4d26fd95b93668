"""Every network of the table: sizes, heads, names, initialisation."""

from __future__ import annotations

import pytest
import torch
import torchvision
from network_checks import assert_gradients_reach_all, assert_logits_fit, image, shapes
from torch import nn

from edgeseg.errors import ConfigError
from edgeseg.models import NETWORKS, ModelSpec, build_model
from edgeseg.models.backbones import MobileNetV2, ResNet18
from edgeseg.models.dilated import BACKBONES
from edgeseg.models.registry import ANY_UPSAMPLING
from edgeseg.models.upsampling import UPSAMPLINGS

CLASSES = 5
LARGE = ("fcn_resnet50", "fcn_resnet101", "deeplabv3_resnet50", "deeplabv3_resnet101")
TORCHVISION = (*LARGE, "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large")
ELSEWHERE = tuple(name for name in NETWORKS if name.endswith("_vgg16") or name.startswith("segnet_"))
"""Too large or too slow to go through all of this; see test_vgg_networks.py and test_segnet.py."""
SMALL = tuple(name for name in NETWORKS if name not in (*LARGE, *ELSEWHERE))
WITH_AUXILIARY = (
    "fcn4s_mobilenet_v2",
    "fcn4s_narrow_mobilenet_v2",
    *(name for name in SMALL if name.startswith(("fcn_", "deeplabv3_")) and name != "fcn_resnet18"),
)
ODD_AND_EVEN = [(64, 96), (75, 101), (33, 32), (97, 64)]


@pytest.fixture(scope="module", params=SMALL)
def small(request: pytest.FixtureRequest) -> tuple[str, nn.Module]:
    torch.manual_seed(0)
    return request.param, build_model(ModelSpec(request.param, CLASSES))


def on_meta(spec: ModelSpec) -> nn.Module:
    """Names and shapes without the memory and time of weights."""
    with torch.device("meta"):
        return build_model(spec)


@pytest.mark.parametrize("size_hw", ODD_AND_EVEN)
def test_logits_have_the_size_of_the_image(small: tuple[str, nn.Module], size_hw: tuple[int, int]) -> None:
    assert_logits_fit(small[1], CLASSES, [size_hw])


@torch.no_grad()
def test_the_auxiliary_head_answers_only_while_training(small: tuple[str, nn.Module]) -> None:
    name, network = small
    outputs = network.train()(image((75, 101), batch=2))
    assert outputs.keys() == ({"out", "aux"} if name in WITH_AUXILIARY else {"out"})
    assert outputs["out"].shape == (2, CLASSES, 75, 101)
    for logits in outputs.values():
        assert logits.shape[:2] == (2, CLASSES)
        assert bool(logits.isfinite().all())
    assert network.eval()(image((64, 64))).keys() == {"out"}


@pytest.mark.parametrize("name", WITH_AUXILIARY)
@torch.no_grad()
def test_without_an_auxiliary_head_there_are_no_parameters_of_one(name: str) -> None:
    network = build_model(ModelSpec(name, CLASSES, auxiliary=False))
    assert not any(key.startswith("aux") for key in network.state_dict())
    assert network.train()(image((64, 64), batch=2)).keys() == {"out"}


def test_gradients_reach_every_parameter(small: tuple[str, nn.Module]) -> None:
    assert_gradients_reach_all(small[1], (64, 96))


@pytest.mark.parametrize("auxiliary", [True, False])
@pytest.mark.parametrize("name", TORCHVISION)
def test_the_zoo_is_torchvision_to_the_name(name: str, auxiliary: bool) -> None:
    choice = {} if name.startswith("lraspp") else {"aux_loss": auxiliary}
    with torch.device("meta"):
        theirs = getattr(torchvision.models.segmentation, name)(
            weights=None, weights_backbone=None, num_classes=21, **choice
        )
    ours = on_meta(ModelSpec(name, 21, auxiliary))
    assert shapes(ours) == shapes(theirs)
    assert any(key.startswith("aux_classifier.") for key in ours.state_dict()) == bool(choice and auxiliary)


@pytest.mark.parametrize("name", ["deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large", "fcn_resnet50"])
@torch.inference_mode()
def test_the_zoo_computes_what_torchvision_computes(name: str) -> None:
    torch.manual_seed(0)
    ours = build_model(ModelSpec(name, 3, auxiliary=False)).eval()
    theirs = getattr(torchvision.models.segmentation, name)(weights=None, weights_backbone=None, num_classes=3).eval()
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours(image((33, 45)))["out"], theirs(image((33, 45)))["out"])


def test_backbones_have_torchvisions_names_and_shapes() -> None:
    with torch.device("meta"):
        theirs = shapes(torchvision.models.mobilenet_v2())
        ours, expanded = shapes(MobileNetV2()), shapes(MobileNetV2(expanded=True))
        resnet, their_resnet = shapes(ResNet18()), shapes(torchvision.models.resnet18())
    left_out = ("features.18.", "classifier.")
    assert ours == expanded == {key: shape for key, shape in theirs.items() if not key.startswith(left_out)}
    assert resnet == {key: shape for key, shape in their_resnet.items() if not key.startswith("fc.")}


@torch.inference_mode()
def test_backbones_compute_what_torchvision_computes() -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.mobilenet_v2().eval()
    plain, expanded = MobileNetV2().eval(), MobileNetV2(expanded=True).eval()
    for ours in (plain, expanded):
        ours.load_state_dict(theirs.state_dict(), strict=False)
    value, maps = image((75, 101)), []
    for index, block in enumerate(theirs.features[:18]):
        if index in (4, 7, 14):
            maps.append((value, block.conv[0](value)))
        value = block(value)
    for ours, which in ((plain, 0), (expanded, 1)):
        *skips, top = ours(image((75, 101)))
        for got, pair in zip(skips, maps, strict=True):
            torch.testing.assert_close(got, pair[which])
        torch.testing.assert_close(top, value)
        assert tuple(skip.shape[1] for skip in (*skips, top)) == ours.channels
        assert [skip.shape[2] for skip in (*skips, top)] == [19, 10, 5, 3]


@torch.inference_mode()
def test_resnet18_is_torchvisions_without_pooling_and_classifier() -> None:
    torch.manual_seed(0)
    theirs, ours = torchvision.models.resnet18().eval(), ResNet18().eval()
    ours.load_state_dict(theirs.state_dict(), strict=False)
    pooled = ours(image((64, 96))).mean((2, 3))
    torch.testing.assert_close(theirs.fc(pooled), theirs(image((64, 96))))


def test_fcn_resnet18_is_the_textbook_network() -> None:
    network = build_model(ModelSpec("fcn_resnet18", CLASSES))
    assert [name for name, _ in network.named_children()] == ["backbone", "classifier", "upsample"]
    classifier, upsample = network.get_submodule("classifier"), network.get_submodule("upsample")
    assert isinstance(classifier, nn.Conv2d)
    assert (classifier.in_channels, classifier.out_channels, classifier.kernel_size) == (512, CLASSES, (1, 1))
    assert isinstance(upsample, nn.ConvTranspose2d)
    assert (upsample.kernel_size, upsample.stride, upsample.padding) == ((64, 64), (32, 32), (16, 16))
    assert (upsample.in_channels, upsample.out_channels, upsample.output_padding) == (CLASSES, CLASSES, (0, 0))
    # Constant scores stay constant away from the border, each class in its own channel.
    scores = torch.arange(1.0, CLASSES + 1).reshape(1, -1, 1, 1).expand(1, CLASSES, 4, 5)
    with torch.no_grad():
        upsampled = upsample(scores, (128, 160))
    assert upsampled.shape == (1, CLASSES, 128, 160)
    inside = upsampled[..., 16:-16, 16:-16]
    torch.testing.assert_close(inside, scores[..., :1, :1].expand_as(inside))


@pytest.mark.parametrize(("name", "plain"), [("resnet18", ResNet18), ("mobilenet_v2", MobileNetV2)])
@torch.inference_mode()
def test_dilation_adds_pixels_between_those_of_the_classifier(name: str, plain: type[nn.Module]) -> None:
    torch.manual_seed(0)
    backbone, trunk = BACKBONES[name](), plain().eval()
    backbone.trunk.eval().load_state_dict(trunk.state_dict())
    features, maps = trunk(image((75, 101))), backbone.trunk(image((75, 101)))
    top = features[-1] if isinstance(features, list) else features
    assert torch.equal(maps["out"][..., ::2, ::2], top)


@pytest.mark.parametrize("name", BACKBONES)
@torch.inference_mode()
def test_dilated_backbones_keep_the_stride_and_take_imagenet_weights_by_name(name: str) -> None:
    backbone = BACKBONES[name]()
    maps = backbone.trunk.eval()(image((75, 101)))
    assert maps["out"].shape == (1, backbone.channels, 5, 7)
    assert maps["aux"].shape == (1, backbone.aux_channels, 5, 7)
    with torch.device("meta"):
        classifier = shapes(getattr(torchvision.models, name)())
    own = shapes(backbone.trunk)
    assert own.items() <= classifier.items()
    assert {key.partition(".")[0] for key in classifier.keys() - own.keys()} <= {"classifier", "fc", "features"}


@pytest.mark.parametrize("upsample", UPSAMPLINGS)
@pytest.mark.parametrize("name", ["fcn_resnet18", "deeplabv3_mobilenet_v3_small", "lraspp_mobilenet_v3_large"])
def test_upsampling_is_a_choice(name: str, upsample: str) -> None:
    torch.manual_seed(0)
    network = build_model(ModelSpec(name, CLASSES, auxiliary=False, upsample=upsample)).train()
    logits = network(image((75, 101), batch=2))["out"]
    assert logits.shape == (2, CLASSES, 75, 101)
    logits.square().mean().backward()
    upsampling = network.get_submodule("upsample")
    assert isinstance(upsampling, UPSAMPLINGS[upsample])  # type: ignore[arg-type]
    assert all(value.grad is not None and value.grad.any() for value in upsampling.parameters())


def test_upsampling_is_no_choice_where_it_is_the_idea() -> None:
    for name in NETWORKS:
        if name in ANY_UPSAMPLING:
            assert ModelSpec(name, 2, upsample="subpixel").upsample == "subpixel"
        else:
            with pytest.raises(
                ConfigError, match=f"upsample='bilinear': {name} has its own; .* one of: fcn_resnet18, "
            ):
                ModelSpec(name, 2, upsample="bilinear")
    with pytest.raises(ConfigError, match="unknown upsample 'nearest'; known: bilinear, transposed, subpixel, unpool"):
        ModelSpec("fcn_resnet18", 2, upsample="nearest")


@pytest.mark.parametrize("classes", [1, 256, 0, -3, 2.0, True, "11"])
def test_impossible_class_counts_are_refused(classes: int) -> None:
    with pytest.raises(ConfigError, match="num_classes="):
        ModelSpec("fcn_resnet18", classes)


def test_an_unknown_network_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'unet'; known: fcn_resnet18, "):
        ModelSpec("unet", 2)
