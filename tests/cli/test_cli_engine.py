"""`edgeseg engine build`: plans on any machine, builds on a fake one."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from fake_driver import ORIN
from tiny_bundle import tiny_bundle
from tiny_engine import Machine

from edgeseg.cli.main import main
from edgeseg.engine import driver

HW = (24, 32)
PLAN = ["engine", "build", "--dry-run"]


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny_bundle(
        tmp_path / "tiny.edgeseg", HW, operators=dict.fromkeys(("fp32", "fp16", "int8-trt"), "ArgMax")
    ).path


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    there = Machine("10.3.0")
    monkeypatch.setattr(driver, "require_gpu", lambda: ORIN)
    monkeypatch.setattr(driver, "import_tensorrt", lambda: there.trt)
    return there


class TestDryRun:
    def test_two_releases_without_a_bundle_or_a_gpu(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([*PLAN, "--tensorrt", "11.4", "--device", "orin"]) == 0
        new = capsys.readouterr().out
        assert main([*PLAN, "--tensorrt", "10.3"]) == 0
        old = capsys.readouterr().out
        assert new.startswith("TensorRT 11.4.0, Jetson AGX Orin (compute capability 8.7)\nfp16, from the bundle's fp16")
        assert old.startswith("TensorRT 10.3.0, any GPU\n")
        assert "STRONGLY_TYPED" in old
        assert "STRONGLY_TYPED" not in new
        assert "strongly typed" in new
        assert "FP16" not in old + new

    def test_the_bundle_tells_sizes_and_what_it_lacks(
        self, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        report = tmp_path / "plan.json"
        assert main([*PLAN, str(bundle), "--tensorrt", "8.6", "--precision", "int8", "--json", str(report)]) == 0
        shown = capsys.readouterr().out
        assert "int8, from the bundle's int8-trt graph, not strongly typed, frames 24x32" in shown
        assert "warning: the graph has opset 20, and this TensorRT's parser knows 17" in shown
        steps = [step["name"] for step in json.loads(report.read_bytes())["plan"]["steps"]]
        assert steps[:3] == ["create network", "parse", "create config"]
        other = tiny_bundle(tmp_path / "other.edgeseg", HW, operators={"fp32": "ArgMax"}).path
        assert main([*PLAN, str(other), "--tensorrt", "10.3"]) == 2
        assert "has no fp16 graph; it has: fp32" in capsys.readouterr().err

    def test_a_graph_for_any_size_gets_limits(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tiny_bundle(tmp_path / "any.edgeseg").path
        assert main([*PLAN, str(path), "--tensorrt", "10.3"]) == 0
        assert "profile: frame, min 1x24x32x3, opt 1x24x32x3, max 1x2160x3840x3" in capsys.readouterr().out

    def test_or_the_one_size_that_is_asked_for(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tiny_bundle(tmp_path / "any.edgeseg").path
        dla = [*PLAN, str(path), "--tensorrt", "10.7", "--device", "orin", "--dla-core", "0"]
        assert main(dla) == 2
        assert "DLA takes frames of one size" in capsys.readouterr().err
        assert main([*dla, "--camera-size", "48x64"]) == 0
        assert "frame, min 1x48x64x3, opt 1x48x64x3, max 1x48x64x3" in capsys.readouterr().out

    def test_what_is_installed_and_here_is_the_default(
        self, machine: Machine, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(PLAN) == 0
        assert capsys.readouterr().out.startswith("TensorRT 10.3.0, Orin (compute capability 8.7)\n")
        assert machine.tensorrt.calls == []

    def test_without_tensorrt_one_is_to_be_named(self, capsys: pytest.CaptureFixture[str]) -> None:
        if find_spec("tensorrt") is not None:
            pytest.skip("TensorRT is installed here")
        assert main(PLAN) == 3
        shown = capsys.readouterr().err
        assert "pip install 'edgeseg[tensorrt]'" in shown
        assert "--tensorrt 10.3" in shown
        assert shown.count("\n") == 1

    @pytest.mark.parametrize(
        ("options", "code", "message"),
        [
            (["--tensorrt", "10.2.0"], 3, "known bad"),
            (["--tensorrt", "ten"], 2, "is not a TensorRT version"),
            (["--tensorrt", "10.3", "--device", "tx2"], 2, "known: any, orin-nano"),
            (["--tensorrt", "10.3", "--device", "orin-nano", "--dla-core", "0"], 3, "has no DLA"),
        ],
    )
    def test_refusals(self, options: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([*PLAN, *options]) == code
        shown = capsys.readouterr().err
        assert message in shown
        assert shown.count("\n") == 1


class TestRecipe:
    def test_options_add_to_it_and_may_not_contradict_it(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        recipe = tmp_path / "orin.toml"
        recipe.write_text('[engine]\nprecision = "int8"\nworkspace_mib = 512\n')
        asked = [*PLAN, "--tensorrt", "10.3", "--recipe", str(recipe)]
        assert main([*asked, "--optimization-level", "5"]) == 0
        shown = capsys.readouterr().out
        assert "int8, from the bundle's int8-trt graph" in shown
        assert "MemoryPoolType.WORKSPACE, mib 512" in shown
        assert "optimisation level: level 5" in shown
        assert main([*asked, "--precision", "fp16"]) == 2
        assert "precision is int8 in the recipe and fp16 on the command line" in capsys.readouterr().err


class TestBuild:
    def test_it_is_built_once_and_then_there(
        self, bundle: Path, machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        machine.tensorrt.build_warning = "mind the gap"
        report = tmp_path / "engine.json"
        command = ["engine", "build", str(bundle), "--detailed-profiling", "--json", str(report)]
        assert main(command) == 0
        shown = capsys.readouterr()
        plan = bundle / "engines" / "fp16.plan"
        assert plan.read_bytes().startswith(b"fake plan of TensorRT 10.3.0")
        assert f"{plan}: built in 0 s" in shown.out
        assert "conv1 (Convolution)" in shown.out
        assert "warning: mind the gap" in shown.out
        assert "building the engine: 100 %" in shown.err
        assert json.loads(report.read_bytes())["built_now"] is True
        assert main(command) == 0
        assert "there already, and fits" in capsys.readouterr().out
        assert json.loads(report.read_bytes())["built_now"] is False
        assert main([*command, "--rebuild"]) == 0
        assert "built in 0 s" in capsys.readouterr().out

    def test_layers_that_fall_back_from_dla_are_named(
        self, bundle: Path, machine: Machine, capsys: pytest.CaptureFixture[str]
    ) -> None:
        machine.tensorrt.dla_cores, machine.tensorrt.dla_layers = 1, ["conv1"]
        assert main(["engine", "build", str(bundle), "--dla-core", "0"]) == 0
        shown = capsys.readouterr().out
        assert "2 layers that DLA cannot run are on the GPU:\n  cast_frame\n  argmax\n" in shown
        assert "warning: on DLA the types are TensorRT's choice" in shown

    def test_a_build_that_fails_leaves_no_file(
        self, bundle: Path, machine: Machine, capsys: pytest.CaptureFixture[str]
    ) -> None:
        machine.tensorrt.build_error = "Error Code 2: OutOfMemory"
        assert main(["engine", "build", str(bundle)]) == 2
        assert "memory ran out" in capsys.readouterr().err
        assert list(bundle.glob("engines/*")) == []

    def test_planning_options_belong_to_planning(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["engine", "build", "--device", "orin"]) == 2
        assert "add --dry-run" in capsys.readouterr().err

    def test_without_a_driver_it_is_exit_code_3_and_one_line(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def missing(name: str) -> None:
            raise OSError(name)

        monkeypatch.setattr(driver.require_gpu, "__defaults__", (0, missing, "linux"))
        assert main(["engine", "build"]) == 3
        shown = capsys.readouterr().err
        assert "NVIDIA driver" in shown
        assert shown.count("\n") == 1
