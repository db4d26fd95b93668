"""Build plans, and their application, against the names of real TensorRT releases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_tensorrt import VERSIONS, Fake, Tensor
from make_tensorrt_names import packaged, releases

from edgeseg.bundle import Contract
from edgeseg.engine import capabilities
from edgeseg.engine.apply import Applied, Materials, apply
from edgeseg.engine.capabilities import TOUCHED, Capabilities, for_version, probe
from edgeseg.engine.devices import DEVICES, find_device
from edgeseg.engine.log import Log
from edgeseg.engine.plan import plan
from edgeseg.engine.progress import Watch
from edgeseg.engine.recipe import EngineRecipe, read_recipe
from edgeseg.engine.steps import NEEDS, BuildPlan
from edgeseg.engine.versions import Version, opset_ceiling, parse
from edgeseg.errors import ConfigError, EdgesegError, UnavailableError

HW = (24, 32)
ZEROS, ONES = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
STATIC = Contract.of(HW, HW, ZEROS, ONES)
DYNAMIC = Contract.of(None, HW, ZEROS, ONES)
SIZES: dict[str, Any] = {"camera_min": (24, 32), "camera_opt": (480, 640), "camera_max": (1080, 1920)}
OPEN_SIZES = (Tensor("frame", "UINT8", (1, -1, -1, 3), True), Tensor("labels", "UINT8", (1, -1, -1), False))

RECIPES: dict[str, EngineRecipe] = {
    "fp32": EngineRecipe(precision="fp32"),
    "fp16": EngineRecipe(),
    "int8": EngineRecipe(precision="int8"),
    "tf32, no cache": EngineRecipe(precision="fp32", tf32=True, timing_cache=False),
    "sizes": EngineRecipe(**SIZES),
    "everything": EngineRecipe(
        workspace_mib=64,
        optimization_level=5,
        version_compatible=True,
        hardware_compatibility="ampere_plus",
        detailed_profiling=True,
        **SIZES,
    ),
    "same compute capability": EngineRecipe(hardware_compatibility="same_compute_capability"),
    "dla fp16": EngineRecipe(dla_core=0),
    "dla int8": EngineRecipe(precision="int8", dla_core=1),
    "dla int8 by scales": EngineRecipe(precision="int8", dla_core=1, calibration_cache="scales.cache"),
}

REFUSED = {
    "same compute capability": ("8.6.1", "10.3.0", "10.7.0"),
    "dla fp16": ("10.16.1.11", "11.0.0.114", "11.4.0.106"),
    "dla int8": VERSIONS,
    "dla int8 by scales": ("10.16.1.11", "11.0.0.114", "11.4.0.106"),
}
"""Recipe → releases that do not have what it wants."""


def offered(version: str) -> Capabilities:
    return probe(Fake(version).module)


def planned(name: str, version: str, has: Capabilities | None = None) -> BuildPlan:
    recipe = RECIPES[name]
    contract = STATIC if recipe.profile is None else DYNAMIC
    return plan(recipe, has or offered(version), DEVICES["orin"], contract)


def applied(fake: Fake, made: BuildPlan) -> Applied:
    fake.dla_cores, fake.dla_layers = 2, ["conv1"]
    if made.step("profile"):
        fake.tensors = OPEN_SIZES
    watch = Watch(None, lambda: False)
    return apply(made, fake.module, Materials(b"graph", Log(), watch, b"kept;", b"TRT-100300-EntropyCalibration2"))


CASES = [(version, name) for version in VERSIONS for name in RECIPES if version not in REFUSED.get(name, ())]


@pytest.mark.trt_api
@pytest.mark.parametrize(("version", "name"), CASES)
class TestEveryRelease:
    def test_the_plan_touches_only_what_the_release_has(self, version: str, name: str) -> None:
        names = releases()[version]
        for dotted in planned(name, version).touches:
            owner, _, member = dotted.partition(".")
            assert member in names[owner], dotted

    def test_it_is_built_and_nothing_is_touched_that_the_plan_does_not_say(self, version: str, name: str) -> None:
        fake, made = Fake(version), planned(name, version)
        result = applied(fake, made)
        assert result.plan_bytes == fake.plan(b"graph")
        assert {called for called, _ in fake.calls} <= made.touches
        assert result.timing_cache == (b"kept;timed;" if RECIPES[name].timing_cache else b"")

    def test_it_holds_no_numbers_of_enums(self, version: str, name: str) -> None:
        for step in planned(name, version).steps:
            for key, value in step.arguments.items():
                assert isinstance(value, str) or key in ("mib", "level", "core", "min", "opt", "max"), step


@pytest.mark.trt_api
@pytest.mark.parametrize(("name", "version"), [(name, version) for name, olds in REFUSED.items() for version in olds])
def test_what_a_release_does_not_have_is_refused(name: str, version: str) -> None:
    with pytest.raises((UnavailableError, ConfigError), match=r"TensorRT \d+\.\d+"):
        planned(name, version)


@pytest.mark.trt_api
@pytest.mark.parametrize("version", VERSIONS)
class TestARemovedName:
    """A name is planted as gone, as NVIDIA removed others: nothing may reach for it unasked."""

    def test_the_plan_leaves_it_out_or_says_that_it_is_missing(self, version: str) -> None:
        for removed in planned("everything", version).touches:
            fake = Fake(version, without=[removed])
            refused, made = "", None
            try:
                made = planned("everything", version, probe(fake.module))
            except UnavailableError as error:
                refused = str(error)
            if made is None:
                assert removed in refused
            else:
                assert removed not in made.touches
                assert applied(fake, made).plan_bytes is not None

    def test_a_plan_that_was_made_before_it_was_gone_fails_by_name(self, version: str) -> None:
        made = planned("everything", version)
        whole = Fake(version)
        applied(whole, made)
        enums = {name for name in made.touches if isinstance(releases()[version][name.partition(".")[0]], dict)}
        called = {name for name, _ in whole.calls}
        assert len(enums) >= 4
        assert len(called) >= 15
        for removed in enums | called:
            with pytest.raises(UnavailableError, match=removed.partition(".")[2]):
                applied(Fake(version, without=[removed]), made)


@pytest.mark.trt_api
class TestPrecision:
    @pytest.mark.parametrize(
        ("version", "flags"),
        [("8.6.1", 1), ("10.3.0", 2), ("10.7.0", 2), ("10.16.1.11", 2), ("11.0.0.114", 0), ("11.4.0.106", 0)],
    )
    def test_networks_are_strongly_typed_from_10_on(self, version: str, flags: int) -> None:
        """8.6 takes explicit batch (bit 0), 10 strongly typed (bit 1), 11 nothing: it knows no other way."""
        fake = Fake(version)
        made = planned("int8", version)
        applied(fake, made)
        assert fake.called("Builder.create_network") == [(flags,)]
        assert made.strongly_typed == (version != "8.6.1")
        assert made.graph == "int8-trt"

    def test_8_6_has_flags_and_a_warning(self) -> None:
        for name, flags in {"fp32": [], "fp16": ["FP16"], "int8": ["FP16", "INT8"]}.items():
            fake, made = Fake("8.6.1"), planned(name, "8.6.1")
            applied(fake, made)
            assert [flag.name for (flag,) in fake.called("IBuilderConfig.set_flag")] == flags
            assert "best effort" in made.warnings[0]

    def test_from_10_on_there_are_no_precision_flags_and_no_warning(self) -> None:
        for version in VERSIONS[1:4]:
            fake, made = Fake(version), planned("int8", version)
            applied(fake, made)
            assert fake.called("IBuilderConfig.set_flag") == []
            assert made.warnings == ()

    def test_fp32_is_not_rounded_to_tf32_unless_asked(self) -> None:
        fake = Fake("11.4.0.106")
        applied(fake, planned("fp32", "11.4.0.106"))
        assert [flag.name for (flag,) in fake.called("IBuilderConfig.clear_flag")] == ["TF32"]
        assert planned("tf32, no cache", "11.4.0.106").step("clear flag") is None


@pytest.mark.trt_api
class TestDla:
    def test_up_to_10_7_it_takes_flags_fallback_and_the_fp16_graph(self) -> None:
        fake, made = Fake("10.3.0"), planned("dla fp16", "10.3.0")
        result = applied(fake, made)
        assert [flag.name for (flag,) in fake.called("IBuilderConfig.set_flag")] == ["FP16", "GPU_FALLBACK"]
        assert fake.called("IBuilderConfig.default_device_type")[0][0].name == "DLA"
        assert fake.called("IBuilderConfig.DLA_core") == [(0,)]
        assert fake.called("Builder.create_network") == [(0,)]
        assert (made.graph, made.strongly_typed) == ("fp16", False)
        assert any("verify" in warning for warning in made.warnings)
        assert result.fallback == ("cast_frame", "argmax")

    def test_int8_takes_the_fp32_graph_and_the_scales(self) -> None:
        fake, made = Fake("10.7.0"), planned("dla int8 by scales", "10.7.0")
        applied(fake, made)
        assert made.graph == "fp32"
        assert fake.calibration == b"TRT-100300-EntropyCalibration2"
        assert [flag.name for (flag,) in fake.called("IBuilderConfig.set_flag")] == ["FP16", "INT8", "GPU_FALLBACK"]

    def test_from_11_4_1_on_it_is_strongly_typed_and_the_parser_helps(self) -> None:
        made = plan(RECIPES["dla int8"], for_version("11.4.1"), DEVICES["orin"], STATIC)
        assert (made.graph, made.strongly_typed) == ("int8-trt", True)
        fake = Fake("11.4.0.106")
        applied(fake, made)
        assert [flag.name for (flag,) in fake.called("OnnxParser.set_flag")] == ["ADJUST_FOR_DLA"]
        assert [flag.name for (flag,) in fake.called("IBuilderConfig.set_flag")] == ["GPU_FALLBACK"]

    def test_from_11_4_1_on_nvidia_names_the_agx_orin_alone(self) -> None:
        for device, warned in {"orin": False, "orin-nx": True}.items():
            made = plan(RECIPES["dla fp16"], for_version("11.4.1"), DEVICES[device], STATIC)
            assert any("AGX Orin alone" in text for text in made.warnings) == warned

    def test_a_machine_without_such_a_core_is_told_so(self) -> None:
        fake, made = Fake("10.3.0"), planned("dla int8 by scales", "10.3.0")
        watch = Watch(None, lambda: False)
        fake.dla_cores = 1
        with pytest.raises(UnavailableError, match="finds 1 DLA cores here, so there is no core 1"):
            apply(made, fake.module, Materials(b"graph", Log(), watch))


@pytest.mark.trt_api
class TestShapes:
    @pytest.mark.parametrize("version", VERSIONS)
    def test_a_graph_for_any_size_gets_a_profile(self, version: str) -> None:
        fake, made = Fake(version), planned("sizes", version)
        applied(fake, made)
        asked = ("frame", (1, 24, 32, 3), (1, 480, 640, 3), (1, 1080, 1920, 3))
        assert fake.called("IOptimizationProfile.set_shape") == [asked]
        assert made.sizes == ((24, 32), (480, 640), (1080, 1920))

    def test_even_if_it_shall_take_only_one(self) -> None:
        one = EngineRecipe(camera_min=HW, camera_opt=HW, camera_max=HW)
        assert plan(one, offered("10.3.0"), DEVICES["orin"], DYNAMIC).step("profile") is not None

    def test_a_graph_for_one_size_gets_none(self) -> None:
        made = planned("fp16", "10.3.0")
        assert made.step("profile") is None
        assert made.sizes == (HW, HW, HW)

    def test_what_does_not_fit_the_graph_is_refused(self) -> None:
        has = offered("10.3.0")
        with pytest.raises(ConfigError, match="frames of 24x32 alone"):
            plan(RECIPES["sizes"], has, DEVICES["orin"], STATIC)
        with pytest.raises(ConfigError, match="any size, and TensorRT wants limits"):
            plan(EngineRecipe(), has, DEVICES["orin"], DYNAMIC)
        with pytest.raises(ConfigError, match="DLA takes frames of one size"):
            plan(EngineRecipe(dla_core=0, **SIZES), has, DEVICES["orin"], DYNAMIC)


@pytest.mark.parametrize(
    ("recipe", "version", "device", "error", "message"),
    [
        ({}, "10.2.0", "orin", UnavailableError, "known bad: .*libnvinfer_builder_resource_win"),
        ({}, "10.2", "orin", UnavailableError, "known bad"),
        ({}, "10.3", "thor", UnavailableError, "does not know Jetson AGX Thor; 10.13 is the first"),
        ({}, "10.7", "rtx50", UnavailableError, "10.8 is the first"),
        ({"dla_core": 0}, "10.3", "orin-nano", UnavailableError, "Orin Nano has no DLA"),
        ({"dla_core": 2}, "10.3", "orin", ConfigError, "has cores 0 to 1"),
        (
            {"dla_core": 0},
            "11.4",
            "orin",
            UnavailableError,
            "10.7 was the last 10.x with it, and it is back from 11.4.1",
        ),
        ({"dla_core": 0, "precision": "fp32"}, "10.3", "orin", ConfigError, "computes in FP16 and INT8"),
        (
            {"dla_core": 0, "precision": "int8"},
            "10.3",
            "orin",
            ConfigError,
            "takes its scales from a calibration cache",
        ),
        ({"calibration_cache": "c", "precision": "int8"}, "10.3", "orin", ConfigError, "is for DLA"),
        ({"dla_core": 0, "calibration_cache": "c"}, "10.3", "orin", ConfigError, "holds INT8 scales"),
        (
            {"dla_core": 0, "calibration_cache": "c", "precision": "int8"},
            "11.4.1",
            "orin",
            ConfigError,
            "reads no calibration cache",
        ),
        ({"hardware_compatibility": "ampere_plus"}, "10.3", "rtx20", UnavailableError, "wants compute capability 8.0"),
    ],
)
def test_refusals_say_why(
    recipe: dict[str, Any], version: str, device: str, error: type[EdgesegError], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        plan(EngineRecipe(**recipe), for_version(version), find_device(device), STATIC)
    assert "\n" not in str(raised.value)


class TestWarnings:
    def test_a_jetson_has_no_11_before_11_4_1(self) -> None:
        for version, warned in {"10.3": False, "10.16": False, "11.0": True, "11.4": True, "11.4.1": False}.items():
            made = plan(EngineRecipe(), for_version(version), DEVICES["orin"], STATIC)
            assert any("on Jetson" in text for text in made.warnings) == warned, version
            made = plan(EngineRecipe(), for_version(version), DEVICES["rtx40"], STATIC)
            assert not any("on Jetson" in text for text in made.warnings)

    def test_an_opset_above_the_parsers(self) -> None:
        for version, warned in {"8.6": True, "10.3": False, "11.4": False}.items():
            made = plan(EngineRecipe(), for_version(version), DEVICES["any"], STATIC, opset=20)
            assert any("opset 20" in text for text in made.warnings) == warned, version

    def test_a_release_that_was_not_read(self) -> None:
        made = plan(EngineRecipe(), for_version("10.5.0"), DEVICES["any"], STATIC)
        assert made.tensorrt == "10.5.0"
        assert made.warnings == ("TensorRT 10.5.0 was not read; planned with the names of 10.3.0",)


class TestReadable:
    def test_11_4_on_an_orin(self) -> None:
        made = plan(EngineRecipe(), for_version("11.4"), DEVICES["orin"], STATIC)
        lines = made.lines()
        assert lines[:2] == [
            "TensorRT 11.4.0, Jetson AGX Orin (compute capability 8.7)",
            "fp16, from the bundle's fp16 graph, strongly typed, frames 24x32",
        ]
        assert [str(step) for step in made.steps] == [
            "create network",
            "parse",
            "create config",
            "clear flag: BuilderFlag.TF32",
            "memory limit: MemoryPoolType.WORKSPACE, mib 4096",
            "timing cache",
            "progress",
            "build",
        ]
        assert lines[-1].startswith("warning: NVIDIA supports no TensorRT 11.4.0 on Jetson")

    def test_10_3_differs_where_it_must(self) -> None:
        new = plan(EngineRecipe(), for_version("11.4"), DEVICES["orin"], STATIC)
        old = plan(EngineRecipe(), for_version("10.3"), DEVICES["orin"], STATIC)
        differing = [(str(a), str(b)) for a, b in zip(new.steps, old.steps, strict=True) if str(a) != str(b)]
        flag = "NetworkDefinitionCreationFlag.STRONGLY_TYPED"
        assert differing == [("create network", f"create network: {flag}")]
        assert old.warnings == ()
        assert f" 1. create network: {flag}  types are the graph's" in "\n".join(old.lines())

    def test_each_step_has_a_line_with_its_reason(self) -> None:
        made = plan(RECIPES["everything"], for_version("10.7"), DEVICES["rtx40"], DYNAMIC)
        text = "\n".join(made.lines())
        assert all(f"{step}" in text and step.reason in text for step in made.steps)
        assert "frames 24x32 to 480x640 to 1080x1920" in text
        assert len(made.lines()) == 3 + len(made.steps)


class TestCapabilities:
    @pytest.mark.trt_api
    @pytest.mark.parametrize("version", sorted(releases()))
    def test_the_packaged_table_is_what_the_release_offers(self, version: str) -> None:
        known = for_version(str(parse(version)))
        assert known.names == offered(version).names
        assert known.version == offered(version).version
        assert known.assumed_from is None

    def test_the_packaged_table_is_as_the_script_writes_it(self) -> None:
        assert json.loads(capabilities.PACKAGED.read_text()) == packaged(releases())

    def test_names_of_enums_and_classes(self) -> None:
        has = offered("10.3.0")
        assert has.offers("BuilderFlag.FP16", "IBuilderConfig.progress_monitor")
        assert not has.offers("BuilderFlag.FP16", "HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY")
        with pytest.raises(KeyError, match="nobody has looked"):
            has.offers("BuilderFlag.BF16")

    def test_every_name_that_a_step_may_take_is_looked_for(self) -> None:
        assert {name for names in NEEDS.values() for name in names} <= set(TOUCHED)

    def test_the_nearest_older_release_of_the_same_major(self) -> None:
        for asked, found in {"10.16": None, "10.2.0": "10.0.1", "10.99": "10.16.1", "11.5": "11.4.0"}.items():
            assumed = for_version(asked).assumed_from
            assert (None if assumed is None else str(assumed)) == found

    @pytest.mark.parametrize(
        ("text", "message"),
        [("8.5", "too old"), ("7.1.3", "too old"), ("12.0", "is not known here"), ("eleven", "not a TensorRT version")],
    )
    def test_other_majors_and_words(self, text: str, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            for_version(text)


class TestVersions:
    def test_the_build_number_and_suffixes_are_left_out(self) -> None:
        assert parse("10.16.1.11") == Version(10, 16, 1)
        assert parse("8.6.1.post1") == Version(8, 6, 1)
        assert str(parse("10.3")) == "10.3"

    def test_order(self) -> None:
        assert Version(10, 3, 0) < Version(10, 3) < Version(10, 16, 1) < Version(11, 0, 0)

    def test_opset_ceilings(self) -> None:
        found = {text: opset_ceiling(parse(text)) for text in ("8.6.1", "10.3", "10.6", "10.14", "10.15", "11.4")}
        assert found == {"8.6.1": 17, "10.3": 20, "10.6": 22, "10.14": 22, "10.15": 24, "11.4": 25}


class TestRecipe:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"precision": "bf16"}, "precision='bf16'"),
            ({"workspace_mib": 0}, "workspace_mib=0"),
            ({"dla_core": -1}, "dla_core=-1"),
            ({"optimization_level": 6}, "expected 0 to 5"),
            ({"hardware_compatibility": "all"}, "hardware_compatibility='all'"),
            ({"camera_min": (24, 32)}, "give all three, or none"),
            ({**SIZES, "camera_opt": (480, 16)}, "camera_min 24x32, camera_opt 480x16"),
        ],
    )
    def test_checked_at_birth(self, settings: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            EngineRecipe(**settings)

    def test_int8_has_two_names(self) -> None:
        assert EngineRecipe(precision="int8").graph == EngineRecipe(precision="int8-trt").graph == "int8-trt"

    def test_from_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "orin.toml"
        path.write_text('[export]\nfp16 = true\n[engine]\nprecision = "int8"\nworkspace_mib = 512\n')
        assert read_recipe(path) == EngineRecipe(precision="int8", workspace_mib=512)
        path.write_text("[engine]\nworkspace = 512\n")
        with pytest.raises(ConfigError, match=r"orin.toml: unknown key engine.workspace; known here: .*workspace_mib"):
            read_recipe(path)
        path.write_text("[export]\nfp16 = true\n")
        with pytest.raises(ConfigError, match=r"no table \[engine\]"):
            read_recipe(path)

    def test_a_device_that_is_not_known(self) -> None:
        with pytest.raises(ConfigError, match="known: any, orin-nano"):
            find_device("tx2")
