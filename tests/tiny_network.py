"""A network of a few hundred parameters, for tests of what is done to networks: saved, recognised, trained, resumed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from edgeseg.errors import CheckpointError
from edgeseg.labels import LabelMap
from edgeseg.models.checkpoint import TrainedModel, load_checkpoint
from edgeseg.models.registry import NETWORKS, ModelSpec, build_model
from edgeseg.models.upsampling import transposed_upsample

NAME = "tiny"
LABELS = LabelMap(("ground", "cat", "dog"), ((0, 0, 0), (200, 10, 10), (10, 10, 200)))


class Tiny(nn.Module):
    """Backbone at stride 2 with batch norm and dropout, class scores, a transposed convolution; "aux" at stride 2."""

    def __init__(self, num_classes: int, *, auxiliary: bool) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Conv2d(8, num_classes, 1)
        self.upsample = transposed_upsample(num_classes, num_classes, stride=2)
        self.aux_classifier = nn.Conv2d(8, num_classes, 1) if auxiliary else None

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.dropout(self.backbone(images))
        height, width = images.shape[-2:]
        outputs = {"out": self.upsample(self.classifier(features))[..., :height, :width]}
        if self.training and self.aux_classifier is not None:
            outputs["aux"] = self.aux_classifier(features)
        return outputs


def build(spec: ModelSpec) -> nn.Module:
    return Tiny(spec.num_classes, auxiliary=spec.auxiliary)


def register(monkeypatch: pytest.MonkeyPatch, name: str = NAME) -> None:
    """Enter it into the table of networks for one test."""
    monkeypatch.setitem(NETWORKS, name, "tiny_network:build")


def trained(seed: int = 0, *, auxiliary: bool = True) -> TrainedModel:
    """The tiny network, registered before, with random weights."""
    torch.manual_seed(seed)
    spec = ModelSpec(NAME, len(LABELS), auxiliary)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    return TrainedModel(build_model(spec).eval(), spec, LABELS, (32, 48), mean, std, lineage={"recipe": {"name": "x"}})


def refusal(path: Path) -> str:
    """Why a checkpoint is refused: a message that names the file and is one line."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message
