"""On a machine without an NVIDIA driver every command that wants one ends with exit code 3 and one line that helps."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from fake_driver import no_library
from tiny_bundle import tiny_bundle

from edgeseg.bundle import Bundle
from edgeseg.cli.main import main
from edgeseg.engine import driver

COMMANDS = {
    "verify": ["verify", "BUNDLE", "--backend", "tensorrt"],
    "verify in INT8": ["verify", "BUNDLE", "--backend", "tensorrt", "--precision", "int8"],
    "run": ["run", "PHOTO", "BUNDLE", "--headless", "--backend", "tensorrt"],
    "predict": ["predict", "PHOTO", "--model", "BUNDLE", "--backend", "tensorrt"],
    "evaluate": ["evaluate", "BUNDLE", "--video", "PHOTO", "--backend", "tensorrt"],
    "engine build": ["engine", "build", "BUNDLE"],
    "selftest": ["selftest", "BUNDLE", "--gpu"],
}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    graphs = {"fp32": "ArgMax", "fp16": "ArgMax", "int8-trt": "ArgMax"}
    return tiny_bundle(tmp_path / "road.edgeseg", operators=graphs)


@pytest.mark.parametrize("name", COMMANDS)
def test_one_line_and_three(
    name: str, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(driver.require_gpu, "__defaults__", (0, no_library, "linux"))
    monkeypatch.chdir(tmp_path)
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), bundle.golden()[0].frame_bgr)
    places = {"BUNDLE": str(bundle.path), "PHOTO": str(photo)}
    assert main([places.get(word, word) for word in COMMANDS[name]]) == 3
    error = capsys.readouterr().err
    assert error.startswith("edgeseg: error: no NVIDIA driver (libcuda.so.1 is not found). On a PC, ")
    assert "--backend onnxruntime" in error
    assert error.count("\n") == 1


def test_a_wrong_path_is_named_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(driver.require_gpu, "__defaults__", (0, no_library, "linux"))
    assert main(["engine", "build", str(tmp_path / "absent.edgeseg")]) == 2
    assert "no such bundle" in capsys.readouterr().err
