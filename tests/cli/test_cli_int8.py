"""`edgeseg export --int8`, and the commands that take INT8 afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_graph import LABEL_MAP, SIZE_HW, TinyNetwork, tiny_model
from tiny_judged import soft_frames
from torch import nn

from edgeseg.bundle import Bundle
from edgeseg.cli.main import main
from edgeseg.graph.frames import NamedFrame
from edgeseg.models.checkpoint import TrainedModel, save_checkpoint
from edgeseg.models.registry import NETWORKS, ModelSpec


def build(spec: ModelSpec) -> nn.Module:
    return TinyNetwork()


def _scenes(*_: object) -> list[NamedFrame]:
    return [NamedFrame(f"soft_{index}", frame) for index, frame in enumerate(soft_frames(5, seed=2))]


def _fast(models: Mapping[str, bytes], *_: object, **__: object) -> dict[str, float]:
    return {precision: 1.0 if precision.startswith("int8") else 2.0 for precision in models}


@pytest.fixture(scope="module", autouse=True)
def tiny_is_a_network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "tiny_skips", f"{__name__}:build")
        # Calibrated on soft patches, it is compared on soft patches: roads lie outside what it has seen.
        for module in ("frames", "deliver"):
            patch.setattr(f"edgeseg.graph.{module}.road_scenes", _scenes)
        # Too small for INT8 to be faster.
        patch.setattr("edgeseg.quantize.judge.latencies_ms", _fast)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """checkpoint.safetensors, and frames/ without labels."""
    folder = tmp_path_factory.mktemp("cli_int8")
    model = tiny_model()
    trained = TrainedModel(model.network, ModelSpec("tiny_skips", len(LABEL_MAP)), LABEL_MAP, SIZE_HW)
    save_checkpoint(folder / "checkpoint.safetensors", trained)
    (folder / "frames").mkdir()
    for index, frame in enumerate(soft_frames(16)):
        cv2.imwrite(str(folder / "frames" / f"{index:02d}.png"), frame)
    return folder


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    """`edgeseg export --int8` ran; report.json lies beside it."""
    arguments = ["--checkpoint", str(folder / "checkpoint.safetensors"), "--calibration-data", str(folder / "frames")]
    outputs = ["--output", str(folder / "road.edgeseg"), "--json", str(folder / "report.json")]
    budget = ["--max-disagreement", "3", "--ranges", "min-max"]
    assert main(["export", "--int8", *arguments, *budget, *outputs]) == 0
    return Bundle.open(folder / "road.edgeseg")


def test_the_report_says_how_int8_was_judged(bundle: Bundle, folder: Path) -> None:
    value = json.loads((folder / "report.json").read_text())
    assert set(value["graphs"]) == {"fp32", "int8-cpu", "int8-trt"}
    assert value["int8"] == bundle.manifest.int8
    assert "this is not accuracy" in value["int8"]["note"]
    assert value["int8"]["calibration"]["frames"] == 16
    assert value["int8"]["calibration"]["observed_frames"] == 12


def test_int8_is_evaluated_verified_and_compared(
    bundle: Bundle, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(bundle.path), "--precision", "int8", "--threads", "1"]) == 0
    assert "int8-cpu  " in capsys.readouterr().out
    labels = tmp_path / "labels"
    run = ["run", str(folder / "frames"), str(bundle.path), "--headless", "--precision", "int8", "--threads", "1"]
    assert main([*run, "--max-frames", "2", "--save-labels", str(labels), "--json", str(tmp_path / "run.json")]) == 0
    assert json.loads((tmp_path / "run.json").read_text())["precision"] == "int8-cpu"
    assert len(list(labels.iterdir())) == 2
    photo, told = str(folder / "frames" / "00.png"), tmp_path / "predict.json"
    predict = ["predict", photo, "--precision", "int8", "--output", str(tmp_path / "pictures"), "--json", str(told)]
    assert main([*predict, "--model", str(bundle.path)]) == 0
    assert json.loads(told.read_text())["precision"] == "int8-cpu"
    ids = [cv2.imread(str(path)) for path in (labels / "00.png", tmp_path / "pictures" / "00.labels.png")]
    assert ids[0] is not None
    assert ids[1] is not None
    np.testing.assert_array_equal(ids[0], ids[1])
    capsys.readouterr()
    assert main([*predict, "--model", str(folder / "checkpoint.safetensors")]) == 2
    assert "is a checkpoint, which runs in fp32; for int8, export it" in capsys.readouterr().err
    assert main(["parity", str(bundle.path), "--checkpoint", str(folder / "checkpoint.safetensors")]) == 0
    printed = capsys.readouterr().out
    assert "ONNX FP32 -> INT8 for CPU" in printed
    assert "PyTorch FP32 -> INT8 for TensorRT" in printed


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--int8"], 2, "name some with --calibration-data"),
        (["--calibration-data", "frames"], 2, "--calibration-data is a setting of INT8"),
        (["--fixed-camera"], 2, "--fixed-camera is a setting of INT8"),
        (["--max-miou-drop", "1"], 2, "--max-miou-drop is a setting of INT8"),
        (["--int8", "--calibration-data", "FRAMES", "--max-class-drop", "-1"], 2, "max_class_drop=-1.0"),
        (["--int8", "--calibration-data", "FRAMES", "--ranges", "guess"], 2, "ranges by guess"),
        (["--int8", "--calibration-data", "absent"], 2, "absent"),
        (
            ["--int8", "--calibration-data", "FRAMES", "--max-disagreement", "0", "--ranges", "min-max"],
            1,
            "INT8 is refused",
        ),
    ],
)
def test_what_cannot_be_made_ends_in_one_line(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [str(folder / "frames") if word == "FRAMES" else word for word in arguments]
    assert main(["export", "--checkpoint", str(folder / "checkpoint.safetensors"), *given]) == code
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("edgeseg: error: ")
    assert words in last
    assert not list(tmp_path.glob("*.edgeseg"))
