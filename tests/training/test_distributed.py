"""Two processes train as one: sums, statistics, loss curve, validation, resuming, failing."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_network
import tiny_runs
import torch
from pair import COUNT, Pair
from torch import nn

from edgeseg.data import open_dataset
from edgeseg.errors import DataError, EdgesegError
from edgeseg.files import sha256_file
from edgeseg.metrics.evaluate import evaluate
from edgeseg.models.registry import NETWORKS, ModelSpec, build_model
from edgeseg.models.sealed import Preprocess, SealedNetwork
from edgeseg.training import distributed
from edgeseg.training.batch_norm import SyncBatchNorm2d, synchronise
from edgeseg.training.dropout import share_dropout
from edgeseg.training.losses import LossConfig
from edgeseg.training.recipe import (
    ModelConfig,
    Recipe,
    ValidationConfig,
    with_schedule,
)
from edgeseg.training.trainer import Trainer
from edgeseg.training.validation import Validation

OWN_NETWORKS = {tiny_network.NAME: "tiny_network:build", "steady": "test_distributed:steady"}
NETWORKS.update(OWN_NETWORKS)
CPU = torch.device("cpu")
LAYOUTS = (torch.contiguous_format, torch.channels_last)


class Block(nn.Module):
    """What activation checkpointing looks for: layers behind a `forward` of their own."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.layers(images))


def steady(spec: ModelSpec) -> nn.Module:
    """The tiny network, dropout included, its backbone a block."""
    network = tiny_network.Tiny(spec.num_classes, auxiliary=spec.auxiliary)
    network.backbone = nn.Sequential(Block(network.backbone))
    return network


RECIPE = replace(
    tiny_runs.RECIPE,
    model=ModelConfig(network="steady"),
    schedule=replace(tiny_runs.RECIPE.schedule, epochs=3, batch_size=4),
    loss=LossConfig(class_weight_offset=1.1, jaccard=0.5, ohem_fraction=0.7),
    validation=ValidationConfig("folder", "pets", "all", every=2),
)


def forget_networks() -> None:
    for name in OWN_NETWORKS:
        NETWORKS.pop(name, None)


@pytest.fixture(scope="module", autouse=True)
def _known() -> Iterator[None]:
    NETWORKS.update(OWN_NETWORKS)
    yield
    forget_networks()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with Pair(tmp_path_factory.mktemp("pair") / "meeting") as pair:
        yield pair


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine pictures: two batches of four to an epoch, and shares of five and four to validate."""
    return tiny_runs.pets(tmp_path_factory, "abcdefghi")


def whole_batch() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(3, 2, (4, 5, 6, 7)).astype(np.float32))


def own(value: torch.Tensor) -> torch.Tensor:
    return value.chunk(distributed.process_count())[distributed.process_rank()]


def sums() -> list[torch.Tensor]:
    """all_sum and all_gather_values of this process's part, and the gradients that they send back to it."""
    part = own(whole_batch()).clone().requires_grad_()
    total = distributed.all_sum(part.square().sum((0, 2, 3)))
    torch.autograd.backward((total**2).sum())
    values = part.detach().flatten()[: 10 + 5 * distributed.process_rank()].clone().requires_grad_()
    gathered = distributed.all_gather_values(values)
    torch.autograd.backward((gathered.cumsum(0) ** 2).sum())
    assert part.grad is not None
    assert values.grad is not None
    return [total.detach(), part.grad, gathered.detach(), values.grad]


def test_sums_and_values_over_processes_and_their_gradients(pair: Pair) -> None:
    results = pair(sums)
    whole = whole_batch().requires_grad_()
    total = whole.square().sum((0, 2, 3))
    torch.autograd.backward((total**2).sum())
    halves = whole.detach().chunk(COUNT)
    values = torch.cat([halves[0].flatten()[:10], halves[1].flatten()[:15]]).requires_grad_()
    torch.autograd.backward((values.cumsum(0) ** 2).sum())
    assert whole.grad is not None
    assert values.grad is not None
    gradients = zip(whole.grad.chunk(COUNT), (values.grad[:10], values.grad[10:]), strict=True)
    for (summed, part, gathered, own_values), (expected_part, expected_values) in zip(results, gradients, strict=True):
        torch.testing.assert_close(summed, total.detach())
        assert torch.equal(gathered, values.detach())
        # DistributedDataParallel's mean over processes takes the factor out again.
        torch.testing.assert_close(part / COUNT, expected_part)
        torch.testing.assert_close(own_values / COUNT, expected_values)


def normalised() -> list[torch.Tensor]:
    torch.manual_seed(1)
    network = synchronise(nn.Sequential(nn.BatchNorm2d(5)), CPU)
    return through(network, own(whole_batch()), expected=SyncBatchNorm2d)


def through(network: nn.Module, batch: torch.Tensor, expected: type[nn.Module]) -> list[torch.Tensor]:
    """Output, gradients of input, weight and bias, running statistics, and the output in eval mode."""
    norm = network.get_submodule("0")
    assert type(norm) is expected
    assert isinstance(norm, nn.BatchNorm2d)
    images = batch.clone().requires_grad_()
    output = network(images)
    torch.autograd.backward((output * torch.arange(7) + output**3).sum())
    assert images.grad is not None
    assert norm.weight.grad is not None
    assert norm.bias.grad is not None
    tensors = [output, images.grad, norm.weight.grad, norm.bias.grad, *network.state_dict().values()]
    return [value.detach().double() for value in [*tensors, network.eval()(batch)]]


def test_batch_norm_over_processes_is_that_of_the_whole_batch(pair: Pair) -> None:
    first, second = pair(normalised)
    network = nn.Sequential(nn.BatchNorm2d(5))
    assert list(synchronise(network, CPU).state_dict()) == list(network.state_dict())
    expected = through(network, whole_batch(), expected=nn.BatchNorm2d)
    for index in (0, 1, -1):
        torch.testing.assert_close(torch.cat([first[index], second[index]]), expected[index], rtol=1e-5, atol=1e-5)
    for index in (2, 3):  # gradients of weight and bias, before the mean over processes
        torch.testing.assert_close(first[index] + second[index], expected[index], rtol=1e-5, atol=1e-4)
    for one, other, value in zip(first[4:-1], second[4:-1], expected[4:-1], strict=True):
        assert torch.equal(one, other)
        torch.testing.assert_close(one, value, rtol=1e-6, atol=1e-6)


def dropped() -> torch.Tensor:
    torch.manual_seed(3)
    drop = share_dropout(nn.Sequential(nn.Dropout(0.3)))
    parts = [own(whole_batch().contiguous(memory_format=layout)) for layout in LAYOUTS]
    assert torch.equal(drop.eval()(parts[0]), parts[0])
    drop.train()
    return torch.stack([drop(part) for part in parts] + [drop(parts[0])])


def test_dropout_over_processes_is_that_of_the_whole_batch(pair: Pair) -> None:
    torch.manual_seed(3)
    wholes = [whole_batch().contiguous(memory_format=layout) for layout in LAYOUTS]
    drop = nn.Dropout(0.3)
    expected = torch.stack([drop(whole) for whole in wholes] + [drop(wholes[0])])
    torch.testing.assert_close(torch.cat(pair(dropped), 1), expected, rtol=1e-6, atol=0)


def test_alone_dropout_stays_pytorchs() -> None:
    assert type(share_dropout(nn.Dropout(0.3))) is nn.Dropout


def trained(recipe: Recipe, data: Path, output: Path, stop_after: int | None = None) -> list[str]:
    """A whole run, or until that step; resumed where there is a state. Returns what was said."""
    lines: list[str] = []
    calls = iter(range(10**6))
    trainer = Trainer(recipe, data, output, say=lines.append, device="cpu")
    if stop_after is None and (output / "state.pt").exists():
        trainer.resume()
    with pytest.MonkeyPatch.context() as patch:
        # Drawing takes longer than an epoch here.
        patch.setattr("edgeseg.training.journal.draw_curves", lambda *_: None)
        trainer.run(lambda: stop_after is not None and next(calls) >= stop_after)
    return lines


def history_of(output: Path) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = json.loads((output / "history.json").read_text())
    return rows


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPE,
        replace(RECIPE, model=replace(RECIPE.model, checkpoint_activations=True, freeze=("classifier",))),
        replace(RECIPE, loss=LossConfig(auxiliary=0.0)),
    ],
    ids=["all", "recomputed", "unused-head"],
)
def test_the_loss_curve_is_that_of_one_process(recipe: Recipe, pair: Pair, data: Path, tmp_path: Path) -> None:
    trained(recipe, data, tmp_path / "one")
    said = pair(trained, recipe, data, tmp_path / "two")
    one, two = history_of(tmp_path / "one"), history_of(tmp_path / "two")
    assert len(one) == 3
    assert [row["loss"] for row in two] == pytest.approx([row["loss"] for row in one], rel=1e-5)
    assert two[1]["miou"] == pytest.approx(one[1]["miou"], rel=1e-3)
    assert "cpu, 2 processes" in said[0][0]
    assert said[1] == []


def test_parts_and_processes_together_are_one_batch(pair: Pair, data: Path, tmp_path: Path) -> None:
    """Where statistics are fixed and the loss is a mean over pixels, as the parts of a batch have it."""
    # Parts are other samples in two processes, and the masks of dropout are drawn part by part.
    model = replace(RECIPE.model, freeze=("backbone", "dropout"), auxiliary=False)
    recipe = replace(RECIPE, model=model, loss=LossConfig(class_weight_offset=1.1))
    trained(recipe, data, tmp_path / "one")
    pair(trained, with_schedule(recipe, accumulate=2), data, tmp_path / "two")
    one, two = history_of(tmp_path / "one"), history_of(tmp_path / "two")
    assert [row["loss"] for row in two] == pytest.approx([row["loss"] for row in one], rel=1e-6)


def test_two_processes_stopped_and_resumed_write_the_same_bytes(pair: Pair, data: Path, tmp_path: Path) -> None:
    recipe = RECIPE
    pair(trained, recipe, data, tmp_path / "straight")
    pair(trained, recipe, data, tmp_path / "broken", 3)
    assert not (tmp_path / "broken/short.safetensors").exists()
    said = pair(trained, recipe, data, tmp_path / "broken")
    assert said[0][1] == "resumed after epoch 1 of 3 and 1 of 2 steps"
    hashes = {sha256_file(tmp_path / name / "short.safetensors") for name in ("straight", "broken")}
    assert len(hashes) == 1
    assert history_of(tmp_path / "straight") == history_of(tmp_path / "broken")


def test_one_process_goes_on_with_a_state_of_two_and_says_so(pair: Pair, data: Path, tmp_path: Path) -> None:
    pair(trained, RECIPE, data, tmp_path, 3)
    lines = trained(RECIPE, data, tmp_path)
    assert "the state is of 2 processes, this run of 1" in lines[2]
    trained(RECIPE, data, tmp_path / "one")
    losses = [row["loss"] for row in history_of(tmp_path / "one")]
    assert [row["loss"] for row in history_of(tmp_path)] == pytest.approx(losses, rel=1e-5)


def measured(data: Path) -> list[object]:
    torch.manual_seed(0)
    network = build_model(ModelSpec("steady", 3))
    dataset = open_dataset("folder", data / "pets", "all")
    preprocess = Preprocess((64, 96), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    found = Validation(dataset, dataset.label_map, preprocess, CPU)(network)
    assert found is not None
    return [found.result.matrix.tolist(), found.result.frames, found.cross_entropy]


def test_validation_counts_every_frame_once(pair: Pair, data: Path) -> None:
    torch.manual_seed(0)
    dataset = open_dataset("folder", data / "pets", "all")
    sealed = SealedNetwork(
        build_model(ModelSpec("steady", 3)).eval(), Preprocess((64, 96), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    )
    with torch.inference_mode():
        alone = evaluate(dataset, lambda frame: np.asarray(sealed(torch.from_numpy(frame)[None])[0]), dataset.label_map)
    first, second = pair(measured, data)
    assert first == second
    assert first[:2] == [alone.matrix.tolist(), 9]
    assert first[2] == pytest.approx(measured(data)[2], rel=1e-12)


def failing(recipe: Recipe, data: Path, output: Path, rank: int) -> str:
    """A run in which process `rank` alone meets a picture that it cannot read; what it ends with."""

    def torn(*_: object) -> None:
        raise DataError("frame 5 cannot be read.")

    with pytest.MonkeyPatch.context() as patch:
        if distributed.process_rank() == rank:
            patch.setattr("edgeseg.data.loaders.AugmentedDataset.__getitem__", torn)
        try:
            trained(recipe, data, output)
        except (EdgesegError, distributed.PeerFailed) as error:
            return repr(error)
    return "went on"


@pytest.mark.parametrize("rank", range(COUNT))
def test_where_one_process_fails_all_end_and_one_says_why(rank: int, pair: Pair, data: Path, tmp_path: Path) -> None:
    results = pair(failing, RECIPE, data, tmp_path, rank)
    assert results.pop(rank) == "DataError('frame 5 cannot be read.')"
    assert results == ["PeerFailed('another process failed with exit code 2')"]


def test_a_recipe_that_both_refuse_is_refused_once(pair: Pair, data: Path, tmp_path: Path) -> None:
    results = pair(failing, with_schedule(RECIPE, batch_size=3), data, tmp_path, -1)
    assert results[0].startswith("ConfigError('schedule.batch_size=3 does not divide into 2 processes")
    assert results[1] == "PeerFailed('another process failed with exit code 2')"


DRIVER = """
import sys, tiny_network
from edgeseg.models.registry import NETWORKS
from edgeseg.cli.main import main
NETWORKS["tiny"] = "tiny_network:build"
sys.exit(main(sys.argv[1:]))
"""

RECIPE_FILE = tiny_runs.recipe_file(epochs=1, batch_size=4, workers=1)


@pytest.mark.slow
def test_torchrun_starts_the_command(data: Path, tmp_path: Path) -> None:
    (tmp_path / "driver.py").write_text(DRIVER)
    (tmp_path / "short.toml").write_text(RECIPE_FILE)
    tests = Path(tiny_network.__file__).parent
    environment = os.environ | {"PYTHONPATH": f"{tests}{os.pathsep}{tests.parent}"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(COUNT)]
    arguments = ["train", "short.toml", "--data", str(data), "--device", "cpu"]
    done = subprocess.run(
        [*torchrun, "driver.py", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["short:", "epoch", "wrote"]
    assert "2 processes" in lines[0]
    assert (tmp_path / "runs/short/short.safetensors").is_file()


if multiprocessing.parent_process() is None:
    # The pair's processes import this module to find its functions, and keep its networks; other tests shall not.
    forget_networks()
