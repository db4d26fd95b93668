"""torchvision's published weights by name: fetched, checked, with the classes and preprocessing that belong to them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torchvision.models import get_model_weights

from edgeseg.errors import CheckpointError, ConfigError, UnavailableError
from edgeseg.labels import VOC
from edgeseg.models import pretrained
from edgeseg.models.checkpoint import IMAGENET_MEAN, IMAGENET_STD, save_checkpoint
from edgeseg.models.pretrained import SEGMENTATION, fetch, load_named, load_pretrained, start_file
from edgeseg.models.registry import NETWORKS, ModelSpec, build_model

SMALL = "lraspp_mobilenet_v3_large"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PyTorch's cache, empty, and no network."""

    def refuse(*_: Any) -> Any:
        raise URLError("no network in tests")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "urlopen", refuse)
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def planted(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a file of a network's tensors, all 0.25, where torchvision's would be, under a name with its own hash."""

    def plant(name: str) -> Path:
        with torch.device("meta"):
            own = build_model(ModelSpec(name, 21)).state_dict()
        content = io.BytesIO()
        torch.save({key: torch.tensor(0.25).to(value.dtype).expand(value.shape) for key, value in own.items()}, content)
        weights = get_model_weights(name).DEFAULT
        digest = hashlib.sha256(content.getvalue()).hexdigest()
        stem, _, _ = weights.url.rpartition("-")
        monkeypatch.setattr(weights.value, "url", f"{stem}-{digest[:8]}.pth")
        cache.mkdir(parents=True)
        path = cache / str(weights.url).rpartition("/")[2]
        path.write_bytes(content.getvalue())
        return path

    return plant


@pytest.mark.parametrize("name", [SMALL, "deeplabv3_mobilenet_v3_large"])
def test_a_file_in_the_cache_is_loaded_with_its_classes_and_preprocessing(
    name: str, planted: Callable[[str], Path]
) -> None:
    path = planted(name)
    model = load_pretrained(name)
    assert model.spec == ModelSpec(name, 21, auxiliary=not name.startswith("lraspp"))
    assert model.label_map == VOC
    assert (model.size_hw, model.mean, model.std) == ((520, 696), IMAGENET_MEAN, IMAGENET_STD)
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert model.source == str(path)
    assert model.lineage["weights"].endswith("_Weights.COCO_WITH_VOC_LABELS_V1")
    assert model.lineage["origin"].endswith(path.name)
    assert {float(value.detach().flatten()[0]) for value in model.network.parameters()} == {0.25}


@pytest.mark.parametrize("name", SEGMENTATION)
def test_what_torchvision_publishes_is_what_is_assumed(name: str) -> None:
    weights = get_model_weights(name).DEFAULT
    assert weights.meta["categories"] == ["__background__", *VOC.names[1:]]
    assert weights.transforms().resize_size == [520]
    assert pretrained._HASH.search(weights.url)


def test_without_a_network_one_line_says_what_to_fetch_and_where_to_put_it(cache: Path) -> None:
    with pytest.raises(UnavailableError) as caught:
        load_pretrained("deeplabv3_resnet101")
    url = "https://download.pytorch.org/models/deeplabv3_resnet101_coco-586e9e4e.pth"
    assert str(caught.value) == (
        f"{url} cannot be fetched (<urlopen error no network in tests>). Fetch it on a machine that can, and put it "
        f"here: {cache / 'deeplabv3_resnet101_coco-586e9e4e.pth'}"
    )
    assert list(cache.iterdir()) == []


class Response(io.BytesIO):
    """What urlopen gives, as far as torch.hub looks."""

    def info(self) -> Message:
        return Message()

    def __enter__(self) -> Response:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def test_a_file_is_fetched_once_and_checked(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"weights"
    good = f"https://example.org/net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    asked: list[str] = []

    def answer(request: Any) -> Response:
        asked.append(request.full_url)
        return Response(content)

    monkeypatch.setattr(torch.hub, "urlopen", answer)
    assert [fetch(good).read_bytes() for _ in range(2)] == [content, content]
    assert asked == [good]
    with pytest.raises(CheckpointError, match=r"net-00000000\.pth: not the file that was published.* Delete it"):
        fetch("https://example.org/net-00000000.pth")


def test_a_torn_file_is_not_taken_for_weights(planted: Callable[[str], Path]) -> None:
    path = planted(SMALL)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="not the file that was published"):
        load_pretrained(SMALL)


def test_networks_without_published_weights_are_refused_with_those_that_have_them() -> None:
    with pytest.raises(ConfigError, match="no pretrained weights for fcn_resnet18; torchvision has them for: fcn_res"):
        load_pretrained("fcn_resnet18")
    assert set(SEGMENTATION) == {
        *("fcn_resnet50", "fcn_resnet101", "deeplabv3_resnet50", "deeplabv3_resnet101"),
        *("deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"),
    }


def test_a_recipe_names_a_file_or_torchvisions_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "fetch", lambda url: Path(Path(url).name))
    folder = Path("data")
    assert start_file("weights/own.pth", "fcn_resnet18", folder) == folder / "weights/own.pth"
    assert start_file("coco", SMALL, folder).name == "lraspp_mobilenet_v3_large-d234d4ea.pth"
    fetched = {
        "fcn_resnet18": "resnet18-f37072fd.pth",
        "deeplabv3_resnet101": "resnet101-63fe2227.pth",
        "fcn4s_mobilenet_v2": "mobilenet_v2-b0353104.pth",
        "deeplabv3_mobilenet_v3_small": "mobilenet_v3_small-047dcff4.pth",
        SMALL: "mobilenet_v3_large-8738ca79.pth",
        "fcn8s_vgg16": "vgg16-397923af.pth",
        "segnet_vgg16": "vgg16_bn-6c64b313.pth",
    }
    assert {name: start_file("imagenet", name, folder).name for name in fetched} == fetched
    for name in NETWORKS:
        if name != "segnet_basic":
            assert start_file("imagenet", name, folder)
    with pytest.raises(ConfigError, match="segnet_basic has no backbone of an ImageNet classifier"):
        start_file("imagenet", "segnet_basic", folder)
    with pytest.raises(ConfigError, match="no pretrained weights for fcn8s_vgg16"):
        start_file("coco", "fcn8s_vgg16", folder)


def test_a_network_and_its_weights_by_name(planted: Callable[[str], Path], tmp_path: Path) -> None:
    planted(SMALL)
    model = load_named(SMALL, "pretrained")
    save_checkpoint(tmp_path / "own.safetensors", model)
    torch.save(model.network.state_dict(), tmp_path / "own.pth")
    for name in ("own.safetensors", "own.pth"):
        assert load_named(SMALL, str(tmp_path / name)).spec.name == SMALL
    with pytest.raises(ConfigError, match=r"own\.safetensors: holds lraspp_mobilenet_v3_large, not fcn_resnet18\."):
        load_named("fcn_resnet18", str(tmp_path / "own.safetensors"))
    with pytest.raises(CheckpointError, match="not those of fcn_resnet18"):
        load_named("fcn_resnet18", str(tmp_path / "own.pth"))
    with pytest.raises(ConfigError, match=rf"{SMALL} knows nothing .* --weights with a file or pretrained\."):
        load_named(SMALL, None)
    with pytest.raises(ConfigError, match=r"fcn_resnet18 knows nothing without weights\. Add --weights with a file\."):
        load_named("fcn_resnet18", None)
    with pytest.raises(ConfigError, match="'unet' is neither a file or folder here nor a network; known: fcn_resnet18"):
        load_named("unet", None)
