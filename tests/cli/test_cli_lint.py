"""`edgeseg lint`: one line for each kind of fault, exit code 1 where a graph would not build, 0 with warnings."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from onnx import ModelProto, helper
from tiny_bundle import LABELS, brightest_channel, noise, tiny_bundle, tiny_writer
from tiny_int8 import SIZE_HW, residual, upsampled

import edgeseg.engine.lint.target as target_module
from edgeseg.bundle import Bundle
from edgeseg.cli.main import main
from edgeseg.errors import ConfigError


def write(path: Path, model: ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def slow(model: ModelProto) -> ModelProto:
    """With a fault that is a warning."""
    node = next(node for node in model.graph.node if node.op_type == "ConvTranspose")
    node.attribute.append(helper.make_attribute("output_padding", [1, 0]))
    return model


def broken(model: ModelProto) -> ModelProto:
    """With the same fault in two nodes."""
    for node in [node for node in model.graph.node if node.op_type == "Relu"][:2]:
        node.op_type = "Det"
    return model


def sealed_bundle(path: Path) -> Bundle:
    """A bundle whose graphs pass, and one for CPUs, which TensorRT would refuse."""
    import numpy as np

    frame = noise(np.random.default_rng(0), SIZE_HW)
    with tiny_writer(path, SIZE_HW, LABELS) as writer:
        for precision, model in (("fp32", residual()), ("int8-cpu", broken(residual()))):
            writer.add_graph(precision, model.SerializeToString(), opset=20, params=0)
        writer.add_golden("day_000", frame, brightest_channel(frame))
        return writer.finish(lineage={"source": "tests"}, parity={})


def test_a_sound_graph_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "road.onnx", residual())
    assert main(["lint", str(path), "--for", "tensorrt-10.3"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("road.onnx, TensorRT 10.3: nothing is known against building it; 0 errors, 0 warnings")


def test_a_warning_is_told_and_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "road.onnx", slow(upsampled()))
    assert main(["lint", str(path), "--for", "11.4"]) == 0
    printed = capsys.readouterr().out
    assert "0 errors, 1 warning" in printed
    assert "  warning  transposed-conv-padding: up\n" in printed


def test_a_graph_that_would_not_build_is_a_gate_that_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "road.onnx", broken(residual()))
    report = tmp_path / "report.json"
    assert main(["lint", str(path), "--for", "jetpack-6.2", "--json", str(report)]) == 1
    said = capsys.readouterr()
    assert "would NOT build; 2 errors" in said.out
    assert "  error    operator-supported: stem_act, first_act\n" in said.out
    assert "Det, which TensorRT 10.3 does not import" in said.out
    assert said.err.count("\n") == 1
    (graph,) = json.loads(report.read_text())["graphs"]
    assert graph["builds"] is False
    assert [finding["node"] for finding in graph["findings"]] == ["stem_act", "first_act"]
    assert {"rule", "severity", "node", "found", "advice"} == set(graph["findings"][0])


def test_of_a_bundle_the_graphs_for_tensorrt_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = sealed_bundle(tmp_path / "road.edgeseg")
    assert main(["lint", str(bundle.path), "--for", "10.16"]) == 0
    printed = capsys.readouterr().out
    assert "the fp32 graph, TensorRT 10.16" in printed
    assert "int8-cpu" not in printed
    assert main(["lint", str(bundle.path), "--for", "10.16", "--precision", "int8-cpu"]) == 2
    assert "TensorRT takes int8-trt" in capsys.readouterr().err
    assert main(["lint", str(bundle.path), "--for", "10.16", "--precision", "int8"]) == 2
    assert "has no int8-trt graph" in capsys.readouterr().err


def test_a_recipe_names_sizes_for_an_open_shape_and_a_dla(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = tiny_bundle(tmp_path / "any.edgeseg")
    graph = write(tmp_path / "any.onnx", ModelProto.FromString(bundle.graph_bytes("fp32")))
    # This little graph casts its class ids straight to uint8, which is a fault of its own.
    assert main(["lint", str(graph), "--for", "10.3"]) == 1
    said = capsys.readouterr()
    assert "open-shape: input frame" in said.out
    assert "uint8-from-float" in said.out
    recipe = tmp_path / "recipe.toml"
    sizes = "camera_min = [360, 480]\ncamera_opt = [720, 1280]\ncamera_max = [1080, 1920]\n"
    recipe.write_text(f"[engine]\n{sizes}", encoding="utf-8")
    main(["lint", str(graph), "--for", "10.3", "--recipe", str(recipe)])
    assert "open-shape" not in capsys.readouterr().out
    recipe.write_text(f"[engine]\ndla_core = 0\n{sizes}", encoding="utf-8")
    main(["lint", str(graph), "--for", "10.3", "--recipe", str(recipe)])
    assert "dla-fixed-size" in capsys.readouterr().out
    # The build of a bundle has limits of its own where nobody names any.
    main(["lint", str(bundle.path), "--for", "10.3"])
    assert "open-shape" not in capsys.readouterr().out
    main(["lint", str(bundle.path), "--for", "10.3", "--dla"])
    assert "dla-fixed-size" in capsys.readouterr().out


def test_the_installed_release_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "road.onnx", residual())
    installed = ModuleType("tensorrt")
    installed.__version__ = "10.16.1.11"  # type: ignore[attr-defined]
    monkeypatch.setattr(target_module, "find_spec", lambda _name: object())
    monkeypatch.setattr(target_module, "import_tensorrt", lambda: installed)
    assert main(["lint", str(path)]) == 0
    assert "TensorRT 10.16.1" in capsys.readouterr().out

    monkeypatch.setattr(target_module, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match="--for tensorrt-10"):
        target_module.installed_target()


def test_the_rules_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    from edgeseg.engine.lint import RULES

    assert main(["lint", "--rules"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == [rule.name for rule in RULES]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["road.onnx", "--for", "tensorrt-ten"], "not a TensorRT version"),
        (["road.onnx", "--for", "jetpack-4.6"], "JetPack is not known"),
        (["road.onnx", "--for", "tensorrt-10.3", "--precision", "fp16"], "--precision chooses a graph of a bundle"),
        (["absent.onnx", "--for", "tensorrt-10.3"], "there is no such file"),
        (["absent.onnx"], "there is no such file"),  # not that TensorRT is missing
        (["absent.edgeseg", "--for", "tensorrt-10.3"], "no such bundle"),
        (["text.onnx", "--for", "tensorrt-10.3"], "cannot be read as ONNX"),
    ],
)
def test_what_cannot_be_checked_is_bad_input(
    options: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "road.onnx", residual())
    (tmp_path / "text.onnx").write_text("no graph")
    assert main(["lint", *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_without_onnx_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "road.onnx", residual())
    real = importlib.import_module

    def without(name: str, *rest: Any) -> ModuleType:
        if name == "onnx":
            raise ImportError("No module named 'onnx'")
        return real(name, *rest)

    monkeypatch.setattr("edgeseg.lazy.importlib.import_module", without)
    assert main(["lint", str(path), "--for", "tensorrt-10.3"]) == 3
    assert "pip install 'edgeseg[tensorrt]'" in capsys.readouterr().err
