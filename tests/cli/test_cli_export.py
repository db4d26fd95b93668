"""`edgeseg export` and `edgeseg parity` from the command line, on a network that exports in a second."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from edgeseg.bundle import Bundle, BundleWriter
from edgeseg.cli.main import main
from edgeseg.labels import LabelMap
from edgeseg.models.checkpoint import TrainedModel, load_checkpoint, save_checkpoint
from edgeseg.models.registry import NETWORKS, ModelSpec, build_model
from edgeseg.models.upsampling import transposed_upsample

LABEL_MAP = LabelMap(("dark", "bright"), ((0, 0, 0), (255, 255, 255)))


class Brightness(nn.Module):
    """Bright or dark, decided at half size and brought back by a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(3, 2, 3, 2, 1)
        self.up = transposed_upsample(2, 2, stride=2)
        with torch.no_grad():
            self.squeeze.weight[0] = -1.0
            self.squeeze.weight[1] = 1.0
            assert self.squeeze.bias is not None
            self.squeeze.bias.copy_(torch.tensor([-1.0, 1.0]))

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": self.up(torch.tanh(self.squeeze(images)))}


def build(spec: ModelSpec) -> nn.Module:
    return Brightness()


@pytest.fixture(scope="module", autouse=True)
def brightness_is_a_network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "brightness", f"{__name__}:build")
        # Each weather takes a while to draw; here the command is tested.
        patch.setattr("edgeseg.graph.frames.SCENES", ("day", "night"))
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "brightness.safetensors"
    spec = ModelSpec("brightness", 2)
    save_checkpoint(path, TrainedModel(build_model(spec), spec, LABEL_MAP, (64, 96)))
    return path


@pytest.fixture(scope="module")
def report(checkpoint: Path) -> Path:
    """`edgeseg export --fp16 --triton` ran; its JSON, beside the bundle."""
    path = checkpoint.parent / "report.json"
    bundle = checkpoint.parent / "road.edgeseg"
    arguments = ["export", "--fp16", "--checkpoint", str(checkpoint), "--output", str(bundle), "--json", str(path)]
    assert main([*arguments, "--triton", str(checkpoint.parent / "models")]) == 0
    return path


def test_an_export_writes_a_repository_for_triton_as_well(
    report: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = report.parent / "models"
    assert sorted(path.name for path in models.iterdir()) == ["road_fp16_onnx", "road_fp32_onnx"]
    assert sorted(json.loads(report.read_text())["triton"]) == sorted(str(path) for path in models.iterdir())
    graph = report.parent / "road.edgeseg" / "model.fp16.onnx"
    assert (models / "road_fp16_onnx" / "1" / "model.onnx").read_bytes() == graph.read_bytes()
    # A second time it is refused before anything is exported.
    again = ["export", "--checkpoint", str(checkpoint), "--output", str(report.parent / "new" / "road.edgeseg")]
    assert main([*again, "--triton", str(models)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert not (report.parent / "new").exists()


@pytest.fixture(scope="module")
def bundle(report: Path) -> Bundle:
    return Bundle.open(json.loads(report.read_text())["bundle"])


def test_the_report_names_bundle_graphs_and_parity(report: Path, bundle: Bundle) -> None:
    value = json.loads(report.read_text())
    assert value["graphs"] == {name: str(bundle.graph_path(name)) for name in ("fp32", "fp16")}
    pairs = value["parity"]["pairs"]
    assert list(pairs) == ["torch-fp32__onnx-fp32", "onnx-fp32__onnx-fp16", "torch-fp32__onnx-fp16"]
    assert all(pair["passed"] for pair in pairs.values())
    assert bundle.manifest.name == "road"


def test_parity_reads_the_bundle_again(
    bundle: Bundle, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "parity.json"
    assert main(["parity", str(bundle.path), "--checkpoint", str(checkpoint), "--json", str(path)]) == 0
    printed = capsys.readouterr()
    assert "PyTorch FP32 -> ONNX FP16" in printed.out
    assert "Every step passed: what was exported is what was trained." in printed.out
    assert printed.err == ""
    assert json.loads(path.read_text())["pairs"] == (bundle.manifest.parity or {})["pairs"]


def test_parity_on_a_dataset_and_without_pytorch(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("edgeseg.cli.parity.find_spec", lambda _: None)
    drive = ["--data", "seed=1&scene=day&frames=6&size=64x96", "--format", "synthetic", "--limit", "2"]
    assert main(["parity", str(bundle.path), *drive]) == 0
    printed = capsys.readouterr().out
    assert "PyTorch is not installed here" in printed
    assert "2 frames" in printed
    assert "ONNX FP32 -> ONNX FP16" in printed
    assert "PyTorch FP32 ->" not in printed


def _tampered(bundle: Bundle, checkpoint: Path, path: Path) -> Path:
    """The same bundle with one weight of the FP32 graph changed, and every hash right."""
    model = onnx.load_from_string(bundle.graph_bytes("fp32"))
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "network.squeeze.weight")
    values = numpy_helper.to_array(weight).copy()
    values[0] *= 1.5
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    contract = bundle.contract
    with BundleWriter(
        path,
        name="tampered",
        label_map=LABEL_MAP,
        network_hw=contract.network_hw,
        camera_hw=contract.camera_hw,
        mean=contract.mean,
        std=contract.std,
    ) as writer:
        writer.add_graph("fp32", model.SerializeToString(), opset=20)
        writer.add_golden("grey", np.full((64, 96, 3), 90, np.uint8), np.zeros((64, 96), np.uint8))
        writer.finish(lineage={"checkpoint_sha256": load_checkpoint(checkpoint).sha256})
    return path


def test_a_bundle_that_is_not_the_trained_model_fails_and_the_layer_is_named(
    bundle: Bundle, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _tampered(bundle, checkpoint, tmp_path / "tampered.edgeseg")
    found = tmp_path / "found.json"
    arguments = ["parity", str(path), "--checkpoint", str(checkpoint), "--locate", "--json", str(found)]
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert "FAILED" in printed.out
    assert "of squeeze (Conv)" in printed.out
    assert printed.err.startswith("edgeseg: error: onnx-fp32 is not torch-fp32: ")
    assert printed.err.count("\n") == 1
    (located,) = json.loads(found.read_text())["located"]
    assert located["first"]["layer"] == "squeeze"


def test_a_failed_gate_exits_with_1_and_names_the_kept_graph(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("edgeseg.graph.parity.MAX_ERROR", {"fp32": 0.0})
    monkeypatch.setattr("edgeseg.graph.parity.MIN_AGREEMENT", {"fp32": 1.1})
    path = tmp_path / "failed.json"
    output = tmp_path / "road.edgeseg"
    arguments = ["export", "--checkpoint", str(checkpoint), "--output", str(output), "--json", str(path)]
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert "road.model.fp32.failed.onnx" in printed.err
    assert not output.exists()
    value = json.loads(path.read_text())
    assert value["bundle"] is None
    kept = Path(value["failed"]["fp32"])
    assert kept.is_file()
    # The command that the message names works on the kept graph.
    assert main(["parity", str(kept), "--checkpoint", str(checkpoint), "--locate"]) == 1
    assert "tensors compared" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dynamic", "--camera-size", "720x1280"], "exclude each other"),
        (["--size", "360"], "HEIGHTxWIDTH"),
        (["--size", "8x8"], "size is 8x8"),
        (["--recipe", "RECIPE", "--size", "128x128"], "in the recipe"),
        (["--recipe", "absent.toml"], "absent.toml cannot be read"),
        (["--checkpoint", "absent.safetensors"], "no such checkpoint"),
        (["--model", "brightness"], "--checkpoint and --model exclude each other"),
        (["--weights", "pretrained"], "--weights belongs to a network"),
        (["--output", "road.onnx"], "ends in .edgeseg"),
        (["--output", "TAKEN"], "is not a bundle"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[export]\nsize = [64, 96]\n")
    taken = tmp_path / "taken.edgeseg"
    taken.mkdir()
    (taken / "notes.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    named = {"RECIPE": str(recipe), "TAKEN": str(taken)}
    given = [named.get(word, word) for word in arguments]
    default = [] if "--checkpoint" in given else ["--checkpoint", str(checkpoint)]
    assert main(["export", *default, *given]) == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert printed.err.startswith("edgeseg: error: ")
    assert printed.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.toml", "taken.edgeseg"]


def test_a_checkpoint_that_is_not_the_bundles_is_refused(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.safetensors"
    spec = ModelSpec("brightness", 2)
    network = build_model(spec)
    with torch.no_grad():
        next(network.parameters()).add_(1)
    save_checkpoint(other, TrainedModel(network, spec, LABEL_MAP, (64, 96)))
    assert main(["parity", str(bundle.path), "--checkpoint", str(other)]) == 2
    assert "is not what" in capsys.readouterr().err


def test_without_options_the_bundle_is_named_after_the_checkpoint(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", "--checkpoint", str(checkpoint), "--camera-size", "72x100"]) == 0
    opened = Bundle.open(tmp_path / "brightness.edgeseg")
    assert opened.precisions == ("fp32",)
    assert opened.contract.camera_hw == (72, 100)
    printed = capsys.readouterr()
    assert printed.out.endswith("bundle: brightness.edgeseg\n")
    assert printed.err == ""


def test_a_network_by_name_with_its_weights(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", "--model", "brightness", "--weights", str(checkpoint)]) == 0
    assert Bundle.open(tmp_path / "brightness.edgeseg").contract.network_hw == (64, 96)
    capsys.readouterr()
    assert main(["export", "--model", "brightness"]) == 2
    assert "brightness knows nothing without weights" in capsys.readouterr().err
