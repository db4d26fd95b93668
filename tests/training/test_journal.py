"""What a run writes to be read, and that its figures are what they say; runs with a teacher."""

from __future__ import annotations

import csv
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
import torch.nn.functional as F
from tiny_datasets import folder

from edgeseg.data import Sample, open_dataset
from edgeseg.errors import ConfigError
from edgeseg.files import sha256_file
from edgeseg.metrics.confusion import FrameScore
from edgeseg.models.checkpoint import IMAGENET_MEAN, IMAGENET_STD, load_checkpoint, save_checkpoint
from edgeseg.models.sealed import Preprocess
from edgeseg.training.curves import draw_curves
from edgeseg.training.distillation import DistillationConfig
from edgeseg.training.journal import COLUMNS, Journal
from edgeseg.training.recipe import (
    Recipe,
    ScheduleConfig,
    ValidationConfig,
)
from edgeseg.training.seen import STRIDE, Seen
from edgeseg.training.sheets import EpochSheet
from edgeseg.training.trainer import Trainer
from edgeseg.types import Frame

CPU = torch.device("cpu")
VOID = 255


@pytest.fixture(scope="module", autouse=True)
def _tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        tiny_network.register(patch)
        yield


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return replace(
        tiny_runs.RECIPE,
        seed=0,
        schedule=replace(tiny_runs.RECIPE.schedule, epochs=3),
        validation=ValidationConfig("folder", "pets", "all", every=2),
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tiny_runs.pets(tmp_path_factory)
    save_checkpoint(root / "large.safetensors", tiny_network.trained(5))
    return root


def samples(data: Path) -> list[Sample]:
    dataset = open_dataset("folder", data / "pets", "all")
    return [dataset[index] for index in range(len(dataset))]


class Stopped(BaseException):
    """Stands for a kill."""


def train(recipe: Recipe, data: Path, output: Path, *, resume: bool = False, kill_after: int | None = None) -> Path:
    def say(line: str) -> None:
        if line.startswith(f"epoch {kill_after}/"):
            raise Stopped

    trainer = Trainer(recipe, data, output, say=say, device="cpu")
    if resume:
        trainer.resume()
    path = trainer.run()
    assert path is not None
    return path


@pytest.fixture(scope="module")
def straight(recipe: Recipe, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("straight")
    train(recipe, data, output)
    return output


def table(output: Path) -> list[dict[str, str]]:
    with (output / "history.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_table_holds_the_history(straight: Path) -> None:
    history = json.loads((straight / "history.json").read_text())
    rows = table(straight)
    assert [tuple(row) for row in rows] == [COLUMNS] * 3
    for row, wanted in zip(rows, history, strict=True):
        assert {key: float(value) for key, value in row.items() if value} == wanted
    assert [bool(row["miou"]) for row in rows] == [False, True, True]
    assert all(row["training_miou"] and row["training_cross_entropy"] for row in rows)
    assert set().union(*history) == set(COLUMNS)


def test_a_resumed_run_goes_on_without_doubling(straight: Path, recipe: Recipe, data: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(recipe, data, tmp_path, kill_after=2)
    assert [row["epoch"] for row in table(tmp_path)] == ["1", "2"]
    train(recipe, data, tmp_path, resume=True)
    for name in ("history.csv", "history.json", "epochs/epoch_0002.png", "epochs/epoch_0003.png"):
        assert (tmp_path / name).read_bytes() == (straight / name).read_bytes()


def test_measured_epochs_have_a_sheet_in_files_and_tensorboard(straight: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    names = ["epoch_0002.png", "epoch_0003.png"]
    assert sorted(path.name for path in (straight / "epochs").iterdir()) == names
    events = EventAccumulator(str(straight / "tensorboard"))
    events.Reload()
    assert [image.step for image in events.Images("predictions")] == [2, 3]
    sheet = cv2.imread(str(straight / "epochs" / names[1]))
    shown = cv2.imdecode(
        np.frombuffer(events.Images("predictions")[1].encoded_image_string, np.uint8), cv2.IMREAD_COLOR
    )
    assert sheet is not None
    assert shown is not None
    assert np.array_equal(sheet, shown)


def test_the_sheet_shows_a_few_frames_and_always_the_same() -> None:
    dataset = open_dataset("synthetic", "seed=1&frames=9&size=64x64", "val")

    def sheet_of(predicted: int, elsewhere: int) -> Frame:
        sheet = EpochSheet(len(dataset))
        for index in range(len(dataset)):
            sample = dataset[index]
            prediction = np.full_like(sample.labels, predicted if index in (1, 3, 5, 7) else elsewhere)
            sheet.add(FrameScore(index, sample.name, 0.5), sample, prediction)
        return sheet.picture(dataset.label_map, "title")

    assert np.array_equal(sheet_of(3, 3), sheet_of(3, 8))
    assert not np.array_equal(sheet_of(3, 3), sheet_of(8, 3))
    assert sheet_of(3, 3).shape[1] == 4 * 250 + 10


def test_validation_cross_entropy_is_that_of_the_checkpoint(straight: Path, data: Path) -> None:
    model = load_checkpoint(straight / "short.safetensors")
    preprocess = Preprocess(model.size_hw, IMAGENET_MEAN, IMAGENET_STD)
    total = count = 0.0
    for sample in samples(data):
        with torch.inference_mode():
            probability = model.network(preprocess(torch.from_numpy(sample.image_bgr)[None]))["out"].softmax(1)[0]
        rows, columns = (
            np.floor((np.arange(size) + 0.5) * own / size).astype(int)
            for size, own in zip(model.size_hw, sample.labels.shape, strict=True)
        )
        truth = sample.labels[rows][:, columns]
        for y, x in np.argwhere(truth != VOID):
            total -= float(probability[truth[y, x], y, x].log())
            count += 1
    assert float(table(straight)[-1]["validation_cross_entropy"]) == pytest.approx(total / count, rel=1e-5)


def test_what_training_saw_is_every_fourth_pixel() -> None:
    rng = np.random.default_rng(0)
    seen = Seen(3, VOID, CPU)
    matrix, nll, count = np.zeros((3, 3)), 0.0, 0
    for _ in range(2):
        logits = torch.from_numpy(rng.normal(0, 2, (2, 3, 17, 23)).astype(np.float32))
        labels = torch.from_numpy(rng.choice([0, 1, VOID], (2, 17, 23)))
        seen.add(logits.to(memory_format=torch.channels_last), labels)
        for n, y, x in np.ndindex(2, 17, 23):
            k = int(labels[n, y, x])
            if k != VOID and y % STRIDE == 0 and x % STRIDE == 0:
                matrix[k, int(logits[n, :, y, x].argmax())] += 1
                nll -= float(logits[n, :, y, x].log_softmax(0)[k])
                count += 1
    hit = np.diagonal(matrix)
    iou = hit / (matrix.sum(0) + matrix.sum(1) - hit)
    row = seen.row()
    assert row == {
        "training_miou": pytest.approx(iou.mean()),
        "training_cross_entropy": pytest.approx(nll / count, rel=1e-5),
    }
    other = Seen(3, VOID, CPU)
    other.load_state(seen.state())
    assert other.row() == row
    other.reset()
    assert other.row() == {}, "nothing seen has no figures"


def test_void_alone_has_no_figures() -> None:
    seen = Seen(3, VOID, CPU)
    seen.add(torch.zeros(1, 3, 8, 8), torch.full((1, 8, 8), VOID))
    assert seen.row() == {}


ROWS: list[dict[str, float]] = [
    {"epoch": 1, "loss": 1.5, "learning_rate": 1e-3},
    {"epoch": 2, "loss": 1.0, "learning_rate": 5e-4, "training_miou": 0.4, "training_cross_entropy": 0.8}
    | {"miou": 0.3, "pixel_accuracy": 0.6, "validation_cross_entropy": 0.9},
]


@pytest.mark.parametrize("rows", [[], ROWS[:1], ROWS], ids=len)
def test_curves_of_any_length(rows: list[dict[str, float]], tmp_path: Path) -> None:
    draw_curves(rows, tmp_path / "curves.png")
    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture is not None
    assert min(picture.shape[:2]) > 600


def test_what_validation_measured_is_drawn(tmp_path: Path) -> None:
    for name, rows in (("with", ROWS), ("without", [*ROWS[:1], {**ROWS[0], "epoch": 2}])):
        draw_curves(rows, tmp_path / f"{name}.png")
    orange = []
    for name in ("with", "without"):
        picture = cv2.imread(str(tmp_path / f"{name}.png"))
        assert picture is not None
        orange.append(int(cv2.inRange(picture, (0, 110, 240), (30, 140, 255)).sum()))
    assert orange[0] > 0
    assert orange[1] == 0


def test_a_killed_writer_leaves_no_torn_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Journal(tmp_path, []) as journal:
        journal.epoch(ROWS[:1], ROWS[0])
        before = (tmp_path / "history.csv").read_bytes()

        def die(*_: object) -> None:
            raise Stopped

        monkeypatch.setattr(Path, "replace", die)
        with pytest.raises(Stopped):
            journal.epoch(ROWS, ROWS[1])
    assert (tmp_path / "history.csv").read_bytes() == before


def taught(recipe: Recipe, **settings: Any) -> Recipe:
    return replace(recipe, distillation=DistillationConfig("large.safetensors", **settings), validation=None)


@pytest.fixture
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing them takes longer than an epoch here."""
    monkeypatch.setattr("edgeseg.training.journal.draw_curves", lambda *_: None)


@pytest.mark.usefixtures("no_curves")
def test_a_taught_run_resumes_and_names_its_teacher(recipe: Recipe, data: Path, tmp_path: Path) -> None:
    lesson = taught(recipe, kind="channel")
    whole = train(lesson, data, tmp_path / "whole")
    with pytest.raises(Stopped):
        train(lesson, data, tmp_path / "killed", kill_after=1)
    resumed = train(lesson, data, tmp_path / "killed", resume=True)
    assert resumed.read_bytes() == whole.read_bytes()
    teacher = load_checkpoint(whole).lineage["teacher"]
    assert teacher == {
        "file": "large.safetensors",
        "sha256": sha256_file(data / "large.safetensors"),
        "network": "tiny",
    }
    alone = train(replace(lesson, distillation=None), data, tmp_path / "alone")
    assert "teacher" not in load_checkpoint(alone).lineage
    assert not torch.equal(classifier_of(alone), classifier_of(whole))


def classifier_of(path: Path) -> torch.Tensor:
    weights: torch.Tensor = load_checkpoint(path).network.state_dict()["classifier.weight"]
    return weights


@pytest.mark.usefixtures("no_curves")
def test_a_run_taught_for_long_agrees_with_its_teacher(recipe: Recipe, data: Path, tmp_path: Path) -> None:
    teacher = load_checkpoint(data / "large.safetensors")
    schedule = ScheduleConfig(epochs=8, batch_size=2, warmup_iterations=2, ema_decay=0.5, workers=0)

    def disagreement(path: Path) -> float:
        student, total = load_checkpoint(path), 0.0
        for sample in samples(data):
            frame = torch.from_numpy(sample.image_bgr)[None]
            with torch.inference_mode():
                given, wanted = (
                    model.network(Preprocess((64, 96), model.mean, model.std)(frame))["out"].log_softmax(1)
                    for model in (student, teacher)
                )
            total += float(F.kl_div(given, wanted, reduction="batchmean", log_target=True))
        return total

    lesson = replace(taught(recipe, factor=20.0, temperature=1.0), schedule=schedule)
    after = disagreement(train(lesson, data, tmp_path / "taught"))
    alone = disagreement(train(replace(lesson, distillation=None), data, tmp_path / "alone"))
    assert after < 0.5 * alone


@pytest.mark.usefixtures("no_curves")
def test_another_teacher_at_the_same_place_is_refused(recipe: Recipe, data: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    folder(root / "pets", "abcdef")
    save_checkpoint(root / "large.safetensors", tiny_network.trained(5))
    with pytest.raises(Stopped):
        train(taught(recipe), root, tmp_path / "run", kill_after=1)
    save_checkpoint(root / "large.safetensors", tiny_network.trained(6))
    with pytest.raises(ConfigError, match=r"large\.safetensors is another file than the run began with") as caught:
        train(taught(recipe), root, tmp_path / "run", resume=True)
    assert "\n" not in str(caught.value)
