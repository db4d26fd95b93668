"""`edgeseg train`: a run, its continuation, and every refusal in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_network
import tiny_runs
from tiny_datasets import folder

from edgeseg.cli.main import main
from edgeseg.models.checkpoint import load_checkpoint

RECIPE = tiny_runs.recipe_file(epochs=1, batch_size=2, workers=0)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe's path, beside the data that it trains on; the working folder is the test's own."""
    folder(tmp_path / "data/pets", "abcd")
    tiny_network.register(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EDGESEG_DATA", raising=False)
    path = tmp_path / "short.toml"
    path.write_text(RECIPE)
    return path


def test_train_refuses_to_overwrite_and_resumes(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = recipe.with_name("report.json")
    assert main(["train", str(recipe), "--epochs", "2", "--device", "cpu", "--json", str(report)]) == 0
    output = Path("runs/short")
    content = json.loads(report.read_text())
    assert content["checkpoint"] == str(output / "short.safetensors")
    assert [row["epoch"] for row in content["history"]] == [1, 2]
    assert load_checkpoint(output / "short.safetensors").lineage["recipe"]["schedule"]["epochs"] == 2
    assert "wrote runs/short/short.safetensors" in capsys.readouterr().out

    assert main(["train", str(recipe), "--epochs", "2"]) == 2
    assert "runs/short holds a run already. Add --resume" in one_line(capsys)
    # Another number of epochs is another learning rate from the first iteration on: not the same run.
    assert main(["train", str(recipe), "--resume"]) == 2
    assert "schedule.epochs was 2, now 1" in one_line(capsys)
    assert main(["train", str(recipe), "--epochs", "2", "--resume", "--workers", "1", "--device", "cpu"]) == 0
    assert "resumed after epoch 2 of 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["none.toml"], 2, "none.toml: no such recipe"),
        (["short.toml", "--epochs", "0"], 2, "epochs=0: expected at least 1"),
        (["short.toml", "--workers", "-1"], 2, "workers=-1: expected at least 0"),
        (["short.toml", "--save-every", "0"], 2, "--save-every 0: expected a number of minutes above 0"),
        (["short.toml", "--resume"], 2, "state.pt: nothing to resume"),
        (["short.toml", "--device", "abacus"], 3, "device 'abacus' cannot be used here"),
        (["short.toml", "--output", "short.toml/run"], 2, "cannot be written"),
        (["camvid.toml"], 2, "data/camvid: no such folder"),
        (["camvid.toml", "--data", "elsewhere"], 2, "elsewhere/camvid: no such folder"),
        (["batch.toml"], 2, "4 samples, fewer than batch_size=8"),
    ],
)
def test_bad_input_is_one_line(
    recipe: Path, arguments: list[str], code: int, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe.with_name("camvid.toml").write_text(RECIPE.replace('"folder"', '"camvid"').replace('"pets"', '"camvid"'))
    recipe.with_name("batch.toml").write_text(RECIPE.replace("batch_size = 2", "batch_size = 8"))
    assert main(["train", *arguments]) == code
    assert problem in one_line(capsys)


def test_a_torn_state_is_one_line(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = Path("runs/short/state.pt")
    state.parent.mkdir(parents=True)
    state.write_bytes(b"PK\x03\x04 torn")
    assert main(["train", str(recipe), "--resume", "--device", "cpu"]) == 2
    assert "state.pt: not a whole file of tensors" in one_line(capsys)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("edgeseg: error: ")
    return lines[0]
