"""The weights that are published beside the default: what the page says of them is what they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgeseg.files import sha256_file

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "weights"
ROW = re.compile(r"^\| `([\w-]+\.safetensors)` \| \[([\w-]+\.toml)\]\(\S+\) \| `([0-9a-f]{64})` \|$", re.MULTILINE)
ROWS = ROW.findall((FOLDER / "README.md").read_text(encoding="utf-8"))


def test_every_file_has_a_row() -> None:
    assert sorted(name for name, _, _ in ROWS) == sorted(path.name for path in FOLDER.glob("*.safetensors"))
    assert ROWS


@pytest.mark.parametrize(("name", "recipe", "sha256"), ROWS)
def test_a_file_is_what_its_recipe_gives(name: str, recipe: str, sha256: str) -> None:
    pytest.importorskip("torch")
    from edgeseg.labels import CAMVID
    from edgeseg.models.checkpoint import load_checkpoint
    from edgeseg.training.recipe import read_recipe

    assert sha256_file(FOLDER / name) == sha256
    model, wanted = load_checkpoint(FOLDER / name), read_recipe(ROOT / "recipes" / recipe)
    told = model.lineage["recipe"]
    assert (model.spec.name, model.size_hw, model.label_map) == (wanted.model.network, wanted.size_hw, CAMVID)
    assert (told["name"], told["seed"], told["schedule"]["epochs"]) == (
        wanted.name,
        wanted.seed,
        wanted.schedule.epochs,
    )
    # The test split serves the final figures alone.
    assert {entry["split"] for entry in told["data"]} <= {"train", "val", "trainval"}
