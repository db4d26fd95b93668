"""Checkpoints: what is written is read back, and nothing torn, foreign or contradictory gets through."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_network import LABELS, refusal, register, trained
from torch import nn

from edgeseg.errors import CheckpointError, OutputError
from edgeseg.labels import CAMVID
from edgeseg.models.checkpoint import (
    TrainedModel,
    default_checkpoint,
    load_checkpoint,
    record_accuracy,
    save_checkpoint,
)
from edgeseg.models.registry import ModelSpec, build_model

Description = dict[str, Any]
Tensors = dict[str, torch.Tensor]


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, trained())
    return path


def contents(path: Path) -> tuple[Description, Tensors]:
    """Read with safetensors alone."""
    with safe_open(path, framework="pt") as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a dict)
        return json.loads(stored.metadata()["edgeseg"]), tensors


def rewritten(path: Path, change: Callable[[Description, Tensors], None]) -> Path:
    description, tensors = contents(path)
    change(description, tensors)
    save_file(tensors, path, metadata={"edgeseg": json.dumps(description)})
    return path


def same_tensors(one: nn.Module, other: nn.Module) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_everything_comes_back(checkpoint: Path) -> None:
    written, read = trained(), load_checkpoint(checkpoint)
    assert same_tensors(read.network, written.network)
    assert not read.network.training
    assert (read.spec, read.label_map, read.lineage) == (written.spec, written.label_map, written.lineage)
    assert (read.size_hw, read.mean, read.std) == (written.size_hw, written.mean, written.std)
    assert read.sha256 == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert read.source == str(checkpoint)


def test_half_rounds_matrices_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    written = trained()
    save_checkpoint(path, written, half=True)
    description, stored = contents(path)
    read = load_checkpoint(path)
    assert description["spec"]["auxiliary"] is False
    assert not read.spec.auxiliary
    expected = {
        name: value for name, value in written.network.state_dict().items() if not name.startswith("aux_classifier.")
    }
    assert stored.keys() == read.network.state_dict().keys() == expected.keys()
    for name, value in read.network.state_dict().items():
        matrix = expected[name].ndim > 1
        assert stored[name].dtype == (torch.float16 if matrix else expected[name].dtype)
        assert torch.equal(value, expected[name].half().float() if matrix else expected[name])
    assert not torch.equal(read.network.state_dict()["classifier.weight"], expected["classifier.weight"])


def test_channels_last_and_gradients_do_not_matter(tmp_path: Path) -> None:
    model = trained()
    model.network.to(memory_format=torch.channels_last)
    save_checkpoint(tmp_path / "a.safetensors", model)
    save_checkpoint(tmp_path / "b.safetensors", trained())
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_recorded_accuracy_changes_no_weight(checkpoint: Path) -> None:
    before, weights = contents(checkpoint)
    record_accuracy(checkpoint, {"dataset": "camvid test", "miou": 0.5})
    record_accuracy(checkpoint, {"dataset": "camvid test", "miou": 0.6})
    after, same = contents(checkpoint)
    assert after.pop("lineage") == {**before.pop("lineage"), "accuracy": {"dataset": "camvid test", "miou": 0.6}}
    assert after == before
    assert all(torch.equal(weights[name], same[name]) for name in weights.keys() | same.keys())


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file/model"):
        save_checkpoint(tmp_path / "file" / "model.safetensors", trained())


def test_every_truncation_is_refused(checkpoint: Path) -> None:
    data = checkpoint.read_bytes()
    header = 8 + struct.unpack("<Q", data[:8])[0]
    for length in (0, 1, 7, 8, 9, header // 2, header - 1, header, header + 1, len(data) // 2, len(data) - 1):
        checkpoint.write_bytes(data[:length])
        assert "not a whole safetensors file" in refusal(checkpoint)
    checkpoint.write_bytes(data + b"\0")
    refusal(checkpoint)


def test_flipped_header_bytes_never_escape_as_another_error(checkpoint: Path) -> None:
    whole = checkpoint.read_bytes()
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    shapes = {name: value.shape for name, value in trained().network.state_dict().items()}
    rng, messages = random.Random(0), []
    for position in [*range(16), *(rng.randrange(header) for _ in range(400))]:
        data = bytearray(whole)
        data[position] ^= 1 << rng.randrange(8)
        checkpoint.write_bytes(data)
        try:
            read = load_checkpoint(checkpoint)
        except CheckpointError as error:
            messages.append(str(error))
            continue
        # Flips inside a class name, a colour or the lineage cannot be noticed here; bundles are sealed by hashes.
        assert {name: value.shape for name, value in read.network.state_dict().items()} == shapes
        assert len(read.label_map) == len(LABELS)
    assert len(messages) > 200
    assert all(len(message.splitlines()) == 1 for message in messages)


def test_a_foreign_safetensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    assert "without edgeseg's description" in refusal(path)
    save_file({"weight": torch.zeros(2)}, path, metadata={"edgeseg": "{"})
    assert "not JSON" in refusal(path)
    for text in ("[]", "7", "null", '"schema"'):
        save_file({"weight": torch.zeros(2)}, path, metadata={"edgeseg": text})
        assert "cannot be used" in refusal(path)


DESCRIPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "schema": ({"schema": 99}, "schema 99, this edgeseg reads 1"),
    "network": ({"spec": {"name": "unet", "num_classes": 3}}, "unknown network 'unet'"),
    "unhashable": ({"spec": {"name": [], "num_classes": 3}}, "cannot be used"),
    "extra": ({"spec": {"name": "tiny", "num_classes": 3, "depth": 2}}, "depth"),
    "count": ({"spec": {"name": "tiny", "num_classes": 300}}, "num_classes=300"),
    "fraction": ({"spec": {"name": "tiny", "num_classes": 3.0}}, "num_classes=3.0"),
    "labels": ({"label_map": {"names": ["a"]}}, "not a label map"),
    "camvid": ({"label_map": CAMVID.to_dict()}, "names 11 classes for a network of 3"),
    "size": ({"size_hw": [0, 48]}, "size_hw=(0, 48)"),
    "triple": ({"size_hw": [3, 32, 48]}, "too many values"),
    "huge": ({"size_hw": [float("inf"), 48]}, "infinity"),
    "mean": ({"mean": [0.5, float("nan"), 0.5]}, "not three finite numbers"),
    "std": ({"std": [0.5, 0.0, 0.5]}, "std above 0"),
    "lineage": ({"lineage": 3}, "cannot be used"),
}


@pytest.mark.parametrize("case", DESCRIPTIONS)
def test_a_description_that_makes_no_sense_is_refused(checkpoint: Path, case: str) -> None:
    change, problem = DESCRIPTIONS[case]
    rewritten(checkpoint, lambda description, _: description.update(change))
    assert problem in refusal(checkpoint)


@pytest.mark.parametrize("key", ["schema", "spec", "label_map", "size_hw", "mean", "std"])
def test_a_missing_entry_is_named(checkpoint: Path, key: str) -> None:
    rewritten(checkpoint, lambda description, _: description.pop(key))
    assert f"no '{key}'" in refusal(checkpoint)


def test_a_network_of_another_class_count_is_refused(checkpoint: Path) -> None:
    def four_classes(description: Description, _: Tensors) -> None:
        description["spec"]["num_classes"] = 4
        description["label_map"] = {"names": list("abcd"), "palette": [[i, i, i] for i in range(4)], "void": 255}

    message = refusal(rewritten(checkpoint, four_classes))
    assert "does not fit Tiny" in message
    assert "in the file alone: aux_classifier 3×8×1×1, classifier 3×8×1×1, upsample 3×3×4×4; in the network" in message


def test_missing_and_superfluous_tensors_are_named(checkpoint: Path) -> None:
    def rename(_: Description, tensors: Tensors) -> None:
        tensors["head.weight"] = tensors.pop("classifier.weight")

    message = refusal(rewritten(checkpoint, rename))
    assert "in the file alone: head 3×8×1×1; in the network alone: classifier 3×8×1×1." in message


def test_other_tensors_altogether_are_refused(checkpoint: Path) -> None:
    def replace(_: Description, tensors: Tensors) -> None:
        tensors.clear()
        tensors["weight"] = torch.zeros(2)

    assert "none of the 1 tensors" in refusal(rewritten(checkpoint, replace))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(checkpoint: Path, value: float) -> None:
    rewritten(checkpoint, lambda _, tensors: tensors["classifier.bias"].__setitem__(1, value))
    assert "classifier.bias holds NaN or infinity" in refusal(checkpoint)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    assert "no such checkpoint" in refusal(tmp_path / "none.safetensors")
    assert "no such checkpoint" in refusal(tmp_path)


def test_the_default_model_is_shipped() -> None:
    path = default_checkpoint()
    model = load_checkpoint()
    assert path.stat().st_size <= 8_000_000
    assert model.label_map == CAMVID
    assert model.spec.name == "fcn4s_mobilenet_v2"
    assert not model.spec.auxiliary
    assert model.source == str(path)
    # By its own account it has seen no frame of the test split.
    recipe = model.lineage["recipe"]
    assert {entry["split"] for entry in [*recipe["data"], recipe["validation"]]} <= {"trainval", "train", "val"}
    assert (path.parent / "MODEL_CARD.md").is_file()


def test_a_broken_default_model_is_one_line_too(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(checkpoint, tmp_path / "default.safetensors")
    monkeypatch.setattr("edgeseg.models.checkpoint.default_checkpoint", lambda: tmp_path / "default.safetensors")
    assert load_checkpoint().spec.name == "tiny"
    (tmp_path / "default.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"default\.safetensors: no such checkpoint"):
        load_checkpoint()


def test_the_upsampling_is_part_of_the_network(tmp_path: Path) -> None:
    spec = ModelSpec("fcn_mobilenet_v3_small", 3, auxiliary=False, upsample="subpixel")
    model = TrainedModel(build_model(spec).eval(), spec, LABELS, (32, 48))
    save_checkpoint(tmp_path / "net.safetensors", model)
    assert load_checkpoint(tmp_path / "net.safetensors").spec == spec

    def before_there_was_a_choice(description: Description, _: Tensors) -> None:
        del description["spec"]["upsample"]

    # Files of older versions have no such key; this one's tensors then do not fit the network's own way.
    assert "in the file alone: upsample.conv 768×3×3×3" in refusal(
        rewritten(tmp_path / "net.safetensors", before_there_was_a_choice)
    )
