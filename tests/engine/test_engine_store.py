"""Engines on disk: what does not belong to this machine is named in one sentence, never deserialised, and rebuilt."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_driver import no_library
from tiny_bundle import tiny_bundle, tiny_graph
from tiny_engine import CAMERA_HW, Machine, other_gpu

from edgeseg.bundle import Bundle
from edgeseg.bundle.seal import UNSEALED, sealed_json
from edgeseg.cli import main as cli
from edgeseg.engine.examine import examine_engines, read_engine
from edgeseg.engine.recipe import EngineRecipe
from edgeseg.engine.store import EngineMismatch, StoredEngine, find_engine, plan_path, sidecar_path
from edgeseg.errors import BackendUnavailable, BundleError, ConfigError
from edgeseg.runtime.session import open_session

Damage = Callable[[Path, Path], object]
"""Takes the paths of plan and sidecar."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGESEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "road.edgeseg", CAMERA_HW)


def find(machine: Machine, bundle: Bundle, recipe: EngineRecipe | None = None) -> StoredEngine:
    return find_engine(bundle, "fp16", tensorrt=machine.tensorrt.version, gpu=machine.gpu, recipe=recipe)


def reseal(**changes: Any) -> Damage:
    """Change fields of the sidecar and seal it again, so that nothing but these fields is wrong."""

    def change(_: Path, sidecar: Path) -> None:
        value = {**json.loads(sidecar.read_bytes()), **changes, "sha256": UNSEALED}
        sidecar.write_bytes(sealed_json(value))

    return change


def flip(which: int, word: bytes) -> Damage:
    """Flip the last bit of the last letter of `word` in the plan (0) or the sidecar (1)."""

    def change(*paths: Path) -> None:
        data = bytearray(paths[which].read_bytes())
        data[data.index(word) + len(word) - 1] ^= 1
        paths[which].write_bytes(data)

    return change


def another_precision(plan: Path, sidecar: Path) -> None:
    """The FP32 engine, papers and all, under the name of the FP16 one."""
    other = plan.with_name("fp32.plan")
    shutil.copy(other, plan)
    shutil.copy(sidecar_path(other), sidecar)


def other_plan(plan: Path, _: Path) -> None:
    plan.write_bytes(plan.read_bytes()[::-1])


DAMAGE: dict[str, tuple[Damage, str]] = {
    "plan missing": (lambda plan, _: plan.unlink(), "is missing, and its sidecar is there"),
    "plan truncated": (lambda plan, _: plan.write_bytes(plan.read_bytes()[:40]), r"was cut short: the plan has 40 b"),
    "plan empty": (lambda plan, _: plan.write_bytes(b""), "was cut short: the plan has 0 bytes"),
    "plan longer": (lambda plan, _: plan.write_bytes(plan.read_bytes() + b"x"), "is too long"),
    "bit flip in the plan": (flip(0, b"fake plan"), "is damaged or altered: the plan's sha256"),
    "another plan of this size": (other_plan, "is damaged or altered: the plan's sha256"),
    "sidecar missing": (lambda _, sidecar: sidecar.unlink(), "has no sidecar .* nobody knows what it was built from"),
    "sidecar not JSON": (lambda _, sidecar: sidecar.write_bytes(b"{"), "cannot be used: it is not JSON"),
    "sidecar empty": (lambda _, sidecar: sidecar.write_bytes(b""), "cannot be used: it is not JSON"),
    "sidecar not an object": (lambda _, sidecar: sidecar.write_bytes(b"[]"), "cannot be used: it is of type list"),
    "bit flip in the sidecar": (flip(1, b"Orin"), "cannot be used: its own sha256 does not match"),
    "future schema": (
        reseal(schema=2, edgeseg="9.0"),
        "it has schema 2, written by edgeseg 9.0; this one reads schema 1",
    ),
    "unknown field": (reseal(colour="red"), "it has unknown fields: colour"),
    "mistyped field": (reseal(plan_bytes="many"), "field 'plan_bytes' is of type str"),
    "impossible sizes": (reseal(sizes=[[9, 9], [8, 8], [9, 9]]), "do not grow"),
    "hash that is none": (reseal(plan_sha256="?"), "not 64 hexadecimal digits"),
    "another graph": (reseal(onnx_sha256="0" * 63 + "1"), "was built from another graph than this bundle's"),
    "another precision": (another_precision, "is an engine in fp32, and fp16 is asked for"),
    "another TensorRT": (reseal(tensorrt="10.7.0"), r"was built with TensorRT 10\.7\.0, and 10\.3\.0 is installed"),
    "another GPU": (reseal(gpu="NVIDIA Thor"), "was built on a GPU called NVIDIA Thor, and this one is Orin"),
    "another compute capability": (
        reseal(gpu="GeForce", compute_capability=[8, 9]),
        r"was built for compute capability 8\.9 \(GeForce\), and this GPU has 8\.7 \(Orin\)",
    ),
    "another module of that name": (
        reseal(multiprocessors=16),
        "another Orin, with 16 multiprocessors; this",
    ),
    "another shape": (reseal(sizes=[[48, 64]] * 3), "takes frames of 48×64, and 24×32 is asked for"),
}


def build_both(machine: Machine, bundle: Bundle) -> tuple[Path, Path]:
    machine.ensure(bundle, "fp32")
    plan = machine.ensure(bundle, "fp16").path
    return plan, sidecar_path(plan)


@pytest.mark.parametrize("name", DAMAGE)
def test_a_mismatch_is_named_not_deserialised_and_rebuilt(
    name: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    damage, cause = DAMAGE[name]
    machine = Machine()
    damage(*build_both(machine, bundle))
    with pytest.raises(EngineMismatch, match=cause) as caught:
        find(machine, bundle)
    message = str(caught.value)
    assert caught.value.exit_code == 3
    assert "\n" not in message
    assert "fp16.plan" in message
    assert "edgeseg engine build" in message
    assert machine.tensorrt.deserialized == 0

    machine.install(monkeypatch)
    with open_session("tensorrt", bundle, precision="fp16") as session:
        (given,) = machine.tensorrt.called("Runtime.deserialize_cuda_engine")
        golden = bundle.golden()[0]
        assert (session.run(golden.frame_bgr[None])[0] == golden.labels).all()
    assert given[0] == find(machine, bundle).plan, "and what was deserialised is the plan that was built again"
    (line,) = caplog.messages
    assert caught.value.cause in line
    assert "it is built now" in line


def test_an_engine_that_fits_is_taken_without_a_word(bundle: Bundle) -> None:
    machine = Machine()
    told: list[str] = []
    built = machine.ensure(bundle, tell=told.append)
    again = machine.ensure(bundle, tell=told.append)
    assert again == built
    assert len(told) == 1
    assert "is not there; it is built now" in told[0]
    assert built.path == bundle.path / "engines" / "fp16.plan"
    assert len(machine.tensorrt.called("Builder.build_serialized_network")) == 1


def test_another_graph_in_the_bundle(bundle: Bundle, tmp_path: Path) -> None:
    """A bundle that was exported again, and an engine that somebody kept."""
    machine = Machine()
    kept = machine.ensure(bundle).path
    other = tiny_bundle(tmp_path / "other.edgeseg", CAMERA_HW, operators={"fp16": "ArgMin"})
    shutil.copytree(kept.parent, other.path / "engines")
    with pytest.raises(EngineMismatch, match="another graph"):
        find(machine, other)


def test_another_machine(bundle: Bundle) -> None:
    """The same checks from the other side: the plan stays, the machine changes."""
    Machine().ensure(bundle)
    machines = {
        "TensorRT 10.3.0, and 10.7.0": Machine("10.7.0"),
        "called Orin, and this one is Thor": Machine(gpu=other_gpu(name="Thor")),
        "with 8 multiprocessors; this one has 16": Machine(gpu=other_gpu(multiprocessors=16)),
        "capability 8.7": Machine(gpu=other_gpu(compute_capability=(11, 0))),
    }
    for said, machine in machines.items():
        with pytest.raises(EngineMismatch, match=said):
            find(machine, bundle)
        assert machine.tensorrt.calls == []
    # A GPU's number, driver and memory do not make a plan another one.
    find(Machine(gpu=other_gpu(index=1, driver_version="12.9", memory_bytes=1, uuid="GPU-1")), bundle)


class TestRecipe:
    def test_a_changed_recipe_is_named_and_built(self, bundle: Bundle) -> None:
        machine = Machine()
        machine.ensure(bundle)
        changed = EngineRecipe(workspace_mib=256)
        with pytest.raises(EngineMismatch, match="built with workspace_mib = None, and 256 is asked for"):
            find(machine, bundle, changed)
        machine.ensure(bundle, recipe=changed)
        find(machine, bundle, changed)

    def test_without_a_recipe_it_is_taken_as_it_was_built_and_rebuilt_so(self, bundle: Bundle) -> None:
        machine = Machine()
        recipe = EngineRecipe(workspace_mib=256, optimization_level=5)
        built = machine.ensure(bundle, recipe=recipe)
        assert find(machine, bundle) == built
        other_plan(*build_both(machine, bundle))
        assert machine.ensure(bundle).sidecar.recipe["optimization_level"] == 5

    def test_settings_of_the_build_alone_change_nothing(self, bundle: Bundle) -> None:
        machine = Machine()
        built = machine.ensure(bundle)
        assert find(machine, bundle, EngineRecipe(precision="fp32", timing_cache=False)) == built

    def test_a_recipe_of_a_later_edgeseg_is_not_built_by(self, bundle: Bundle) -> None:
        machine = Machine()
        damaged = build_both(machine, bundle)
        reseal(recipe={"sparsity": True})(*damaged)
        other_plan(*damaged)
        assert "sparsity" not in machine.ensure(bundle).sidecar.recipe

    def test_a_version_compatible_plan_serves_later_releases_of_its_major(
        self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Machine("10.3.0").ensure(bundle, recipe=EngineRecipe(version_compatible=True))
        find(Machine("10.7.0"), bundle)
        for version in ("8.6.1", "11.0.0.114"):
            with pytest.raises(EngineMismatch, match=f"10.3.0, and {version} is installed"):
                find(Machine(version), bundle)
        machine = Machine("10.3.0")
        machine.install(monkeypatch)
        open_session("tensorrt", bundle, precision="fp16").close()
        assert machine.tensorrt.called("Runtime.engine_host_code_allowed") == [(True,)]

    @pytest.mark.parametrize("level", ["ampere_plus", "same_compute_capability"])
    def test_a_hardware_compatible_plan_serves_other_gpus(self, bundle: Bundle, level: str) -> None:
        gpu = other_gpu(name="RTX 3090", compute_capability=(8, 6), integrated=False)
        version = "10.16.1.11"
        Machine(version, gpu).ensure(bundle, recipe=EngineRecipe(hardware_compatibility=level))
        find(Machine(version, replace(gpu, name="RTX 3060", multiprocessors=28)), bundle)
        ada, turing = replace(gpu, compute_capability=(8, 9)), replace(gpu, compute_capability=(7, 5))
        if level == "ampere_plus":
            find(Machine(version, ada), bundle)
        else:
            with pytest.raises(EngineMismatch, match="compute capability 8"):
                find(Machine(version, ada), bundle)
        with pytest.raises(EngineMismatch, match="compute capability 8"):
            find(Machine(version, turing), bundle)


class TestAnySize:
    def test_a_range_of_its_own(self, tmp_path: Path) -> None:
        """A graph for any size and a recipe without limits get some that hold the network's size and a 4K camera's."""
        bundle = tiny_bundle(tmp_path / "any.edgeseg")
        machine = Machine(camera_hw=None)
        stored = machine.ensure(bundle)
        assert stored.sidecar.sizes == ((24, 32), (24, 32), (2160, 3840))
        assert machine.ensure(bundle) == stored
        assert find(machine, bundle, EngineRecipe()) == stored

    def test_other_limits(self, tmp_path: Path) -> None:
        bundle = tiny_bundle(tmp_path / "any.edgeseg")
        machine = Machine(camera_hw=None)
        recipe = EngineRecipe(camera_min=(8, 8), camera_opt=(24, 32), camera_max=(48, 64))
        machine.ensure(bundle, recipe=recipe)
        wider = replace(recipe, camera_max=(96, 128))
        said = "takes frames of 8×8 to 48×64 .*, and 8×8 to 96×128 .* is asked for"
        with pytest.raises(EngineMismatch, match=said):
            find(machine, bundle, wider)


class TestPlaces:
    def test_a_bundle_that_cannot_be_written_to(
        self, bundle: Bundle, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "access", lambda path, _: not Path(path).is_relative_to(bundle.path))
        machine = Machine()
        stored = machine.ensure(bundle)
        assert stored.path.is_relative_to(cache / "engines")
        assert not (bundle.path / "engines").exists()
        assert machine.ensure(bundle) == stored

    def test_a_foreign_engine_in_a_closed_bundle_does_not_hide_the_one_in_the_cache(
        self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Machine("10.7.0").ensure(bundle)
        monkeypatch.setattr(os, "access", lambda path, _: not Path(path).is_relative_to(bundle.path))
        machine = Machine()
        told: list[str] = []
        stored = machine.ensure(bundle, tell=told.append)
        assert machine.ensure(bundle, tell=told.append) == stored
        assert len(told) == 1
        assert "TensorRT 10.7.0" in told[0]

    def test_engines_leave_the_bundle_whole(self, bundle: Bundle) -> None:
        Machine().ensure(bundle)
        assert Bundle.open(bundle.path).precisions == bundle.precisions

    def test_a_kill_before_the_sidecar_leaves_nothing_that_is_loaded(
        self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        machine = Machine()
        first = machine.ensure(bundle)
        written: list[Path] = []

        def killed(path: Path, data: bytes) -> None:
            written.append(path)
            if path.suffix == ".json":
                raise KeyboardInterrupt
            path.write_bytes(data)

        monkeypatch.setattr("edgeseg.engine.store.write_bytes", killed)
        with pytest.raises(KeyboardInterrupt):
            machine.ensure(bundle, recipe=EngineRecipe(workspace_mib=64))
        assert written == [first.path, sidecar_path(first.path)]
        with pytest.raises(EngineMismatch, match="has no sidecar"):
            find(machine, bundle)

    def test_int8_is_kept_under_the_name_of_its_graph(self, tmp_path: Path) -> None:
        assert plan_path(tmp_path, "int8") == plan_path(tmp_path, "int8-trt") == tmp_path / "int8-trt.plan"


class TestExamine:
    """Without a GPU: what `edgeseg verify` tells of engines."""

    def test_a_sound_engine_of_any_machine(self, bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
        stored = Machine("10.7.0").ensure(bundle)
        assert read_engine(bundle, stored.path) == stored
        assert cli.main(["verify", str(bundle.path)]) == 0
        assert f"{stored.path} matches its sidecar: built for Orin with TensorRT 10.7.0." in capsys.readouterr().out

    @pytest.mark.parametrize("name", [name for name in DAMAGE if "another" not in name or name == "another graph"])
    def test_a_damaged_one_is_told_and_is_no_fault_of_the_bundle(self, name: str, bundle: Bundle) -> None:
        damage, cause = DAMAGE[name]
        plan, sidecar = build_both(Machine(), bundle)
        damage(plan, sidecar)
        findings = examine_engines(bundle)
        assert re.search(cause, findings[str(plan)])
        assert "matches its sidecar" in findings[str(plan.with_name("fp32.plan"))]

    def test_under_another_name(self, bundle: Bundle) -> None:
        plan, sidecar = build_both(Machine(), bundle)
        another_precision(plan, sidecar)
        assert "is an engine in fp32, not in fp16" in examine_engines(bundle)[str(plan)]

    def test_a_bundle_without_engines(self, bundle: Bundle) -> None:
        assert examine_engines(bundle) == {}


class TestRefusals:
    def test_a_precision_that_the_bundle_does_not_have(self, bundle: Bundle) -> None:
        told: list[str] = []
        with pytest.raises(BundleError, match=r"has no int8-trt graph; it has: fp32, fp16\."):
            Machine().ensure(bundle, "int8", tell=told.append)
        assert told == []

    def test_no_driver(self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        """The real check runs, on a library that is not there; TensorRT is not even imported."""
        monkeypatch.setattr("edgeseg.engine.session.import_tensorrt", lambda: pytest.fail("imported"))
        monkeypatch.setattr("edgeseg.engine.driver.require_gpu.__defaults__", (0, no_library, "linux"))
        with pytest.raises(BackendUnavailable, match="no NVIDIA driver") as caught:
            open_session("tensorrt", bundle)
        assert caught.value.exit_code == 3

    def test_another_gpu_than_the_first_is_the_one_that_is_built_for(
        self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        chosen: list[int] = []
        monkeypatch.setattr("edgeseg.engine.store.Cuda", chosen.append)
        Machine().ensure(bundle)
        Machine(gpu=other_gpu(index=1)).ensure(bundle, "fp32")
        assert chosen == [1]

    def test_limits_for_a_graph_of_one_size(self, bundle: Bundle) -> None:
        sizes = EngineRecipe(camera_min=(8, 8), camera_opt=(8, 8), camera_max=(8, 8))
        with pytest.raises(ConfigError, match="24x32 alone"):
            Machine().ensure(bundle, recipe=sizes)


def test_the_sidecar_tells_what_was_built(bundle: Bundle) -> None:
    machine = Machine()
    machine.ensure(bundle, recipe=EngineRecipe(workspace_mib=256))
    value = json.loads(sidecar_path(bundle.path / "engines" / "fp16.plan").read_bytes())
    assert value["onnx_sha256"] == bundle.manifest.files["model.fp16.onnx"]
    assert (value["tensorrt"], value["gpu"], value["compute_capability"]) == ("10.3.0", "Orin", [8, 7])
    assert any("256" in step for step in value["steps"])
    assert value["seconds"] >= 0
    (graph,) = machine.tensorrt.called("OnnxParser.parse")
    assert graph[0] == tiny_graph(CAMERA_HW)
