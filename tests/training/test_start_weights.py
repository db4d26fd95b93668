"""Where training starts from: backbones by name, and checkpoints of another number of classes."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_network
import torch
import torchvision
from torch import nn

from edgeseg.errors import CheckpointError, ConfigError
from edgeseg.models.checkpoint import default_checkpoint, save_checkpoint
from edgeseg.models.pretrained import _BACKBONE, _WITH_BATCH_NORM
from edgeseg.models.registry import NETWORKS, ModelSpec, build_model
from edgeseg.models.weights import StateDict
from edgeseg.training.recipe import ModelConfig, read_recipe
from edgeseg.training.start import average_with, load_start_weights


def filled(network: nn.Module) -> StateDict:
    """Names and shapes of a network, each tensor a single stored 0.5."""
    return {key: torch.tensor(0.5).to(value.dtype).expand(value.shape) for key, value in network.state_dict().items()}


def on_meta(spec: ModelSpec) -> nn.Module:
    with torch.device("meta"):
        return build_model(spec)


@pytest.mark.filterwarnings("ignore:for .*copying from a non-meta parameter")
def test_imagenet_weights_fill_the_backbone_of_every_network(tmp_path: Path) -> None:
    files: dict[str, Path] = {}
    for name in NETWORKS:
        match = _BACKBONE.search(name)
        if match is None:
            continue
        classifier = _WITH_BATCH_NORM.get(name, match[1])
        if classifier not in files:
            files[classifier] = tmp_path / f"{classifier}.pth"
            with torch.device("meta"):
                torch.save(filled(getattr(torchvision.models, classifier)()), files[classifier])
        network = on_meta(ModelSpec(name, 3))
        report = load_start_weights(network, files[classifier])
        assert not report.new, name
        assert len(report.taken) == len(network.get_submodule("backbone").state_dict()), name
    assert len(files) == 9


def test_the_default_checkpoint_gives_all_but_its_scores() -> None:
    network = build_model(ModelSpec("fcn4s_mobilenet_v2", 3))
    report = load_start_weights(network, default_checkpoint())
    # The published file has no auxiliary head.
    assert str(report) == (
        f"{len(report.taken)} tensors taken; dropped: classifier 11×64×1×1, upsample 11×11×8×8; "
        "new, as initialised: classifier 3×64×1×1, upsample 3×3×8×8, aux_classifier 3×96×1×1"
    )
    assert len(report.taken) == len(network.state_dict()) - len(report.new)


def test_a_pth_of_another_class_count_gives_all_but_its_scores(tmp_path: Path) -> None:
    torch.save({"state_dict": filled(on_meta(ModelSpec("fcn_resnet18", 11)))}, tmp_path / "old.pth")
    network = build_model(ModelSpec("fcn_resnet18", 4))
    before = network.get_submodule("classifier").state_dict()["weight"].clone()
    report = load_start_weights(network, tmp_path / "old.pth")
    assert str(report) == (
        f"{len(report.taken)} tensors taken; dropped: classifier 11×512×1×1, upsample 11×11×64×64; "
        "new, as initialised: classifier 4×512×1×1, upsample 4×4×64×64"
    )
    state = network.state_dict()
    assert all(bool((state[name] == torch.tensor(0.5).to(state[name].dtype)).all()) for name in report.taken)
    assert torch.equal(state["classifier.weight"], before)


def test_torchvisions_segmentation_weights_give_all_but_the_last_layers(tmp_path: Path) -> None:
    name = "deeplabv3_mobilenet_v3_large"
    with torch.device("meta"):
        theirs = getattr(torchvision.models.segmentation, name)(
            weights=None, weights_backbone=None, num_classes=21, aux_loss=True
        )
    torch.save(filled(theirs), tmp_path / "coco.pth")
    report = load_start_weights(build_model(ModelSpec(name, 4)), tmp_path / "coco.pth")
    assert str(report) == (
        f"{len(report.taken)} tensors taken; dropped: classifier.4 21×256×1×1, aux_classifier.4 21×10×1×1; "
        "new, as initialised: classifier.4 4×256×1×1, aux_classifier.4 4×10×1×1"
    )
    assert len(report.taken) == len(theirs.state_dict()) - 4


def saved(path: Path, value: float) -> Path:
    """A published file (no auxiliary head) of the tiny network with this value everywhere."""
    model = tiny_network.trained(auxiliary=False)
    with torch.no_grad():
        for tensor in model.network.state_dict().values():
            tensor.fill_(value)
    save_checkpoint(path, model)
    return path


def test_training_starts_from_the_mean_of_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_network.register(monkeypatch)
    network = build_model(ModelSpec(tiny_network.NAME, len(tiny_network.LABELS)))
    load_start_weights(network, saved(tmp_path / "first.safetensors", 1))
    own_head = {name: value.clone() for name, value in network.state_dict().items() if name.startswith("aux")}
    files = [saved(tmp_path / "second.safetensors", 2), saved(tmp_path / "third.safetensors", 6)]

    told = average_with(files, network)

    assert [entry["file"] for entry in told] == ["second.safetensors", "third.safetensors"]
    assert len({entry["sha256"] for entry in told}) == 2
    assert own_head
    for name, value in network.state_dict().items():
        if name.startswith("aux"):
            assert torch.equal(value, own_head[name]), name
        elif value.is_floating_point():
            assert torch.allclose(value, torch.tensor(3.0)), name


def test_another_network_is_not_averaged_with() -> None:
    network = build_model(ModelSpec("fcn4s_narrow_mobilenet_v2", 11))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(
        CheckpointError, match=r"default\.safetensors: cannot be averaged with; .* same network"
    ) as caught:
        average_with([default_checkpoint()], network)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_mean_needs_a_first(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(model='{ average_with = ["b.safetensors"] }'), encoding="utf-8")
    with pytest.raises(ConfigError, match="name the first as pretrained"):
        read_recipe(path)


RECIPE = """
name = "x"
size_hw = [64, 96]
model = {model}
data = [{{ format = "folder", root = "x", split = "train" }}]
augment = {{ crop_hw = [64, 64] }}
"""


def test_a_recipe_chooses_upsampling_and_weights_by_name(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        RECIPE.format(model='{ network = "fcn_resnet34", upsample = "subpixel", pretrained = "imagenet" }'),
        encoding="utf-8",
    )
    assert read_recipe(path).model == ModelConfig("fcn_resnet34", upsample="subpixel", pretrained="imagenet")
    path.write_text(RECIPE.format(model='{ upsample = "unpool" }'), encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"recipe\.toml: model\.upsample='unpool': fcn4s_mobilenet_v2 has its own; leave"
    ):
        read_recipe(path)
