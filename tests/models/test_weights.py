"""Partial loading: what was taken and what was not, to the name."""

from __future__ import annotations

import pytest
import torch
import torchvision
from tiny_network import Tiny
from torch import nn

from edgeseg.errors import CheckpointError
from edgeseg.models.backbones import MobileNetV2
from edgeseg.models.weights import load_partial


def test_what_became_of_every_tensor() -> None:
    network = Tiny(3, auxiliary=False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = {
        "backbone.0.weight": torch.full((8, 3, 3, 3), 0.25),
        "backbone.1.num_batches_tracked": torch.tensor(7),
        "classifier.weight": torch.zeros(4, 8, 1, 1),
        "classifier.bias": torch.ones(4),
        "fc.weight": torch.zeros(2),
    }
    report = load_partial(network, state)
    assert report.taken == ("backbone.0.weight", "backbone.1.num_batches_tracked")
    assert dict(report.dropped) == {"classifier.weight": (4, 8, 1, 1), "classifier.bias": (4,), "fc.weight": (2,)}
    assert list(report.new) == [
        "backbone.1.weight",
        "backbone.1.bias",
        "backbone.1.running_mean",
        "backbone.1.running_var",
        "classifier.weight",
        "classifier.bias",
        "upsample.weight",
    ]
    assert str(report) == (
        "2 tensors taken; dropped: classifier 4×8×1×1, fc 2; "
        "new, as initialised: backbone.1 8, classifier 3×8×1×1, upsample 3×3×4×4"
    )
    assert not report.whole
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name] if name in report.taken else before[name])


def test_a_whole_state_leaves_nothing_to_report() -> None:
    one, other = Tiny(3, auxiliary=True), Tiny(3, auxiliary=True)
    report = load_partial(one, other.state_dict())
    assert str(report) == f"{len(other.state_dict())} tensors taken"
    assert report.whole


def test_an_imagenet_classifier_fills_the_backbone() -> None:
    torch.manual_seed(0)
    classifier = torchvision.models.mobilenet_v2()
    backbone = MobileNetV2(expanded=True)
    report = load_partial(backbone, classifier.state_dict())
    assert set(report.taken) == set(backbone.state_dict())
    assert not report.new
    assert str(report) == (
        f"{len(report.taken)} tensors taken; "
        "dropped: features.18.0 1280×320×1×1, features.18.1 1280, classifier.1 1000×1280"
    )
    assert torch.equal(backbone.features[0][0].weight, classifier.features[0][0].weight)  # type: ignore[index]


def test_of_many_layers_the_first_are_named() -> None:
    network = nn.Sequential(*(nn.Linear(2, 2) for _ in range(9)))
    report = load_partial(network, {"0.weight": torch.zeros(2, 2), "0.bias": torch.zeros(2), "8.bias": torch.zeros(2)})
    assert str(report).endswith("new, as initialised: 1 2×2, 2 2×2, 3 2×2, 4 2×2, 5 2×2, 6 2×2 and 2 more layers")


def test_nothing_that_fits_is_an_error() -> None:
    with pytest.raises(CheckpointError, match=r"none of the 2 tensors .* such as weight, found conv\.weight"):
        load_partial(nn.Linear(2, 2), {"conv.weight": torch.zeros(2), "conv.bias": torch.zeros(2)})
    with pytest.raises(CheckpointError, match=r"none of the 0 tensors .* found nothing"):
        load_partial(nn.Linear(2, 2), {})
