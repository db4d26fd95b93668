"""The stand-in is as strict as what it stands in for: its names are a release's, no more and no fewer."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from fake_tensorrt import VERSIONS, Fake, NotFaked, Segfault
from make_tensorrt_names import releases

pytestmark = pytest.mark.trt_api


def fake_config(version: str) -> Any:
    trt: Any = Fake(version).module
    return trt.Builder(trt.Logger()).create_builder_config()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_of_the_release_is_there_and_no_other(version: str) -> None:
    trt, names = Fake(version).module, releases()[version]
    everywhere = {name for known in releases().values() for name in known}
    for name in everywhere:
        assert hasattr(trt, name) == (name in names), name
        members = names.get(name)
        if isinstance(members, dict):
            assert {m: e.value for m, e in getattr(trt, name).__members__.items()} == members
        if isinstance(members, list):
            for member in {member for known in releases().values() for member in known.get(name) or ()}:
                assert hasattr(getattr(trt, name), member) == (member in members or member == "__init__"), member


@pytest.mark.parametrize(
    ("there", "gone", "name"),
    [
        ("10.16.1.11", "11.0.0.114", "BuilderFlag.FP16"),
        ("10.16.1.11", "11.0.0.114", "IBuilderConfig.int8_calibrator"),
        ("10.3.0", "8.6.1", "IProgressMonitor"),
        ("10.16.1.11", "10.7.0", "HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY"),
    ],
)
def test_what_came_and_went(there: str, gone: str, name: str) -> None:
    def find(trt: ModuleType) -> Any:
        found: Any = trt
        for part in name.split("."):
            found = getattr(found, part)
        return found

    find(Fake(there).module)
    with pytest.raises(AttributeError, match=name.rpartition(".")[2]):
        find(Fake(gone).module)


def test_numbers_of_enums_shift_and_members_are_no_integers() -> None:
    found: list[Any] = [Fake(version).module.BuilderFlag.VERSION_COMPATIBLE for version in VERSIONS]
    assert len({flag.value for flag in found}) > 1
    with pytest.raises(TypeError):
        1 << found[0]


class TestObjects:
    def test_setting_what_a_release_lacks_fails(self) -> None:
        fake_config("10.3.0").progress_monitor = None
        with pytest.raises(AttributeError, match="progress_monitor"):
            fake_config("8.6.1").progress_monitor = None
        with pytest.raises(AttributeError, match="builder_optimisation_level"):
            fake_config("10.3.0").builder_optimisation_level = 5

    def test_a_derived_class_has_to_call_the_init_of_its_base(self) -> None:
        trt: Any = Fake("10.3.0").module

        class Silent(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                self.lines: list[str] = []

        with pytest.raises(TypeError, match="must be called"):
            Silent()

    def test_what_is_not_played_says_so(self) -> None:
        with pytest.raises(NotFaked, match=r"IBuilderConfig\.max_aux_streams"):
            _ = fake_config("10.3.0").max_aux_streams


class TestWithoutADriver:
    def test_a_builder_raises_and_a_runtime_ends_the_process(self) -> None:
        fake = Fake("10.3.0")
        fake.driver = False
        trt: Any = fake.module
        with pytest.raises(TypeError, match="factory function returned nullptr"):
            trt.Builder(trt.Logger())
        runtime = trt.Runtime(trt.Logger())
        with pytest.raises(Segfault):
            runtime.deserialize_cuda_engine(fake.plan())


class TestBuilds:
    @pytest.mark.parametrize(("version", "flags"), [("10.3.0", 2), ("11.4.0.106", 0)])
    def test_precision_flags_and_strong_typing_exclude_each_other(self, version: str, flags: int) -> None:
        fake = Fake(version)
        trt: Any = fake.module
        builder = trt.Builder(trt.Logger())
        network, config = builder.create_network(flags), builder.create_builder_config()
        assert builder.build_serialized_network(network, config) is not None
        if version == "10.3.0":
            config.set_flag(trt.BuilderFlag.FP16)
            assert builder.build_serialized_network(network, config) is None

    def test_the_plan_of_another_release_is_none(self) -> None:
        old, new = Fake("10.3.0"), Fake("10.7.0")
        trt: Any = new.module
        assert trt.Runtime(trt.Logger()).deserialize_cuda_engine(old.plan()) is None
        assert trt.Runtime(trt.Logger()).deserialize_cuda_engine(new.plan()) is not None
        assert new.deserialized == 2
