"""Distillation against its formulas, and what the teacher is shown."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_network
import torch
from test_losses_together import in_processes

from edgeseg.errors import CheckpointError, ConfigError
from edgeseg.models.checkpoint import TrainedModel, save_checkpoint
from edgeseg.models.sealed import Preprocess
from edgeseg.training.distillation import (
    KINDS,
    Distillation,
    DistillationConfig,
    channel_divergence,
    load_distillation,
    pixel_divergence,
)
from edgeseg.training.recipe import read_recipe

CPU = torch.device("cpu")
SAME_AS_TINY = Preprocess((32, 48), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_network.register(monkeypatch)


def logits(seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 2, (2, 3, 4, 5)))


def softmax(values: list[float]) -> list[float]:
    total = sum(math.exp(value) for value in values)
    return [math.exp(value) / total for value in values]


def divergence(wanted: list[float], given: list[float]) -> float:
    return sum(p * math.log(p / q) for p, q in zip(wanted, given, strict=True))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_pixel_divergence_is_hintons(temperature: float) -> None:
    student, teacher = logits(1), logits(2)
    values = []
    for n, y, x in np.ndindex(2, 4, 5):
        p, q = (softmax([float(value) / temperature for value in of[n, :, y, x]]) for of in (teacher, student))
        values.append(temperature**2 * divergence(p, q))
    assert float(pixel_divergence(student, teacher, temperature)) == pytest.approx(np.mean(values))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_channel_divergence_is_shus(temperature: float) -> None:
    student, teacher = logits(1), logits(2)
    values = []
    for n in range(2):
        total = 0.0
        for c in range(3):
            p, q = (softmax([float(value) / temperature for value in of[n, c].flatten()]) for of in (teacher, student))
            total += divergence(p, q)
        values.append(temperature**2 / 3 * total)
    assert float(channel_divergence(student, teacher, temperature)) == pytest.approx(np.mean(values))


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_the_students_alone(kind: str) -> None:
    student, teacher = logits(1).requires_grad_(), logits(2)
    assert torch.autograd.gradcheck(lambda value: KINDS[kind](value, teacher, 2.0), student)
    assert float(KINDS[kind](teacher, teacher, 2.0)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_split_over_processes_has_the_loss_of_the_whole(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    student, teacher = torch.cat([logits(1), logits(2)]), torch.cat([logits(3), logits(4)])
    expected = float(KINDS[kind](student, teacher, 3.0))
    shares = [slice(0, 1), slice(1, 4)]
    losses = in_processes(lambda rank: KINDS[kind](student[shares[rank]], teacher[shares[rank]], 3.0), 2, monkeypatch)
    assert [float(loss) for loss in losses] == pytest.approx([expected] * 2)


def distillation(teacher: TrainedModel, preprocess: Preprocess, **settings: float) -> Distillation:
    config = DistillationConfig("teacher.safetensors", **settings)  # type: ignore[arg-type]
    return Distillation(config, teacher, tiny_network.LABELS, preprocess, CPU)


def test_the_teacher_sees_the_frame_through_its_own_normalisation() -> None:
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 40, 56, 3), dtype=np.uint8))
    teacher = tiny_network.trained()
    students = Preprocess((40, 56), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    own = Preprocess((40, 56), teacher.mean, teacher.std)
    with torch.no_grad():
        expected = teacher.network(own(frames))["out"]
    for preprocess in (students, own):
        given = distillation(teacher, preprocess).answer(preprocess(frames))
        torch.testing.assert_close(given, expected, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        assert not torch.allclose(teacher.network(students(frames))["out"], expected, atol=1e-2)


def normalised_as(teacher: TrainedModel) -> Preprocess:
    """The student's images are normalised as the teacher's."""
    return Preprocess((32, 48), teacher.mean, teacher.std)


def test_a_teacher_for_larger_images_sees_the_crops_enlarged() -> None:
    teacher = tiny_network.trained()
    images = torch.randn(2, 3, 32, 48)
    seen: list[tuple[int, ...]] = []
    teacher.network.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)))
    enlarged = torch.nn.functional.interpolate(images, size=(48, 72), mode="bilinear")
    with torch.no_grad():
        finer = teacher.network(enlarged)["out"]
    given = distillation(teacher, normalised_as(teacher), scale=1.5).answer(images)
    assert seen == [(2, 3, 48, 72)] * 2
    expected = torch.nn.functional.interpolate(finer, size=(32, 48), mode="bilinear")
    torch.testing.assert_close(given, expected)


def test_the_teacher_is_never_trained() -> None:
    teacher = tiny_network.trained()
    teacher.network.train().requires_grad_(True)
    before = {name: value.clone() for name, value in teacher.network.state_dict().items()}
    learning = distillation(teacher, SAME_AS_TINY, factor=0.5)
    images = torch.randn(2, 3, 32, 48)
    student = torch.randn(2, 3, 32, 48, requires_grad=True)
    # A copy answers, whose tensors have to stay as well as the original's.
    answering = learning._network
    own = {name: value.clone() for name, value in answering.state_dict().items()}
    answer = learning.answer(images)
    assert torch.equal(answer, learning.answer(images)), "no dropout"
    loss = learning.loss(student, answer)
    torch.autograd.backward(loss)
    assert float(loss.detach()) == pytest.approx(0.5 * float(pixel_divergence(student, answer, 4.0).detach()))
    assert student.grad is not None
    parameters = list(answering.parameters())
    assert parameters
    assert not any(parameter.requires_grad for parameter in parameters)
    assert all(torch.equal(value, own[name]) for name, value in answering.state_dict().items())
    assert all(torch.equal(value, before[name]) for name, value in teacher.network.state_dict().items())


def test_the_teacher_answers_as_with_its_normalisations() -> None:
    # Folded into the convolutions before them; statistics far from 0 and 1, so that a lost one would be seen.
    teacher = tiny_network.trained()
    norm = teacher.network.get_submodule("backbone.1")
    assert isinstance(norm, torch.nn.BatchNorm2d)
    with torch.no_grad():
        for values, low, high in ((norm.running_mean, -3, 3), (norm.running_var, 0.1, 9), (norm.weight, 0.5, 2)):
            assert values is not None
            values.uniform_(low, high)
        norm.bias.uniform_(-1, 1)
        images = torch.randn(2, 3, 32, 48)
        expected = teacher.network(images)["out"]
    calls: list[object] = []
    norm.register_forward_hook(lambda *_: calls.append(1))
    given = distillation(teacher, normalised_as(teacher)).answer(images)
    torch.testing.assert_close(given, expected, atol=1e-5, rtol=1e-5)
    assert not calls


def test_a_teacher_of_other_classes_is_refused() -> None:
    labels = replace(tiny_network.LABELS, names=("ground", "dog", "cat"))
    with pytest.raises(ConfigError, match=r"3 classes ground, dog, cat; .* have the 3 ground, cat, dog\.") as caught:
        distillation(replace(tiny_network.trained(), label_map=labels), SAME_AS_TINY)
    assert "\n" not in str(caught.value)


def test_the_teacher_is_read_from_the_data_folder(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "weights/large.safetensors", tiny_network.trained(7))
    config = DistillationConfig("weights/large.safetensors")
    learning = load_distillation(config, tmp_path, tiny_network.LABELS, SAME_AS_TINY, CPU)
    assert learning.lineage.keys() == {"file", "sha256", "network"}
    assert (learning.lineage["file"], learning.lineage["network"]) == ("large.safetensors", "tiny")
    assert len(learning.lineage["sha256"]) == 64
    with pytest.raises(CheckpointError, match=r"none\.safetensors: no such checkpoint"):
        load_distillation(replace(config, teacher="none.safetensors"), tmp_path, tiny_network.LABELS, SAME_AS_TINY, CPU)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"factor": 0.0}, "factor=0.0: expected a number above 0."),
        ({"temperature": 0.0}, "temperature=0.0: expected a number above 0."),
        ({"scale": 0.0}, "scale=0.0: expected a number above 0."),
        ({"kind": "layer"}, "kind='layer': expected one of pixel, channel."),
    ],
)
def test_settings_without_sense_are_refused(settings: dict[str, float | str], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DistillationConfig("x.safetensors", **settings)  # type: ignore[arg-type]
    assert str(caught.value) == problem


def test_a_recipe_names_the_teacher(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    text = (
        'name = "taught"\nsize_hw = [64, 96]\naugment.crop_hw = [32, 48]\n'
        'data = [{format = "synthetic", root = "seed=1", split = "train"}]\n'
        'loss = {lovasz = 0.5, boundary = 1}\n[distillation]\nteacher = "weights/large.safetensors"\n'
    )
    path.write_text(text + 'kind = "channel"\n')
    recipe = read_recipe(path)
    assert recipe.distillation == DistillationConfig("weights/large.safetensors", kind="channel")
    assert (recipe.loss.lovasz, recipe.loss.boundary) == (0.5, 1.0)
    path.write_text(text + "temperature = 0\n")
    with pytest.raises(ConfigError, match=r"distillation\.temperature=0\.0: expected a number above 0"):
        read_recipe(path)
