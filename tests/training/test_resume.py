"""Stopped anywhere and gone on with, a run ends in the same file, to the byte."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_network
import tiny_runs
import torch

from edgeseg.cli.main import main
from edgeseg.data import open_dataset
from edgeseg.data.loaders import AugmentedDataset
from edgeseg.errors import CheckpointError
from edgeseg.files import sha256_file
from edgeseg.metrics.evaluate import evaluate
from edgeseg.models.checkpoint import TrainedModel, load_checkpoint
from edgeseg.models.sealed import Preprocess, SealedNetwork
from edgeseg.training.learner import Learner
from edgeseg.training.losses import LossConfig
from edgeseg.training.recipe import (
    OptimiserConfig,
    Recipe,
    ValidationConfig,
    with_schedule,
)
from edgeseg.training.state import load_state
from edgeseg.training.trainer import Trainer
from edgeseg.types import Frame, Labels

STEPS = 3
"""In each of the two epochs: the six pictures, two to a step."""

RECIPE = replace(
    tiny_runs.RECIPE,
    loss=LossConfig(class_weight_offset=1.1, jaccard=0.5),
    validation=ValidationConfig("folder", "pets", "all", every=1),
)


class Killed(BaseException):
    """Stands for a kill: nothing in the trainer catches it."""


@pytest.fixture(scope="module", autouse=True)
def _tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        tiny_network.register(patch)
        # Drawing takes longer than an epoch here.
        patch.setattr("edgeseg.training.journal.draw_curves", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_runs.pets(tmp_path_factory)


def trainer(recipe: Recipe, data: Path, output: Path, **options: object) -> Trainer:
    # Another run before this one in the same process must not matter.
    torch.manual_seed(99)
    return Trainer(recipe, data, output, say=lambda _: None, device="cpu", **options)  # type: ignore[arg-type]


def resumed(recipe: Recipe, data: Path, output: Path) -> Trainer:
    again = trainer(recipe, data, output)
    again.resume()
    return again


def outcome(path: Path | None) -> tuple[str, list[dict[str, float]]]:
    """The checkpoint's hash, and the history beside it."""
    assert path is not None
    return sha256_file(path), json.loads((path.parent / "history.json").read_text())


def after(calls: int) -> Callable[[], bool]:
    """A `stop` that says yes from its call number `calls` on, counted from 0."""
    counter = itertools.count()
    return lambda: next(counter) >= calls


@pytest.fixture(scope="module")
def unbroken(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[str, list[dict[str, float]]]]:
    """Parts to a batch → what a run comes to that nothing interrupts."""
    return {
        parts: outcome(trainer(with_schedule(RECIPE, accumulate=parts), data, tmp_path_factory.mktemp("run")).run())
        for parts in (1, 2)
    }


# Every epoch asks before 3 steps and before each of the 6 frames of its validation.
@pytest.mark.parametrize(
    ("calls", "epoch", "step"), [(0, 0, 0), (1, 0, 1), (2, 0, 2), (5, 0, 3), (9, 1, 0), (11, 1, 2)]
)
@pytest.mark.parametrize(("workers", "parts"), [(0, 1), (0, 2)])
def test_stopped_between_any_two_steps(
    calls: int, epoch: int, step: int, workers: int, parts: int, unbroken: dict[int, object], data: Path, tmp_path: Path
) -> None:
    recipe = with_schedule(RECIPE, workers=workers, accumulate=parts)
    assert trainer(recipe, data, tmp_path).run(after(calls)) is None
    state = load_state(tmp_path / "state.pt", recipe)
    assert (state.epoch, state.step) == (epoch, step)
    assert not (tmp_path / "short.safetensors").exists()
    assert outcome(resumed(recipe, data, tmp_path).run()) == unbroken[parts]


def test_stopped_again_and_again_with_other_numbers_of_workers(
    unbroken: dict[int, object], data: Path, tmp_path: Path
) -> None:
    assert trainer(with_schedule(RECIPE, workers=1), data, tmp_path).run(after(1)) is None
    assert resumed(RECIPE, data, tmp_path).run(after(1)) is None
    path = resumed(with_schedule(RECIPE, workers=1), data, tmp_path).run()
    assert outcome(path) == unbroken[1]


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_killed_after_a_step_and_resumed_from_the_last_state(
    steps: int, unbroken: dict[int, object], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn, taken = Learner.learn, itertools.count()

    def dying(self: Learner, frames: torch.Tensor, labels: torch.Tensor, rate_factor: float) -> float:
        if next(taken) == steps:
            raise Killed
        return learn(self, frames, labels, rate_factor)

    # A clock that advances 40 s each time it is asked: saving is due before every second step.
    clock = itertools.count(step=40)
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "learn", dying)
        with pytest.raises(Killed):
            trainer(RECIPE, data, tmp_path, save_every_s=60, clock=lambda: next(clock)).run()
    state = load_state(tmp_path / "state.pt", RECIPE)
    assert 0 < state.epoch * STEPS + state.step <= steps
    assert outcome(resumed(RECIPE, data, tmp_path).run()) == unbroken[1]


def test_finished_batches_are_not_read_again(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    read = AugmentedDataset.__getitem__

    def watched(self: AugmentedDataset, key: tuple[int, int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(key)
        return read(self, key)

    assert trainer(RECIPE, data, tmp_path).run(after(2)) is None
    monkeypatch.setattr(AugmentedDataset, "__getitem__", watched)
    resumed(RECIPE, data, tmp_path).run()
    assert len(seen) == len(set(seen)) == 2 * (2 * STEPS - 2)


def stopping_early(patience: int) -> Recipe:
    """Learns so fast that it soon gets no better."""
    assert RECIPE.validation is not None
    recipe = with_schedule(RECIPE, epochs=8, ema_decay=0.0)
    return replace(recipe, validation=replace(RECIPE.validation, patience=patience), optimiser=OptimiserConfig(0.3))


def measured(model: TrainedModel, data: Path) -> float:
    """The mIoU of a checkpoint on the pictures, by the evaluation that users call."""
    sealed = SealedNetwork(model.network, Preprocess(model.size_hw, model.mean, model.std))

    @torch.inference_mode()
    def segment(frame_bgr: Frame) -> Labels:
        return np.asarray(sealed(torch.from_numpy(frame_bgr)[None])[0])

    return evaluate(open_dataset("folder", data / "pets", "all"), segment, model.label_map).miou


def test_early_stopping_keeps_the_best_epoch_and_survives_a_stop(data: Path, tmp_path: Path) -> None:
    recipe = stopping_early(2)
    path = trainer(recipe, data, tmp_path / "straight").run()
    whole = outcome(path)
    mious = [row["miou"] for row in whole[1]]
    best = mious.index(max(mious))
    assert len(mious) == best + 1 + 2 < 8

    # The weights are those that were measured then, not the last ones.
    assert path is not None
    kept = load_checkpoint(path)
    assert kept.lineage["history"] == [whole[1][best]]
    assert measured(kept, data) == max(mious)
    last = torch.load(tmp_path / "straight" / "state.pt", weights_only=True)
    assert not torch.equal(kept.network.state_dict()["classifier.weight"], last["average"]["classifier.weight"])

    calls = (best + 1) * (STEPS + 6) + 2
    assert trainer(recipe, data, tmp_path / "broken").run(after(calls)) is None
    assert outcome(resumed(recipe, data, tmp_path / "broken").run()) == whole
    # Finished is finished.
    assert outcome(resumed(recipe, data, tmp_path / "broken").run()) == whole


def test_a_state_of_an_older_version_is_refused_in_one_line(data: Path, tmp_path: Path) -> None:
    trainer(RECIPE, data, tmp_path).run(after(1))
    content = torch.load(tmp_path / "state.pt", weights_only=True)
    del content["step"]
    torch.save(content, tmp_path / "state.pt")
    with pytest.raises(CheckpointError, match=r"state\.pt: an older edgeseg wrote it\."):
        load_state(tmp_path / "state.pt", RECIPE)


def test_a_setting_younger_than_the_state_was_at_its_default(data: Path, tmp_path: Path) -> None:
    trainer(RECIPE, data, tmp_path).run(after(1))
    content = torch.load(tmp_path / "state.pt", weights_only=True)
    del content["recipe"]["schedule"]["accumulate"]
    torch.save(content, tmp_path / "state.pt")
    assert load_state(tmp_path / "state.pt", RECIPE).step == 1
    with pytest.raises(Exception, match=r"schedule\.accumulate was 1, now 2"):
        load_state(tmp_path / "state.pt", with_schedule(RECIPE, accumulate=2))


RECIPE_FILE = tiny_runs.recipe_file(epochs=2, batch_size=2, workers=1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_finishes_the_step_and_saves(
    number: signal.Signals,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "short.toml").write_text(RECIPE_FILE)
    command = ["train", str(tmp_path / "short.toml"), "--data", str(data), "--device", "cpu"]
    straight, broken = ["--output", str(tmp_path / "straight")], ["--output", str(tmp_path / "broken")]
    assert main([*command, *straight]) == 0
    learn, taken = Learner.learn, itertools.count()

    def interrupted(self: Learner, frames: torch.Tensor, labels: torch.Tensor, rate_factor: float) -> float:
        if next(taken) == 1:
            for pid in (*(process.pid for process in multiprocessing.active_children()), os.getpid()):
                assert pid is not None
                os.kill(pid, number)
        return learn(self, frames, labels, rate_factor)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "learn", interrupted)
        assert main([*command, *broken]) == 130
    captured = capsys.readouterr()
    assert "stopped in epoch 1 after 2 of 3 steps" in captured.out
    assert captured.err == "edgeseg: stopped; the same command with --resume goes on from here\n"
    assert main([*command, *broken, "--resume", "--workers", "0"]) == 0
    assert outcome(tmp_path / "broken" / "short.safetensors") == outcome(tmp_path / "straight" / "short.safetensors")
