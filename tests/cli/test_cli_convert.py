"""`edgeseg convert`: .pth in, self-describing checkpoint out, and what it had to assume is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_datasets import FOLDER, FOLDER_TOML
from tiny_network import NAME, Tiny, register

from edgeseg.cli.main import main
from edgeseg.models.checkpoint import load_checkpoint
from edgeseg.models.registry import NETWORKS


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(NETWORKS):
        monkeypatch.delitem(NETWORKS, name)
    register(monkeypatch)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": Tiny(3, auxiliary=True).state_dict()}, path)
    return path


def test_convert_says_what_it_recognised_and_assumed(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = weights.with_name("out.safetensors")
    assert main(["convert", str(weights), str(output)]) == 0
    model, own = load_checkpoint(output), torch.load(weights)["state_dict"]
    assert all(torch.equal(value, own[name]) for name, value in model.network.state_dict().items())
    assert model.size_hw == (360, 480)
    assert model.lineage == {"origin": "weights.pth"}
    assert capsys.readouterr().out.splitlines() == [
        f"network: {NAME} with an auxiliary head",
        "classes: class_0, class_1, class_2 (3, assumed from their number; name others with --labels)",
        "input:   360x480 pixels, RGB normalised as for ImageNet",
        f"wrote    {output}",
    ]


def test_labels_and_size_are_taken_over(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "labels.toml").write_text(FOLDER_TOML)
    output, labels = tmp_path / "out.safetensors", str(tmp_path / "labels.toml")
    assert main(["convert", str(weights), str(output), "--labels", labels, "--size", "64x96", "--network", NAME]) == 0
    model = load_checkpoint(output)
    assert (model.label_map, model.size_hw) == (FOLDER, (64, 96))
    assert "assumed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["OUT.bin"], "OUT.bin: a checkpoint's name ends in .safetensors"),
        (["OUT.safetensors", "--size", "360"], "'360' is not a size"),
        (["OUT.safetensors", "--size", "0x96"], "size_hw=(0, 96)"),
        (["OUT.safetensors", "--network", "unet"], "unknown network 'unet'"),
        (["OUT.safetensors", "--labels", "none.toml"], "none.toml: no label file"),
    ],
)
def test_bad_input_is_one_line(
    weights: Path, tmp_path: Path, arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [word.replace("OUT", str(tmp_path / "OUT")) for word in arguments]
    assert main(["convert", str(weights), *arguments]) == 2
    assert problem in one_line(capsys)
    assert not (tmp_path / "OUT.safetensors").exists()


def test_a_missing_and_a_foreign_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.pth").write_text("not weights")
    for name, problem in (("none.pth", "no such weights file"), ("notes.pth", "not a whole file of tensors")):
        assert main(["convert", str(tmp_path / name), str(tmp_path / "out.safetensors")]) == 2
        assert problem in one_line(capsys)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("edgeseg: error: ")
    return lines[0]
