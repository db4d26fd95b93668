"""Every network of the registry: one training step lowers the loss, and what is exported then is the same network.

Networks too large for a quick suite are marked slow as well; `make zoo` runs them all.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from _pytest.mark.structures import ParameterSet
from torch import nn

from edgeseg.data import open_dataset
from edgeseg.graph.export import export_graph
from edgeseg.graph.parity import measure_parity
from edgeseg.graph.recipe import ExportConfig
from edgeseg.graph.reference import torch_logits
from edgeseg.labels import CAMVID
from edgeseg.models.checkpoint import IMAGENET_MEAN, IMAGENET_STD, TrainedModel
from edgeseg.models.registry import NETWORKS, ModelSpec, build_model
from edgeseg.models.sealed import Preprocess
from edgeseg.training.losses import LossConfig, SegmentationLoss

SIZE_HW = (96, 128)
QUICK = ("fcn_resnet18", "fcn8s_mobilenet_v2", "fcn4s_mobilenet_v2", "deeplabv3_mobilenet_v2")
"""The ones in `make test`: small, and one of each kind of decoder."""


def parameters() -> list[ParameterSet]:
    return [
        pytest.param(name, marks=[pytest.mark.zoo, *([] if name in QUICK else [pytest.mark.slow])], id=name)
        for name in NETWORKS
    ]


@pytest.mark.parametrize("name", parameters())
def test_a_step_lowers_the_loss_and_the_export_is_the_network(name: str) -> None:
    drive = open_dataset("synthetic", f"seed=5&frames=3&size={SIZE_HW[0]}x{SIZE_HW[1]}&step=40", "train")
    samples = [drive[index] for index in range(len(drive))]
    frames = [sample.image_bgr for sample in samples]
    torch.manual_seed(1)
    spec = ModelSpec(name, len(CAMVID))
    network = build_model(spec)

    before, after = one_step(network, frames, torch.from_numpy(np.stack([sample.labels for sample in samples])).long())
    assert after < before

    exported = export_graph(TrainedModel(network.eval(), spec, CAMVID, SIZE_HW), ExportConfig())
    report = measure_parity(
        {"fp32": exported.model},
        frames,
        CAMVID,
        reference=partial(torch_logits, exported.sealed),
        frames_from="synthetic drive",
    )
    report.raise_if_failed()
    assert report.pairs[0].agreement.peak > 0


def one_step(network: nn.Module, frames: list[np.ndarray], labels: torch.Tensor) -> tuple[float, float]:
    """Loss on a batch before and after one step on this very batch; dropout leaves out the same both times."""
    preprocess = Preprocess(SIZE_HW, IMAGENET_MEAN, IMAGENET_STD)
    images = preprocess(torch.from_numpy(np.stack(frames)))
    criterion = SegmentationLoss(LossConfig(), void=CAMVID.void, shares=None)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def loss() -> torch.Tensor:
        torch.manual_seed(2)
        value: torch.Tensor = criterion(network.train()(images), labels)
        return value

    before = loss()
    before.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    with torch.no_grad():
        return before.item(), loss().item()
