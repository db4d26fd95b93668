"""Weights of other programs: recognised by their tensors, read without running their code."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_network import LABELS, NAME, Tiny, refusal, register
from torch import nn

from edgeseg.errors import CheckpointError, ConfigError
from edgeseg.labels import CAMVID, KITTI_ROAD, VOC
from edgeseg.models.checkpoint import load_checkpoint, load_foreign
from edgeseg.models.foreign import candidates, label_map_for, read_pth, recognise
from edgeseg.models.registry import ANY_UPSAMPLING, NETWORKS, ModelSpec, build_model
from edgeseg.models.upsampling import UPSAMPLINGS

StateDict = dict[str, torch.Tensor]


def hollow(spec: ModelSpec) -> StateDict:
    """Names and shapes of a network, each tensor a single stored number."""
    with torch.device("meta"):
        own = build_model(spec).state_dict()
    return {name: torch.tensor(0.5).to(value.dtype).expand(value.shape) for name, value in own.items()}


@pytest.fixture
def only_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real networks take a tenth of a second each to compare with."""
    for name in list(NETWORKS):
        monkeypatch.delitem(NETWORKS, name)
    register(monkeypatch)


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def test_torchvisions_fcn_resnet50_of_21_classes(tmp_path: Path) -> None:
    state = {f"module.{name}": value for name, value in hollow(ModelSpec("fcn_resnet50", 21)).items()}
    path = saved(tmp_path / "fcn.pth", {"epoch": 30, "state_dict": state, "optimizer": {"lr": 0.1}})
    model = load_checkpoint(path)
    assert model.spec == ModelSpec("fcn_resnet50", 21, auxiliary=True)
    assert model.label_map == VOC
    assert model.lineage == {"origin": "fcn.pth"}
    assert not model.network.training
    assert set(model.network.state_dict()["classifier.4.bias"].tolist()) == {0.5}


@pytest.mark.parametrize(
    ("name", "classes"), [("fcn_resnet18", 11), ("fcn4s_mobilenet_v2", 2), ("fcn8s_mobilenet_v2", 3)]
)
def test_our_own_networks_are_recognised(name: str, classes: int, tmp_path: Path) -> None:
    spec = recognise(hollow(ModelSpec(name, classes, auxiliary=False)), tmp_path)
    assert spec == ModelSpec(name, classes, auxiliary=False)


@pytest.mark.parametrize("auxiliary", [True, False])
def test_an_auxiliary_head_is_recognised(auxiliary: bool, tmp_path: Path) -> None:
    state = hollow(ModelSpec("deeplabv3_resnet50", 19, auxiliary))
    assert recognise(state, tmp_path, "deeplabv3_resnet50") == ModelSpec("deeplabv3_resnet50", 19, auxiliary)


@pytest.mark.parametrize("name", ["fcn_resnet18", "deeplabv3_mobilenet_v3_large"])
@pytest.mark.parametrize("upsample", UPSAMPLINGS)
def test_the_upsampling_is_recognised(name: str, upsample: str, tmp_path: Path) -> None:
    own = upsample == ANY_UPSAMPLING[name]
    spec = recognise(hollow(ModelSpec(name, 4, False, upsample)), tmp_path, name)
    assert spec == ModelSpec(name, 4, False, None if own else upsample)


def test_a_network_is_compared_with_those_on_its_trunk_alone() -> None:
    for name in NETWORKS:
        with torch.device("meta"):
            found = candidates(build_model(ModelSpec(name, 2)).state_dict().keys())
        assert name in found
        trunk = next((trunk for trunk in ("resnet101", "mobilenet_v3_small") if name.endswith(trunk)), None)
        if trunk:
            assert {name for name in found if "resnet" in name or "mobilenet" in name} == {
                f"fcn_{trunk}",
                f"deeplabv3_{trunk}",
            }


def test_classes_are_told_by_their_number() -> None:
    assert [label_map_for(count) for count in (11, 21, 2)] == [CAMVID, VOC, KITTI_ROAD]
    assert label_map_for(3).names == ("class_0", "class_1", "class_2")
    assert len(set(label_map_for(254).palette)) == 254


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"model": s}, lambda s: {"model_state_dict": s, "lr": 0.1}])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_wrappers_and_prefixes_fall_away(tmp_path: Path, wrap: Any, prefix: str) -> None:
    own = Tiny(3, auxiliary=True).state_dict()
    path = saved(tmp_path / "w.pth", wrap({prefix + name: value for name, value in own.items()}))
    read = read_pth(path)
    assert read.keys() == own.keys()
    assert all(torch.equal(read[name], own[name]) for name in own)


@pytest.mark.usefixtures("only_tiny")
def test_what_is_not_a_tensor_is_passed_over(tmp_path: Path) -> None:
    content = Tiny(3, auxiliary=True).half().state_dict() | {"epoch": 3, 7: torch.zeros(2), "name": "run"}
    model = load_checkpoint(saved(tmp_path / "w.PT", content))
    assert model.spec == ModelSpec(NAME, 3, auxiliary=True)
    assert {value.dtype for value in model.network.parameters()} == {torch.float32}


class Evil:
    """What a booby-trapped file holds: loading it would run a command."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("echo loaded > trapped",)


def test_code_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = refusal(saved(tmp_path / "evil.pth", {"state_dict": Tiny(3, auxiliary=True).state_dict(), "x": Evil()}))
    assert "system, and loading that would run code" in message
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Evil()))
    refusal(tmp_path / "plain.pth")
    assert not (tmp_path / "trapped").exists()
    # torch's own message tells to load it unsafely.
    message = refusal(saved(tmp_path / "module.pth", nn.Linear(2, 2)))
    assert "torch.nn.modules.linear.Linear" in message
    assert "weights_only" not in message


@pytest.mark.parametrize("content", [{}, {"state_dict": {}}, [torch.zeros(2)], torch.zeros(2), {"epoch": 3}, 5])
def test_files_without_named_tensors_are_refused(tmp_path: Path, content: Any) -> None:
    assert "holds no named tensors" in refusal(saved(tmp_path / "x.pth", content))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.usefixtures("only_tiny")
def test_torn_and_mangled_files_are_one_line(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "x.pth"
    torch.save(Tiny(3, auxiliary=True).state_dict(), path, _use_new_zipfile_serialization=zipped)
    whole, rng = path.read_bytes(), random.Random(0)
    for length in (0, 1, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert "not a whole file of tensors" in refusal(path)
    messages = []
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(3):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            load_checkpoint(path)
        except CheckpointError as error:
            messages.append(str(error))
    assert len(messages) > 30
    assert all(len(message.splitlines()) == 1 for message in messages)


@pytest.mark.usefixtures("only_tiny")
def test_tensors_of_no_network_here_are_refused(tmp_path: Path) -> None:
    whole = Tiny(3, auxiliary=True).state_dict()
    for change in (
        {"classifier.weight": torch.zeros(3, 9, 1, 1)},
        {"classifier.bias": torch.zeros(4)},
        {"classifier.bias": torch.tensor(0.0)},
        {"backbone.0.weight": torch.zeros(16, 3, 3, 3)},
        {"extra": torch.zeros(1)},
    ):
        message = refusal(saved(tmp_path / "x.pth", whole | change))
        assert f"not those of any network here (known: {NAME})" in message
    assert "2 tensors are not those" in refusal(saved(tmp_path / "y.pth", dict(list(whole.items())[:2])))
    for classes in (1, 256):
        refusal(saved(tmp_path / "z.pth", Tiny(classes, auxiliary=True).state_dict()))


@pytest.mark.usefixtures("only_tiny")
def test_two_networks_that_fit_are_not_guessed_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, "twin")
    path = saved(tmp_path / "x.pth", Tiny(3, auxiliary=False).state_dict())
    assert f"fit {NAME}, twin alike. Say which with --network" in refusal(path)
    assert load_foreign(path, network="twin").spec == ModelSpec("twin", 3, auxiliary=False)


@pytest.mark.usefixtures("only_tiny")
def test_what_weights_do_not_say_can_be_given(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", Tiny(3, auxiliary=False).state_dict())
    model = load_foreign(path, label_map=LABELS, size_hw=(64, 96))
    assert (model.label_map, model.size_hw) == (LABELS, (64, 96))
    with pytest.raises(CheckpointError, match="of 3 classes cannot take the 11 names"):
        load_foreign(path, label_map=CAMVID)
    with pytest.raises(ConfigError, match=r"size_hw=\(0, 5\)"):
        load_foreign(path, size_hw=(0, 5))
    with pytest.raises(ConfigError, match="unknown network 'unet'"):
        load_foreign(path, network="unet")


def test_a_missing_file() -> None:
    with pytest.raises(CheckpointError, match=r"nowhere\.pth: no such weights file"):
        read_pth("nowhere.pth")
