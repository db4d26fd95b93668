"""Several scales and mirror images: probabilities averaged as the definition says, refused where there is one size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_network
import torch
import torch.nn.functional as F
from tiny_bundle import tiny_bundle
from tiny_datasets import folder
from torch import nn

from edgeseg.cli.main import main
from edgeseg.errors import ConfigError
from edgeseg.metrics.scored import ScoredModel
from edgeseg.models.checkpoint import save_checkpoint
from edgeseg.models.multiscale import MultiScaleNetwork, network_looking
from edgeseg.models.sealed import Preprocess, SealedNetwork
from edgeseg.runtime import load_segmenter

SIZE_HW = (40, 64)
SCALES = (0.8, 1.0, 1.5)


class Scores(nn.Module):
    """A convolution whose answer is no mirror image of itself, and keeps what sizes it was shown."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(3, 4, 3, padding=1)
        self.seen: list[tuple[int, ...]] = []

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        self.seen.append(tuple(images.shape[-2:]))
        return {"out": 3 * self.convolution(images)}


@pytest.fixture
def preprocess() -> Preprocess:
    return Preprocess(SIZE_HW, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


def frame(seed: int = 0, size_hw: tuple[int, int] = (80, 128)) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (1, *size_hw, 3), dtype=np.uint8))


@pytest.mark.parametrize("flip", [False, True])
@torch.inference_mode()
def test_probabilities_of_all_looks_are_averaged(preprocess: Preprocess, flip: bool) -> None:
    network, picture = Scores(), frame()
    several = MultiScaleNetwork(network, preprocess, SCALES, flip=flip)
    looks = []
    for size_hw in ((32, 51), (40, 64), (60, 96)):
        images = Preprocess(size_hw, preprocess.mean, preprocess.std)(picture)
        for mirrored in (False, True)[: 1 + flip]:
            probability = network({False: images, True: images.flip(3)}[mirrored])["out"].softmax(1)
            probability = probability.flip(3) if mirrored else probability
            looks.append(F.interpolate(probability, size=SIZE_HW, mode="bilinear", align_corners=False))
    network.seen.clear()
    logits = several.logits(picture)
    assert network.seen == [size for size in ((32, 51), (40, 64), (60, 96)) for _ in range(1 + flip)]
    torch.testing.assert_close(logits.softmax(1), torch.stack(looks).mean(0))
    expected = F.interpolate(
        torch.stack(looks).mean(0).argmax(1, keepdim=True).float(), size=(80, 128), mode="nearest-exact"
    )
    assert torch.equal(several(picture), expected[:, 0].to(torch.uint8))


@torch.inference_mode()
def test_with_flip_a_mirrored_frame_gets_the_mirrored_answer(preprocess: Preprocess) -> None:
    network, picture = Scores(), frame()
    for flip in (False, True):
        several = MultiScaleNetwork(network, preprocess, SCALES, flip=flip)
        same = torch.allclose(several.logits(picture.flip(2)), several.logits(picture).flip(3), atol=1e-5)
        assert same is flip


def test_one_scale_without_flip_is_the_sealed_network_itself(preprocess: Preprocess) -> None:
    assert type(network_looking(Scores(), preprocess)) is SealedNetwork
    assert isinstance(network_looking(Scores(), preprocess, flip=True), MultiScaleNetwork)


@torch.inference_mode()
def test_probabilities_that_vanish_stay_finite(preprocess: Preprocess) -> None:
    network = Scores()
    with torch.no_grad():
        network.convolution.weight.mul_(1e4)
    logits = MultiScaleNetwork(network, preprocess, (1.0,), flip=True).logits(frame())
    assert bool(logits.isfinite().all())


@pytest.mark.parametrize(
    ("scales", "problem"),
    [
        ((), r"scales=\(\): expected one or more"),
        ((1.0, 1.0), "each once"),
        ((1.0, 0.0), "scale 0.0 of 40x64: expected at most 4"),
        ((-1.0,), "scale -1.0 of 40x64"),
        ((0.5,), "scale 0.5 of 40x64: .* at least 32 pixels"),
        ((5.0,), "scale 5.0 of 40x64: expected at most 4"),
        ((float("nan"),), "scale nan of 40x64"),
    ],
)
def test_scales_without_sense_are_refused(preprocess: Preprocess, scales: tuple[float, ...], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        MultiScaleNetwork(Scores(), preprocess, scales, flip=False)
    assert "\n" not in str(caught.value)


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny_network.register(monkeypatch)
    save_checkpoint(tmp_path / "tiny.safetensors", tiny_network.trained(3))
    return tmp_path / "tiny.safetensors"


def test_the_segmenter_and_the_scored_model_look_alike(checkpoint: Path) -> None:
    picture = frame(1)[0].numpy()
    with load_segmenter(checkpoint, scales=(1.0, 1.5), flip=True) as several, load_segmenter(checkpoint) as one:
        labels = several(picture).labels
        assert not np.array_equal(labels, one(picture).labels)
    assert np.array_equal(labels, ScoredModel(checkpoint, (1.0, 1.5), flip=True)(picture).labels)


def test_evaluate_says_how_it_looked(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = folder(tmp_path / "pets")
    reports = []
    for number, options in enumerate(([], ["--scales", "1,1.5", "--flip"])):
        report = tmp_path / f"{number}.json"
        arguments = [str(checkpoint), "--data", str(data), "--split", "all", *options, "--json", str(report)]
        assert main(["evaluate", *arguments]) == 0
        reports.append(json.loads(report.read_text()))
    assert "tiny.safetensors (fp32, scales 1, 1.5, flip) on pets all" in capsys.readouterr().out
    assert (reports[1]["scales"], reports[1]["flip"]) == ([1.0, 1.5], True)
    assert reports[0]["matrix"] != reports[1]["matrix"]


def test_where_there_is_one_scale_it_is_said(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, bundle = folder(tmp_path / "pets"), tiny_bundle(tmp_path / "tiny.edgeseg").path
    problems = (
        (
            [bundle, "--flip"],
            "tiny.edgeseg is a bundle, whose graph takes one size and no mirror image. Name the check",
        ),
        ([bundle, "--scales", "0.5,1"], "is a bundle, whose graph takes one size"),
        ([checkpoint, "--flip", "--record"], "--record keeps what an exported model reaches, which has one scale"),
        ([checkpoint, "--scales", "0.1"], "scale 0.1 of 32x48: expected"),
    )
    for options, problem in problems:
        assert main(["evaluate", *map(str, options), "--data", str(data), "--split", "all"]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert problem in lines[0]
    with pytest.raises(SystemExit):
        main(["evaluate", str(checkpoint), "--data", str(data), "--scales", "1;2"])
    assert "expected numbers with commas between, such as 0.75,1,1.25" in capsys.readouterr().err
