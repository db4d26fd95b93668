"""Whole runs, of a few seconds at most: what they write, that they learn, and that they can stop and go on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tiny_network
import tiny_runs
import torch

from edgeseg.data import open_dataset
from edgeseg.errors import CheckpointError, ConfigError, OutputError, UnavailableError
from edgeseg.labels import CAMVID, LabelMap
from edgeseg.metrics.evaluate import evaluate
from edgeseg.models.checkpoint import load_checkpoint, save_checkpoint
from edgeseg.models.registry import ModelSpec, build_model
from edgeseg.models.sealed import Preprocess, SealedNetwork
from edgeseg.training.learner import Learner
from edgeseg.training.losses import LossConfig
from edgeseg.training.recipe import (
    DataConfig,
    ModelConfig,
    OptimiserConfig,
    Recipe,
    ValidationConfig,
    with_schedule,
)
from edgeseg.training.start import choose_device
from edgeseg.training.state import load_state
from edgeseg.training.trainer import Trainer
from edgeseg.types import Frame, Labels

DRIVE = "seed=3&frames=6&size=64x96"

RECIPE = replace(
    tiny_runs.RECIPE,
    data=(DataConfig("folder", "pets", "all"), DataConfig("folder", "pets", "all", per_epoch=2)),
    loss=LossConfig(class_weight_offset=1.1, jaccard=0.5),
)


@pytest.fixture(scope="module", autouse=True)
def _tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        tiny_network.register(patch)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_runs.pets(tmp_path_factory)


@pytest.fixture
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing them takes longer than an epoch here."""
    monkeypatch.setattr("edgeseg.training.journal.draw_curves", lambda *_: None)


class Stopped(BaseException):
    """Stands for a kill: nothing in the trainer catches it."""


def trainer(recipe: Recipe, data: Path, output: Path, lines: list[str] | None = None) -> Trainer:
    return Trainer(recipe, data, output, say=(lines if lines is not None else []).append, device="cpu")


def train(recipe: Recipe, data: Path, output: Path, lines: list[str] | None = None) -> Path:
    path = trainer(recipe, data, output, lines).run()
    assert path is not None
    return path


def test_a_run_of_a_real_network_learns_and_writes_everything(tmp_path: Path) -> None:
    recipe = replace(
        RECIPE,
        data=(DataConfig("synthetic", DRIVE, "train"), DataConfig("synthetic", DRIVE, "val", per_epoch=2)),
        model=ModelConfig(network="fcn4s_mobilenet_v2"),
        optimiser=OptimiserConfig(learning_rate=3e-3),
        schedule=replace(RECIPE.schedule, ema_decay=0.5),
        validation=ValidationConfig("synthetic", "seed=3&frames=2&size=64x96", "val", every=2),
        half=True,
    )
    lines: list[str] = []
    path = train(recipe, Path("unused"), tmp_path, lines)

    model = load_checkpoint(path)
    assert path == tmp_path / "short.safetensors"
    assert (model.spec, model.label_map) == (ModelSpec("fcn4s_mobilenet_v2", 11, auxiliary=False), CAMVID)
    assert model.size_hw == (64, 96)
    assert model.lineage["recipe"]["optimiser"]["learning_rate"] == 3e-3
    assert model.lineage["start_weights"] == {}
    assert model.lineage["versions"].keys() == {"edgeseg", "torch"}

    history = json.loads((tmp_path / "history.json").read_text())
    assert [row["epoch"] for row in history] == [1, 2]
    assert history[0]["loss"] > history[1]["loss"]
    assert history[0]["learning_rate"] > history[1]["learning_rate"] > 0
    assert ["miou" in row for row in history] == [False, True]
    assert all(0 <= row[key] <= 1 for row in history[1:] for key in ("miou", "pixel_accuracy"))
    assert model.lineage["history"] == history[-1:]

    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture is not None
    assert min(picture.shape[:2]) > 300
    assert board_of(tmp_path / "tensorboard", "loss") == pytest.approx([row["loss"] for row in history])
    assert len(board_of(tmp_path / "tensorboard", "miou")) == 1
    assert lines[0].startswith("short: fcn4s_mobilenet_v2, 2.6")
    assert "6 of 6 synthetic train, 2 of 6 synthetic val an epoch; cpu" in lines[0]
    assert [line.split("  ")[0] for line in lines[1:-1]] == ["epoch 1/2", "epoch 2/2"]
    assert not list(tmp_path.glob(".*"))


def board_of(path: Path, tag: str) -> list[float]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(path))
    events.Reload()
    return [event.value for event in events.Scalars(tag)]


@pytest.fixture(scope="module")
def straight(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupted."""
    output = tmp_path_factory.mktemp("straight")
    train(RECIPE, data, output)
    return output


def same_outcome(one: Path, other: Path) -> bool:
    """Weights, lineage and history, to the byte."""
    names = ("short.safetensors", "history.json")
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def same_weights(one: Path, other: Path) -> bool:
    """The lineage aside, which says how many workers loaded."""
    mine, theirs = (load_checkpoint(path / "short.safetensors").network.state_dict() for path in (one, other))
    return all(torch.equal(mine[name], theirs[name]) for name in mine)


def history_of(output: Path) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = json.loads((output / "history.json").read_text())
    return rows


@pytest.mark.usefixtures("no_curves")
def test_a_run_repeats_itself(straight: Path, data: Path, tmp_path: Path) -> None:
    torch.manual_seed(99)
    train(RECIPE, data, tmp_path)
    assert same_outcome(tmp_path, straight)


@pytest.mark.usefixtures("no_curves")
def test_worker_processes_change_nothing(straight: Path, data: Path, tmp_path: Path) -> None:
    train(with_schedule(RECIPE, workers=2), data, tmp_path)
    assert same_weights(tmp_path, straight)


@pytest.mark.usefixtures("no_curves")
def test_another_seed_is_another_run(straight: Path, data: Path, tmp_path: Path) -> None:
    train(replace(RECIPE, seed=5), data, tmp_path)
    assert history_of(tmp_path)[0]["loss"] != history_of(straight)[0]["loss"]


@pytest.mark.usefixtures("no_curves")
def test_stopped_after_an_epoch_and_resumed_is_as_if_never_stopped(straight: Path, data: Path, tmp_path: Path) -> None:
    def say(line: str) -> None:
        if line.startswith("epoch 1/"):
            raise Stopped

    with pytest.raises(Stopped):
        Trainer(RECIPE, data, tmp_path, say=say, device="cpu").run()
    assert not (tmp_path / "short.safetensors").exists()
    torch.manual_seed(99)
    lines: list[str] = []
    second = trainer(RECIPE, data, tmp_path, lines)
    second.resume()
    second.run()
    assert lines[1] == "resumed after epoch 1 of 2"
    assert same_outcome(tmp_path, straight)
    assert board_of(tmp_path / "tensorboard", "loss") == pytest.approx([row["loss"] for row in history_of(straight)])


@pytest.mark.usefixtures("no_curves")
def test_killed_in_the_middle_of_an_epoch_and_resumed_with_other_workers(
    straight: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn, steps = Learner.learn, 0

    def dying(self: Learner, frames: torch.Tensor, labels: torch.Tensor, rate_factor: float) -> float:
        nonlocal steps
        steps += 1
        if steps == 4 + 3:
            raise Stopped
        return learn(self, frames, labels, rate_factor)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "learn", dying)
        with pytest.raises(Stopped):
            train(RECIPE, data, tmp_path)
    assert len(history_of(tmp_path)) == 1
    second = trainer(with_schedule(RECIPE, workers=2), data, tmp_path)
    second.resume()
    second.run()
    assert same_weights(tmp_path, straight)
    assert history_of(tmp_path) == history_of(straight)


def test_resuming_a_finished_run_writes_its_checkpoint_again(straight: Path, data: Path) -> None:
    path = straight / "short.safetensors"
    before = path.read_bytes()
    path.unlink()
    done = trainer(RECIPE, data, straight)
    done.resume()
    assert done.run() == path
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (with_schedule(RECIPE, epochs=3), "schedule.epochs was 2, now 3"),
        (replace(RECIPE, seed=9), "seed was 4, now 9"),
        (replace(RECIPE, optimiser=OptimiserConfig(learning_rate=0.1)), "optimiser.learning_rate was 0.02, now 0.1; "),
        (replace(RECIPE, data=RECIPE.data[:1]), "data was "),
        (replace(RECIPE, validation=ValidationConfig("folder", "pets", "all")), "validation was None, now "),
    ],
)
def test_resuming_with_another_recipe_is_refused(straight: Path, changed: Recipe, told: str) -> None:
    with pytest.raises(ConfigError, match="belongs to another recipe") as caught:
        load_state(straight / "state.pt", changed)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_resuming_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"state\.pt: nothing to resume\. Start without --resume"):
        load_state(tmp_path / "state.pt", RECIPE)


def test_a_torn_or_foreign_state_is_refused(straight: Path, data: Path, tmp_path: Path) -> None:
    whole, path = (straight / "state.pt").read_bytes(), tmp_path / "state.pt"
    content = torch.load(straight / "state.pt", weights_only=True)
    partial = {key: value for key, value in content.items() if key != "optimiser"}
    reshaped = content | {"network": content["network"] | {"classifier.weight": torch.zeros(4, 8, 1, 1)}}
    cases: list[tuple[Any, str]] = [
        *((whole[:length], "not a whole file") for length in (0, 100, len(whole) // 2, len(whole) - 1)),
        ([1], "not a training state"),
        ({"state_dict": {}}, "not a training state"),
        (partial, "is not a state of this network"),
        (reshaped, "is not a state of this network"),
    ]
    resuming = trainer(RECIPE, data, tmp_path)
    for value, problem in cases:
        if isinstance(value, bytes):
            path.write_bytes(value)
        else:
            torch.save(value, path)
        with pytest.raises(CheckpointError, match=problem) as caught:
            resuming.resume()
        message = str(caught.value)
        assert str(path) in message
        assert "\n" not in message
        assert "choose another --output" in message.lower()


def test_a_state_is_no_checkpoint(straight: Path) -> None:
    with pytest.raises(CheckpointError, match=r"state\.pt: the state of a run .* Finish it with --resume"):
        load_checkpoint(straight / "state.pt")


@pytest.mark.usefixtures("no_curves")
@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_a_cache_changes_nothing(cache: str, straight: Path, data: Path, tmp_path: Path) -> None:
    entries = tuple(replace(entry, cache=cache) for entry in RECIPE.data)
    train(replace(RECIPE, data=entries), data, tmp_path)
    assert same_outcome(tmp_path, straight)
    load_state(tmp_path / "state.pt", RECIPE)


@pytest.mark.usefixtures("no_curves")
def test_a_mapping_gives_the_data_other_classes(data: Path, tmp_path: Path) -> None:
    (data / "to_road.toml").write_text('target = "road"\ndefault = "background"\n[classes]\nground = "road"\n')
    entry = DataConfig("folder", "pets", "all", mapping="to_road.toml")
    validation = ValidationConfig("folder", "pets", "all", mapping="to_road.toml")
    path = train(replace(RECIPE, data=(entry,), validation=validation), data, tmp_path)
    assert load_checkpoint(path).label_map.names == ("background", "road")
    with pytest.raises(ConfigError, match="are not the 3 of"):
        train(replace(RECIPE, data=(entry,), validation=replace(validation, mapping=None)), data, tmp_path / "other")


def test_a_loss_that_explodes_ends_the_run_in_plain_words(data: Path, tmp_path: Path) -> None:
    recipe = replace(with_schedule(RECIPE, warmup_iterations=0), optimiser=OptimiserConfig(1e30))
    with pytest.raises(ConfigError, match=r"the loss became (nan|inf) in epoch \d\. Lower learning_rate"):
        train(recipe, data, tmp_path)


def start_weights(path: Path, label_map: LabelMap) -> dict[str, torch.Tensor]:
    """A checkpoint of the tiny network with random weights at `path`; returns its tensors."""
    torch.manual_seed(1)
    spec = ModelSpec(tiny_network.NAME, len(label_map))
    model = replace(tiny_network.trained(), network=build_model(spec), spec=spec, label_map=label_map)
    save_checkpoint(path, model)
    return load_checkpoint(path).network.state_dict()


def starting_from(path: Path, **model: Any) -> Recipe:
    """An absolute path is one relative to any data folder."""
    return replace(RECIPE, model=replace(RECIPE.model, pretrained=str(path), **model))


@pytest.mark.usefixtures("no_curves")
def test_frozen_modules_stay_as_they_were(data: Path, tmp_path: Path) -> None:
    start = start_weights(tmp_path / "start.safetensors", tiny_network.LABELS)
    recipe = starting_from(tmp_path / "start.safetensors", freeze=("backbone",))
    end = load_checkpoint(train(recipe, data, tmp_path / "run")).network.state_dict()
    assert {name for name in start if torch.equal(start[name], end[name])} == {
        name for name in start if name.startswith("backbone.")
    }


@pytest.mark.usefixtures("no_curves")
def test_the_backbone_factor_slows_the_backbone_alone(data: Path, tmp_path: Path) -> None:
    start = start_weights(tmp_path / "start.safetensors", tiny_network.LABELS)
    optimiser = OptimiserConfig(0.02, backbone_factor=0.0)
    recipe = replace(starting_from(tmp_path / "start.safetensors"), optimiser=optimiser)
    end = load_checkpoint(train(recipe, data, tmp_path / "run")).network.state_dict()
    # Batch statistics move all the same.
    same = {name for name in start if torch.equal(start[name], end[name])}
    assert same == {"backbone.0.weight", "backbone.1.weight", "backbone.1.bias"}


@pytest.mark.usefixtures("no_curves")
def test_start_weights_of_another_class_count_say_what_was_dropped(data: Path, tmp_path: Path) -> None:
    start_weights(tmp_path / "camvid.safetensors", CAMVID)
    lines: list[str] = []
    path = train(starting_from(tmp_path / "camvid.safetensors"), data, tmp_path / "run", lines)
    assert lines[0] == (
        "camvid.safetensors: 6 tensors taken; "
        "dropped: classifier 11×8×1×1, upsample 11×11×4×4, aux_classifier 11×8×1×1; "
        "new, as initialised: classifier 3×8×1×1, upsample 3×3×4×4, aux_classifier 3×8×1×1"
    )
    told = load_checkpoint(path).lineage["start_weights"]
    assert (told["file"], told["taken"], len(told["sha256"])) == ("camvid.safetensors", 6, 64)


@pytest.mark.parametrize("whole", [True, False])
def test_start_weights_may_be_a_whole_network_or_a_backbone(data: Path, tmp_path: Path, whole: bool) -> None:
    start = start_weights(tmp_path / "start.safetensors", tiny_network.LABELS)
    backbone = {name.removeprefix("backbone."): value for name, value in start.items() if name.startswith("backbone.")}
    torch.save(start if whole else backbone | {"fc.weight": torch.zeros(2)}, tmp_path / "start.pth")
    lines: list[str] = []
    trainer(starting_from(tmp_path / "start.pth"), data, tmp_path / "run", lines)
    expected = f"{len(start)} tensors taken" if whole else "6 tensors taken; dropped: fc 2"
    assert lines[0] == f"start.pth: {expected}"


def test_start_weights_that_do_not_fit_are_named(data: Path, tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(2)}, tmp_path / "other.pth")
    for name, problem in (("other.pth", "none of the 1 tensors"), ("none.pth", "no such weights file")):
        with pytest.raises(CheckpointError, match=problem) as caught:
            trainer(starting_from(tmp_path / name), data, tmp_path / "run")
        assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize(
    ("freeze", "problem"),
    [(("backbone.7",), "'backbone.7', which the network does not have"), (("",), "leaves nothing to train")],
)
def test_what_cannot_be_frozen_is_refused(data: Path, tmp_path: Path, freeze: tuple[str, ...], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        trainer(replace(RECIPE, model=replace(RECIPE.model, freeze=freeze)), data, tmp_path)


def test_validation_data_of_other_classes_is_refused_before_training(data: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, validation=ValidationConfig("synthetic", DRIVE, "val"))
    with pytest.raises(ConfigError, match=r"3 classes .* are not the 11 of synthetic val"):
        trainer(recipe, data, tmp_path)


def test_a_place_that_cannot_be_written_to_is_told_before_training(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.delattr(Learner, "learn")
    with pytest.raises(OutputError, match="cannot be written"):
        train(RECIPE, data, tmp_path / "file" / "run")


@pytest.mark.usefixtures("no_curves")
def test_validation_measures_the_checkpoint_that_is_written(data: Path, tmp_path: Path) -> None:
    model = load_checkpoint(
        train(replace(RECIPE, validation=ValidationConfig("folder", "pets", "all")), data, tmp_path)
    )
    sealed = SealedNetwork(model.network, Preprocess(model.size_hw, model.mean, model.std))

    @torch.inference_mode()
    def segment(frame_bgr: Frame) -> Labels:
        return np.asarray(sealed(torch.from_numpy(frame_bgr)[None])[0])

    result = evaluate(open_dataset("folder", data / "pets", "all"), segment, model.label_map)
    assert history_of(tmp_path)[-1]["miou"] == result.miou


def test_devices() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device(None).type == ("cuda" if torch.cuda.is_available() else "cpu")
    absent = ["abacus", "cuda:77"] + ([] if torch.cuda.is_available() else ["cuda"])
    for name in absent:
        with pytest.raises(UnavailableError, match=f"device '{name}' cannot be used here") as caught:
            choose_device(name)
        assert "\n" not in str(caught.value)


@pytest.mark.gpu
def test_a_gpu_trains_in_mixed_precision_and_resumes(data: Path, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    Trainer(RECIPE, data, tmp_path, device="cuda").run()
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert "cuda_rng" in state
    assert state["scaler"]["scale"] > 1
    again = Trainer(RECIPE, data, tmp_path, device="cuda")
    again.resume()
    path = again.run()
    assert path is not None
    assert path.is_file()
