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


def test_all_four_fates_of_a_tensor() -> None:
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
    assert report.missing == (
        "backbone.1.weight",
        "backbone.1.bias",
        "backbone.1.running_mean",
        "backbone.1.running_var",
        "upsample.weight",
    )
    assert report.unexpected == ("fc.weight",)
    assert report.mismatched == ("classifier.weight 4×8×1×1 instead of 3×8×1×1", "classifier.bias 4 instead of 3")
    assert str(report) == (
        "2 tensors taken; 5 missing (backbone.1, upsample.weight); 1 unexpected (fc.weight); "
        "2 mismatched (classifier.weight 4×8×1×1 instead of 3×8×1×1, classifier.bias 4 instead of 3)"
    )
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name] if name in report.taken else before[name])


def test_a_whole_state_leaves_nothing_to_report() -> None:
    one, other = Tiny(3, auxiliary=True), Tiny(3, auxiliary=True)
    report = load_partial(one, other.state_dict())
    assert str(report) == f"{len(other.state_dict())} tensors taken"
    assert report.missing == report.unexpected == report.mismatched == ()


def test_an_imagenet_classifier_fills_the_backbone() -> None:
    torch.manual_seed(0)
    classifier = torchvision.models.mobilenet_v2()
    backbone = MobileNetV2(expanded=True)
    report = load_partial(backbone, classifier.state_dict())
    assert set(report.taken) == set(backbone.state_dict())
    assert report.missing == report.mismatched == ()
    assert str(report) == f"{len(report.taken)} tensors taken; 8 unexpected (features.18, classifier.1)"
    assert torch.equal(backbone.features[0][0].weight, classifier.features[0][0].weight)  # type: ignore[index]


def test_nothing_that_fits_is_an_error() -> None:
    with pytest.raises(CheckpointError, match=r"none of the 2 tensors .* such as weight, found conv\.weight"):
        load_partial(nn.Linear(2, 2), {"conv.weight": torch.zeros(2), "conv.bias": torch.zeros(2)})
    with pytest.raises(CheckpointError, match=r"none of the 0 tensors .* found nothing"):
        load_partial(nn.Linear(2, 2), {})
