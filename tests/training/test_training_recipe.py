"""Recipes: every wrong key, type and value is an error that names the file and the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeseg.errors import ConfigError
from edgeseg.training.recipe import Recipe, read_recipe

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))

SMALLEST = {
    "name": 'name = "small"',
    "size_hw": "size_hw = [64, 96]",
    "augment": "augment.crop_hw = [32, 48]",
    "data": 'data = [{format = "synthetic", root = "seed=1", split = "train"}]',
}
"""The required keys, a line each, so that a test can leave one out or put another in its place."""


def recipe_from(tmp_path: Path, text: str) -> Recipe:
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return read_recipe(path)


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        recipe_from(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'recipe.toml'}: ")
    assert "\n" not in message
    return message.removeprefix(f"{tmp_path / 'recipe.toml'}: ")


def test_the_smallest_recipe_has_defaults_for_the_rest(tmp_path: Path) -> None:
    recipe = recipe_from(tmp_path, "\n".join(SMALLEST.values()))
    assert (recipe.name, recipe.size_hw, recipe.augment.crop_hw) == ("small", (64, 96), (32, 48))
    assert recipe.data[0].per_epoch is None
    assert recipe.validation is None
    assert recipe.schedule.epochs == 40


def test_every_value_arrives_with_its_type(tmp_path: Path) -> None:
    recipe = recipe_from(
        tmp_path,
        'seed = 3\nhalf = true\nmodel.network = "fcn_resnet18"\nmodel.freeze = ["backbone.conv1"]\n'
        'optimiser.learning_rate = 1\nname = "all"\nsize_hw = [64, 96]\n[augment]\ncrop_hw = [32, 48]\n'
        '[[data]]\nformat = "synthetic"\nroot = "seed=1"\nsplit = "train"\nper_epoch = 4\n'
        '[[data]]\nformat = "camvid"\nroot = "camvid"\nsplit = "train"\n'
        '[validation]\nformat = "camvid"\nroot = "camvid"\nsplit = "val"\nevery = 2\n',
    )
    assert (recipe.seed, recipe.half, recipe.model.network) == (3, True, "fcn_resnet18")
    assert recipe.model.freeze == ("backbone.conv1",)
    assert recipe.optimiser.learning_rate == 1.0
    assert isinstance(recipe.optimiser.learning_rate, float)
    assert [(entry.format, entry.per_epoch) for entry in recipe.data] == [("synthetic", 4), ("camvid", None)]
    assert recipe.validation is not None
    assert recipe.validation.every == 2


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("sede = 1", "unknown key sede; known here: name, data, augment, size_hw, seed, "),
        ("schedule.epoch = 1", "unknown key schedule.epoch; known here: epochs, "),
        ("augment = 3", "augment = 3: expected a table."),
        ("data = {}", "data = {}: expected a list."),
        ("data = [1]", "data[0] = 1: expected a table."),
        ("data = []", "data=[]: a recipe needs at least one [[data]] table."),
        ('data = [{format = "camvid", root = "x"}]', "missing key data[0].split."),
        ('data = [{format = "camvid", root = "x", split = 1}]', "data[0].split = 1: expected str."),
        (
            'data = [{format = "f", root = "x", split = "s", per_epoch = 0}]',
            "data[0].per_epoch=0: expected at least 1.",
        ),
        ('seed = "one"', "seed = 'one': expected int."),
        ("seed = true", "seed = True: expected int."),
        ("seed = 1.5", "seed = 1.5: expected int."),
        ("seed = -1", "seed=-1: expected at least 0."),
        ("half = 1", "half = 1: expected bool."),
        ('size_hw = "64x96"', "size_hw = '64x96': expected a list."),
        ("size_hw = [64]", "size_hw = [64]: expected 2 values."),
        ("size_hw = [64, 9.5]", "size_hw[1] = 9.5: expected int."),
        ("size_hw = [31, 96]", "size_hw=(31, 96): expected at least 32 pixels each way."),
        ('name = "../up"', "name='../up': it names files"),
        ('name = ""', "name='': it names files"),
        ("augment.crop_hw = [16, 64]", "augment.crop_hw=(16, 64): a crop below 32 pixels"),
        ("augment.scale = [2.0, 1.0]", "augment.scale=(2.0, 1.0): expected two positive factors"),
        ("augment.flip = 2", "augment.flip=2.0: a probability"),
        ("augment.contrast = -0.1", "augment.brightness, contrast and saturation are relative ranges"),
        ('model.network = "unet"', "model.network='unet': unknown; known: fcn_resnet18, "),
        ("model.freeze = [1]", "model.freeze[0] = 1: expected str."),
        ("optimiser.learning_rate = 0", "optimiser.learning_rate=0.0: expected a number above 0."),
        ("optimiser.learning_rate = true", "optimiser.learning_rate = True: expected float."),
        ("optimiser.learning_rate = nan", "optimiser.learning_rate = nan: expected a finite number."),
        ("optimiser.clip_norm = inf", "optimiser.clip_norm = inf: expected a finite number."),
        ("optimiser.clip_norm = 0", "optimiser.clip_norm=0.0: expected a number above 0."),
        ("optimiser.weight_decay = -1", "optimiser.weight_decay=-1.0: expected at least 0."),
        ("optimiser.backbone_factor = -1", "optimiser.backbone_factor=-1.0: expected at least 0."),
        ("schedule.accumulate = 0", "schedule.accumulate=0: expected at least 1."),
        ("schedule.accumulate = 3", "schedule.accumulate=3: must divide batch_size=8."),
        ('schedule.precision = "half"', "schedule.precision='half': expected one of auto, float32, "),
        ("schedule.epochs = 0", "schedule.epochs=0: expected at least 1."),
        ("schedule.batch_size = 0", "schedule.batch_size=0: expected at least 1."),
        ("schedule.workers = -1", "schedule.workers=-1: expected at least 0."),
        ("schedule.warmup_iterations = -1", "schedule.warmup_iterations=-1: expected at least 0."),
        ("schedule.power = -0.9", "schedule.power=-0.9: expected at least 0."),
        ("schedule.ema_decay = 1", "schedule.ema_decay=1.0: expected 0 (off)"),
        ("loss.class_weight_offset = 0.5", "loss.class_weight_offset=0.5: expected 0, or a number above 1."),
        ("loss.ohem_fraction = 0", "loss.ohem_fraction=0.0: expected a share above 0"),
        ("loss.jaccard = -1", "loss.jaccard=-1.0: expected at least 0."),
        ("loss.auxiliary = -1", "loss.auxiliary=-1.0: expected at least 0."),
        (
            'model.network = "deeplabv3_mobilenet_v2"\nschedule.batch_size = 1',
            "schedule.batch_size=1, accumulate=1: DeepLabv3 normalises",
        ),
        (
            'data = [{format = "f", root = "x", split = "s", cache = "ram"}]',
            "data[0].cache='ram': expected one of none, memory, disk.",
        ),
        (
            'validation = {format = "camvid", root = "x", split = "val", every = 5, patience = 4}',
            "validation.patience=4: expected at least every=5",
        ),
        (
            'validation = {format = "camvid", root = "x", split = "val", every = 0}',
            "validation.every=0: expected at least 1.",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, extra: str, message: str) -> None:
    replaced = extra.split(" = ")[0]
    kept = [line for key, line in SMALLEST.items() if replaced not in (key, line.split(" = ")[0])]
    assert refusal(tmp_path, "\n".join([extra, *kept])).startswith(message)


@pytest.mark.parametrize("missing", SMALLEST)
def test_a_missing_key_is_named(tmp_path: Path, missing: str) -> None:
    kept = [line for key, line in SMALLEST.items() if key != missing]
    assert refusal(tmp_path, "\n".join(kept)) == f"missing key {missing}."


def test_what_is_no_toml_is_named(tmp_path: Path) -> None:
    assert "cannot be read as TOML" in refusal(tmp_path, "name = ")
    (tmp_path / "latin.toml").write_bytes(b'name = "caf\xe9"')
    for path in (tmp_path / "latin.toml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read as TOML"):
            read_recipe(path)
    with pytest.raises(ConfigError, match=r"none\.toml: no such recipe"):
        read_recipe(tmp_path / "none.toml")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipes_that_come_with_the_project(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.to_dict()["name"] == recipe.name
    # The test split serves the final figure alone: nothing is trained on it or chosen by it.
    lists: list[Any] = [*recipe.data, *([recipe.validation] if recipe.validation else [])]
    for entry in lists:
        assert entry.split in {"train", "val", "trainval"}


def test_there_is_a_default_recipe() -> None:
    recipe = read_recipe(ROOT / "recipes" / "default_4_average.toml")
    assert (recipe.name, recipe.half, recipe.model.network) == ("edgeseg-default", True, "fcn4s_mobilenet_v2")
    assert {entry.format for entry in recipe.data} == {"camvid", "synthetic"}
