"""Every way of upsampling: exported it is the same function, of operators that every runtime has, in FP16 too."""

from __future__ import annotations

from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from edgeseg.graph.export import export_graph
from edgeseg.graph.fp16 import convert_to_fp16
from edgeseg.graph.parity import measure_parity
from edgeseg.graph.recipe import ExportConfig
from edgeseg.graph.reference import torch_logits
from edgeseg.labels import LabelMap
from edgeseg.models.checkpoint import TrainedModel
from edgeseg.models.family import HeadNetwork
from edgeseg.models.registry import ModelSpec
from edgeseg.models.upsampling import UPSAMPLINGS

LABEL_MAP = LabelMap(("dark", "grey", "bright"), ((0, 0, 0), (128, 128, 128), (255, 255, 255)))
SIZE_HW = (45, 61)
"""Odd, so that every learned upsampling gives more than the image needs."""

OPERATORS = {
    "bilinear": {"Resize": 1},
    "transposed": {"DepthToSpace": 1},
    "subpixel": {"DepthToSpace": 1},
    "unpool": {"DepthToSpace": 3, "Pad": 3},
}


class Trunk(nn.Module):
    """A map at stride 8."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 7, 4, 3), nn.ReLU6(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU6())

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": self.down(images)}


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("upsample", UPSAMPLINGS)
def test_an_upsampling_exports_exactly(upsample: str, dynamic: bool) -> None:
    torch.manual_seed(0)
    upsampling = UPSAMPLINGS[upsample](3, 8)
    with torch.no_grad():
        # Away from the bilinear start, as after training.
        for parameter in upsampling.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    network = HeadNetwork(Trunk(), nn.Conv2d(8, 3, 1), None, upsampling).eval()
    trained = TrainedModel(network, ModelSpec("fcn8s_mobilenet_v2", 3), LABEL_MAP, SIZE_HW)
    exported = export_graph(trained, ExportConfig(dynamic=dynamic))
    found = Counter(node.op_type for node in exported.model.graph.node)
    own = {operator: count for operator, count in found.items() if operator in {"ConvTranspose", "DepthToSpace", "Pad"}}
    expected = {operator: count for operator, count in OPERATORS[upsample].items() if operator != "Resize"}
    assert own == expected
    assert found["Resize"] == OPERATORS[upsample].get("Resize", 0) + 2 * dynamic

    rng = np.random.default_rng(0)
    sizes = [SIZE_HW, (64, 40)] if dynamic else [SIZE_HW, SIZE_HW]
    frames = [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    report = measure_parity(
        {"fp32": exported.model},
        frames,
        LABEL_MAP,
        reference=partial(torch_logits, exported.sealed),
        frames_from="noise",
    )
    report.raise_if_failed()
    half = convert_to_fp16(exported.model, dynamic=dynamic)
    assert {reason.partition(" ")[0] for reason in half.kept.values()} == (
        {"Resize:"} if upsample == "bilinear" else set()
    )
