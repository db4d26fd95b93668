from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny_bundle import tiny_bundle

from edgeseg.cli.main import main
from edgeseg.runtime.default import DEFAULT_NAME


def test_a_sound_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = tiny_bundle(tmp_path / "road.edgeseg")
    assert main(["verify", str(bundle.path), "--json", str(tmp_path / "report.json")]) == 0
    shown = capsys.readouterr()
    assert "6 files match their sha256" in shown.out
    for line in ("fp32  day_000", "fp32  night_000", "fp16  day_000", "fp16  night_000"):
        assert line in shown.out
    assert shown.out.count("100.0000 %") == 4
    assert shown.err == ""
    report = json.loads((tmp_path / "report.json").read_bytes())
    assert report["passed"] is True
    assert set(report["graphs"]) == {"fp32", "fp16"}


def test_a_machine_that_gives_other_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = tiny_bundle(tmp_path / "road.edgeseg", operators={"fp32": "ArgMax", "fp16": "ArgMin"})
    assert main(["verify", str(bundle.path), "--json", str(tmp_path / "report.json")]) == 1
    shown = capsys.readouterr()
    assert shown.out.count("FAILED") == 2
    assert shown.err.startswith("edgeseg: error: ")
    assert shown.err.count("\n") == 1
    assert json.loads((tmp_path / "report.json").read_bytes())["passed"] is False
    assert main(["verify", str(bundle.path), "--precision", "fp32", "--threads", "1"]) == 0


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "no bundle", "precision"])
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str) -> None:
    bundle = tiny_bundle(tmp_path / "road.edgeseg").path
    graph = bundle / "model.fp32.onnx"
    arguments = ["verify", str(bundle)]
    if damage == "flip":
        data = bytearray(graph.read_bytes())
        data[len(data) // 2] ^= 1
        graph.write_bytes(data)
    elif damage == "truncate":
        graph.write_bytes(graph.read_bytes()[:-1])
    elif damage == "remove":
        graph.unlink()
    elif damage == "no bundle":
        arguments[1] = str(tmp_path / "nowhere")
    else:
        arguments += ["--precision", "int8"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("edgeseg: error: ")
    assert error.count("\n") == 1


def test_without_a_name_it_is_the_default_bundle_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_bundle(Path(f"{DEFAULT_NAME}.edgeseg"))
    assert main(["verify"]) == 0
    assert capsys.readouterr().out.startswith(f"{DEFAULT_NAME}.edgeseg: tiny, written ")


def test_where_there_is_none_it_is_exported_into_the_cache_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "default.safetensors").write_bytes(b"weights")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGESEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("edgeseg.runtime.default.WEIGHTS", tmp_path / "default.safetensors")
    # The export itself takes half a minute and is tested where it lives; here it is enough that it is asked for.
    monkeypatch.setitem(sys.modules, "edgeseg.graph.default", SimpleNamespace(export_default=tiny_bundle))
    assert main(["verify"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{tmp_path / 'cache' / DEFAULT_NAME}-")
    assert "exporting the default model to" in shown.err
    assert main(["verify"]) == 0
    assert capsys.readouterr().err == ""
