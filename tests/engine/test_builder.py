"""Building engines on a fake TensorRT: what comes out, what goes wrong as in the real one, watching and stopping."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_driver import ORIN, RTX_4070
from fake_tensorrt import VERSIONS, Fake, Tensor

from edgeseg.engine import timing_cache
from edgeseg.engine.builder import BuiltEngine, build
from edgeseg.engine.layers import read_layers
from edgeseg.engine.progress import Progress, Watch, interrupts
from edgeseg.engine.recipe import EngineRecipe
from edgeseg.engine.timing_cache import read_timing_cache, timing_cache_path
from edgeseg.errors import BackendUnavailable, CancelledError, ConfigError, InputError

WATCHABLE = VERSIONS[1:]
"""Releases with a progress monitor."""


def built(fake: Fake, recipe: EngineRecipe | None = None, **settings: Any) -> BuiltEngine:
    return build(b"graph", recipe or EngineRecipe(), trt=fake.module, gpu=settings.pop("gpu", ORIN), **settings)


@pytest.mark.trt_api
@pytest.mark.parametrize("version", VERSIONS)
class TestEveryRelease:
    def test_a_raw_plan_and_how_it_came_about(self, version: str) -> None:
        fake = Fake(version)
        fake.build_warning = "Unused input:\n  tail"
        ticks = iter((10.0, 72.5))
        engine = built(fake, clock=lambda: next(ticks))
        assert engine.plan_bytes == fake.plan(b"graph")
        assert engine.seconds == 62.5
        assert engine.warnings == ("Unused input: tail",)
        assert fake.deserialized == 0

    def test_layers_are_listed_where_they_were_asked_for(self, version: str) -> None:
        fake = Fake(version)
        engine = built(fake, EngineRecipe(detailed_profiling=True))
        assert engine.layers == ({"Name": "conv1", "LayerType": "Convolution", "Precision": "Half"},)
        verbosity = fake.called("IBuilderConfig.profiling_verbosity")[0][0]
        assert verbosity.name == "DETAILED"

    def test_no_driver_is_explained(self, version: str) -> None:
        fake = Fake(version)
        fake.driver = False
        with pytest.raises(BackendUnavailable, match="finds no NVIDIA driver") as raised:
            built(fake)
        assert raised.value.exit_code == 3
        assert "nullptr" not in str(raised.value)

    def test_a_node_that_the_parser_refuses_is_named(self, version: str) -> None:
        fake = Fake(version)
        fake.parser_errors = [
            {
                "desc": "Assertion failed:\n no MaxUnpool",
                "node": 7,
                "node_name": "unpool",
                "node_operator": "MaxUnpool",
            },
            {"desc": "and so on"},
        ]
        with pytest.raises(InputError) as raised:
            built(fake)
        named = "node 7" if version == "8.6.1" else "node 'unpool' (MaxUnpool)"
        assert f"cannot read the graph: {named}: Assertion failed: no MaxUnpool. Try: edgeseg lint" in str(raised.value)

    def test_a_graph_with_open_sizes_and_no_profile_is_explained(self, version: str) -> None:
        fake = Fake(version)
        fake.tensors = [Tensor("frame", "UINT8", (1, -1, -1, 3), True)]
        with pytest.raises(InputError, match=r"could not build the fp16 engine: .*no optimization profile"):
            built(fake)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("[checkSanity.cpp::checkLinks::218] Error Code 2: Internal Error", "a defect of TensorRT up to 10.6"),
        ("Error Code 2: OutOfMemory (Requested size was 1073741824 bytes.)", "smaller workspace_mib"),
        ("Error Code 10: Could not find any implementation for node conv1", "more workspace_mib"),
        ("something\nelse", "something else"),
    ],
)
def test_what_a_failed_build_means(said: str, meant: str) -> None:
    fake = Fake("10.3.0")
    fake.build_error = said
    with pytest.raises(InputError, match=meant) as raised:
        built(fake)
    assert "\n" not in str(raised.value)


class TestTimingCache:
    def test_it_is_kept_and_used_again(self, tmp_path: Path) -> None:
        first, second = Fake("10.3.0"), Fake("10.3.0")
        built(first, timing_cache=tmp_path)
        built(second, timing_cache=tmp_path)
        assert first.called("IBuilderConfig.create_timing_cache") == [(b"",)]
        assert second.called("IBuilderConfig.create_timing_cache") == [(b"timed;",)]
        (kept,) = tmp_path.iterdir()
        assert kept.name == "tensorrt-10.3.0_Orin_sm87x8.timing"
        assert kept.read_bytes() == b"timed;timed;"

    def test_each_release_and_gpu_has_its_own(self, tmp_path: Path) -> None:
        for version in ("10.3.0", "10.7.0"):
            for gpu in (ORIN, RTX_4070):
                built(Fake(version), timing_cache=tmp_path, gpu=gpu)
        assert len(list(tmp_path.iterdir())) == 4
        assert timing_cache_path(tmp_path, "10.3.0", RTX_4070).name == (
            "tensorrt-10.3.0_NVIDIA-GeForce-RTX-4070_sm89x46.timing"
        )

    def test_another_devices_is_measured_anew(self, tmp_path: Path) -> None:
        path = timing_cache_path(tmp_path, "10.3.0", ORIN)
        path.write_bytes(b"foreign")
        fake = Fake("10.3.0")
        fake.reads_timing_cache = False
        built(fake, timing_cache=tmp_path)
        assert fake.called("IBuilderConfig.create_timing_cache") == [(b"foreign",), (b"",)]
        assert path.read_bytes() == b"timed;"

    def test_a_recipe_without_one_leaves_the_folder_alone(self, tmp_path: Path) -> None:
        fake = Fake("10.3.0")
        built(fake, EngineRecipe(timing_cache=False), timing_cache=tmp_path)
        assert fake.called("IBuilderConfig.set_timing_cache") == []
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_cannot_be_written_to_costs_only_the_cache(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("no folder")
        engine = built(Fake("10.3.0"), timing_cache=tmp_path / "file")
        assert "the timing cache is not kept" in engine.warnings[0]

    def test_a_huge_file_is_not_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "cache").write_bytes(b"12345")
        monkeypatch.setattr(timing_cache, "MAX_BYTES", 4)
        assert read_timing_cache(tmp_path / "cache") == b""


class TestCalibrationCache:
    def test_the_scales_reach_tensorrt(self, tmp_path: Path) -> None:
        path = tmp_path / "scales.cache"
        path.write_bytes(b"TRT-100300-EntropyCalibration2\nconv1: 3c010a14\n")
        fake = Fake("10.3.0")
        fake.dla_cores = 1
        engine = built(fake, EngineRecipe(precision="int8", dla_core=0, calibration_cache=str(path)))
        assert fake.calibration == path.read_bytes()
        assert engine.fallback == ("cast_frame", "conv1", "argmax")

    def test_another_file_is_refused_before_the_build(self, tmp_path: Path) -> None:
        path = tmp_path / "scales.cache"
        for content, message in ((None, "cannot be read"), (b"\x08\x09", "expected a first line such as TRT-")):
            if content is not None:
                path.write_bytes(content)
            fake = Fake("10.3.0")
            with pytest.raises(ConfigError, match=message):
                built(fake, EngineRecipe(precision="int8", dla_core=0, calibration_cache=str(path)))
            assert fake.calls == []


class TestWatching:
    @pytest.mark.trt_api
    @pytest.mark.parametrize("version", WATCHABLE)
    def test_progress_grows_to_one(self, version: str) -> None:
        told: list[Progress] = []
        built(Fake(version), progress=told.append)
        fractions = [progress.fraction for progress in told]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0
        assert len(set(fractions)) >= 4
        assert {progress.phase for progress in told} == {"Building", "Tactics"}

    def test_8_6_tells_none_and_says_so(self) -> None:
        told: list[Progress] = []
        engine = built(Fake("8.6.1"), progress=told.append)
        assert told == []
        assert any("tells no progress" in text for text in engine.plan.warnings)

    def test_inner_phases_count_within_a_step_of_the_outer_one(self) -> None:
        told: list[float] = []
        watch = Watch(lambda progress: told.append(round(progress.fraction, 3)), lambda: False)
        watch.start("outer", None, 2)
        watch.start("inner", "outer", 4)
        for step in range(4):
            watch.step("inner", step)
        watch.finish("inner")
        watch.step("outer", 0)
        watch.step("outer", 1)
        watch.step("never begun", 0)
        assert told == [0.125, 0.25, 0.375, 0.5, 0.5, 1.0, 1.0]


@pytest.mark.trt_api
@pytest.mark.parametrize("version", WATCHABLE)
class TestStopping:
    def test_a_callable_stops_it_and_nothing_is_written(self, version: str, tmp_path: Path) -> None:
        fake = Fake(version)
        with pytest.raises(CancelledError, match="was cancelled; nothing was written"):
            built(fake, cancelled=lambda: True, timing_cache=tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_what_progress_raises_stops_it_and_comes_out(self, version: str) -> None:
        def broken(_: Progress) -> None:
            raise BrokenPipeError

        with pytest.raises(BrokenPipeError):
            built(Fake(version), progress=broken)

    def test_ctrl_c_while_tensorrt_calls_python(self, version: str, tmp_path: Path) -> None:
        def pressed(_: Progress) -> None:
            signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            built(Fake(version), progress=pressed, timing_cache=tmp_path)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.usefixtures("without_keyboard_interrupt")
    def test_ctrl_c_while_the_main_thread_sits_in_tensorrt(self, version: str, tmp_path: Path) -> None:
        """The phases come from another thread, where Python raises nothing: the signal itself stops the build."""
        fake = Fake(version)
        fake.during_build = lambda: signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            built(fake, timing_cache=tmp_path)
        assert list(tmp_path.iterdir()) == []


@pytest.fixture
def without_keyboard_interrupt() -> Any:
    """SIGINT does nothing in Python, as while the main thread runs none of it."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    yield
    signal.signal(signal.SIGINT, before)


class TestInterrupts:
    @pytest.mark.usefixtures("without_keyboard_interrupt")
    def test_they_are_seen_from_another_thread_and_stay_seen(self) -> None:
        with interrupts() as pressed:
            assert not pressed()
            signal.raise_signal(signal.SIGINT)
            assert (from_thread(pressed), pressed()) == (True, True)

    def test_what_listened_before_listens_again(self) -> None:
        before = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(before)
        with interrupts():
            pass
        assert signal.set_wakeup_fd(before) == before

    def test_outside_the_main_thread_nothing_is_seen(self) -> None:
        def ask() -> bool:
            with interrupts() as pressed:
                return pressed()

        assert from_thread(ask) is False


def from_thread(call: Callable[[], bool]) -> bool:
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(call()))
    thread.start()
    thread.join()
    return answers[0]


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ('{"Layers": [{"Name": "a", "LayerType": "DLA"}, {"LayerType": "NoOp"}]}', ["a", "layer 1"]),
        ('{"Layers": ["a", "b"], "Bindings": ["frame"]}', ["a", "b"]),
        ('{"Layers": {}}', []),
        ("[]", []),
        ("", []),
        ("no JSON", []),
    ],
)
def test_the_inspectors_answer_with_and_without_details(text: str, layers: list[str]) -> None:
    assert [layer["Name"] for layer in read_layers(text)] == layers
