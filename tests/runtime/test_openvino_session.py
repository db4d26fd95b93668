"""OpenVINO: its seam against a stand-in, and the real one where it is installed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fake_openvino import FakeOpenvino
from tiny_bundle import brightest_channel, darkest_channel, noise, tiny_bundle, tiny_graph

from edgeseg.bundle import Bundle
from edgeseg.errors import BackendUnavailable, ConfigError, InputError
from edgeseg.runtime.openvino import OpenVinoSession
from edgeseg.runtime.session import open_session
from edgeseg.runtime.verify import verify_bundle
from edgeseg.types import INVALID, graph_precision

Install = Callable[..., FakeOpenvino]

FP32 = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGESEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    operators = dict.fromkeys(("fp32", "fp16", "int8-cpu", "int8-trt"), "ArgMax")
    return tiny_bundle(tmp_path / "a.edgeseg", (24, 32), operators=operators)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    def install(**how: object) -> FakeOpenvino:
        fake = FakeOpenvino(**{"labels": brightest_channel, **how})  # type: ignore[arg-type]
        monkeypatch.setitem(sys.modules, "openvino", fake)
        return fake

    return install


class TestSeam:
    def test_labels_and_specs(self, install: Install) -> None:
        frame = noise(np.random.default_rng(3))
        fake = install()
        with OpenVinoSession(b"graph", threads=2) as session:
            assert np.array_equal(session.run(frame[np.newaxis])[0], brightest_channel(frame))
            assert (session.backend, session.inputs.shape, session.outputs.shape, session.confidence) == (
                "openvino",
                (1, 24, 32, 3),
                (1, 24, 32),
                None,
            )
            with pytest.raises(InputError, match=r"expected frame: uint8 \(1, 24, 32, 3\)"):
                session.run(np.zeros((1, 24, 33, 3), np.uint8))
        assert fake.compiled == [{**FP32, "INFERENCE_NUM_THREADS": "2"}]
        assert fake.shared == [True, False]
        session.close()
        with pytest.raises(InputError, match="was closed"):
            session.run(frame[np.newaxis])

    @pytest.mark.parametrize(("precision", "hint"), [("fp32", "f32"), ("fp16", "f16"), ("int8", "f32")])
    def test_the_graph_says_the_precision_and_bfloat16_is_never_left_to_it(
        self, install: Install, bundle: Bundle, precision: str, hint: str
    ) -> None:
        fake = install(capabilities=("FP32", "FP16", "BF16"))
        open_session("openvino", bundle, precision=precision).close()
        assert fake.compiled[0]["INFERENCE_PRECISION_HINT"] == hint
        assert "INFERENCE_NUM_THREADS" not in fake.compiled[0]
        assert graph_precision("int8", "openvino") == "int8-cpu"

    def test_float16_is_not_asked_of_a_processor_without_it(self, install: Install, bundle: Bundle) -> None:
        fake = install()
        open_session("openvino", bundle, precision="fp16").close()
        assert fake.compiled == [FP32]

    def test_what_goes_wrong_is_one_line(self, install: Install) -> None:
        told = "Exception from src/inference/src/cpp/core.cpp:105:\nUnable to read\n the model.\n\n"
        install(fails_to_load=told)
        with pytest.raises(InputError, match=r"^openvino 2026\.1 cannot load road\.onnx: Unable to read the model\.$"):
            OpenVinoSession(b"graph", name="road.onnx")
        install(fails_to_run="\n")
        with pytest.raises(InputError, match=r"failed on a frame of \(1, 24, 32, 3\): RuntimeError$"):
            OpenVinoSession(b"graph").run(np.zeros((1, 24, 32, 3), np.uint8))
        install(frame_type=np.float32)
        with pytest.raises(InputError, match=r"not a sealed graph.*found frame: float32 \(1, 24, 32, 3\)"):
            OpenVinoSession(b"graph")
        with pytest.raises(ConfigError, match="threads=0"):
            OpenVinoSession(b"graph", threads=0)

    def test_without_it_the_message_is_an_install_command(
        self, monkeypatch: pytest.MonkeyPatch, bundle: Bundle
    ) -> None:
        monkeypatch.setitem(sys.modules, "openvino", None)
        with pytest.raises(BackendUnavailable, match=r"pip install 'edgeseg\[openvino\]'"):
            open_session("openvino", bundle)
        monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace())
        with pytest.raises(BackendUnavailable, match="damaged or older than 2024"):
            open_session("openvino", bundle)


class TestCache:
    def test_it_is_compiled_once_for_a_graph_version_and_setting(self, install: Install, bundle: Bundle) -> None:
        fake = install()
        for _ in range(2):
            open_session("openvino", bundle, threads=1).close()
        assert (len(fake.compiled), fake.imported) == (1, [{**FP32, "INFERENCE_NUM_THREADS": "1"}])
        open_session("openvino", bundle, threads=2).close()
        newer = install(version="2026.2")
        open_session("openvino", bundle, threads=1).close()
        assert (len(fake.compiled), len(newer.compiled), len(newer.imported)) == (2, 1, 0)

    def test_what_was_altered_or_does_not_load_is_compiled_again(
        self, install: Install, bundle: Bundle, cache: Path
    ) -> None:
        fake = install()
        open_session("openvino", bundle).close()
        (kept,) = (cache / "openvino").iterdir()
        sound = kept.read_bytes()
        kept.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
        open_session("openvino", bundle).close()
        assert (len(fake.compiled), fake.imported, kept.read_bytes()) == (2, [], sound)
        other = install(fails_to_import=True)
        open_session("openvino", bundle).close()
        assert len(other.compiled) == 1

    def test_a_cache_that_cannot_be_written_costs_time_only(
        self, install: Install, bundle: Bundle, cache: Path
    ) -> None:
        fake = install()
        cache.write_text("a file where the folder should be")
        for _ in range(2):
            open_session("openvino", bundle).close()
        assert len(fake.compiled) == 2


@pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="no openvino here: pip install 'edgeseg[openvino]'"
)
class TestReal:
    @pytest.mark.parametrize("camera_hw", [None, (24, 32)])
    def test_labels_are_those_of_the_graph(self, camera_hw: tuple[int, int] | None) -> None:
        rng = np.random.default_rng(3)
        with OpenVinoSession(tiny_graph(camera_hw), threads=1) as session:
            assert session.inputs.shape == (1, *(camera_hw or (None, None)), 3)
            assert session.outputs.shape == (1, *(camera_hw or (None, None)))
            for size_hw in [camera_hw] if camera_hw else [(1, 1), (5, 3), (48, 64)]:
                frame, other = noise(rng, size_hw), noise(rng, size_hw)
                frame.flags.writeable = False
                labels = session.run(frame[np.newaxis])
                session.run(other[np.newaxis])
                assert np.array_equal(labels[0], brightest_channel(frame))
                assert np.array_equal(session.run(frame[np.newaxis, :, ::-1])[0], brightest_channel(frame[:, ::-1]))

    def test_golden_frames_pass_in_every_precision_also_from_the_cache(self, bundle: Bundle, cache: Path) -> None:
        for _ in range(2):
            report = verify_bundle(bundle, backend="openvino", threads=1)
            assert report.passed
            assert [(graph.backend, graph.agreement) for graph in report.graphs] == [("openvino", 1.0)] * 4
        assert len(list((cache / "openvino").iterdir())) == 1  # the four graphs are the same bytes

    @pytest.mark.parametrize("dynamic", [False, True])
    def test_an_exported_network_passes_and_marks_frames_that_are_no_numbers(
        self, tmp_path: Path, dynamic: bool
    ) -> None:
        pytest.importorskip("torch")
        from tiny_graph import tiny_model

        from edgeseg.graph.deliver import deliver
        from edgeseg.graph.recipe import ExportConfig

        path = tmp_path / "t.edgeseg"
        deliver(tiny_model(), ExportConfig(fp16=True, dynamic=dynamic), path, name="t").raise_if_failed()
        assert verify_bundle(Bundle.open(path), backend="openvino", threads=1).passed

    @pytest.mark.parametrize("pixel", [(0, 0, 0), (9, 0, 9), (0, 9, 0)])
    def test_a_pixel_that_is_no_number_marks_the_frame(self, pixel: tuple[int, int, int]) -> None:
        from edgeseg.engine.selftest.graphs import dividing_graph
        from edgeseg.graph.passes.mark_invalid import mark_invalid

        model = dividing_graph((4, 6))
        mark_invalid(model)
        frame = np.random.default_rng(4).integers(1, 256, (1, 4, 6, 3), dtype=np.uint8)
        with OpenVinoSession(model.SerializeToString()) as session:
            assert session.run(frame).max() < 3
            frame[0, -1, -1] = pixel
            assert (session.run(frame) == INVALID).all()

    @pytest.mark.parametrize("model", [b"", b"no graph at all", tiny_graph()[:100]])
    def test_a_model_that_does_not_load_is_one_line(self, model: bytes) -> None:
        with pytest.raises(InputError, match=r"openvino \S+ cannot load road\.onnx: Unable to read") as caught:
            OpenVinoSession(model, name="road.onnx")
        assert "\n" not in str(caught.value)

    def test_another_graph_has_other_labels(self) -> None:
        frame = noise(np.random.default_rng(4))
        with OpenVinoSession(tiny_graph(operator="ArgMin"), keep=True) as session:
            assert np.array_equal(session.run(frame[np.newaxis])[0], darkest_channel(frame))
        with OpenVinoSession(tiny_graph(), keep=True) as session:
            assert np.array_equal(session.run(frame[np.newaxis])[0], brightest_channel(frame))
