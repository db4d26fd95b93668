from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from fake_onnxruntime import CPU, CUDA, TENSORRT, FakeOnnxruntime
from tiny_bundle import brightest_channel, noise, tiny_bundle, tiny_graph

from edgeseg.bundle import Bundle
from edgeseg.errors import BackendUnavailable, InputError
from edgeseg.runtime.ort_gpu import BoundSession, Target
from edgeseg.runtime.session import open_session

AZURE = "AzureExecutionProvider"

HERE = Target(((CPU, {}),), device="cpu")
"""The binding, for real, on the provider that every ONNX Runtime has."""


class TestBinding:
    def test_labels_are_the_graphs_and_stay_when_the_next_frame_comes(self) -> None:
        rng = np.random.default_rng(5)
        first, second = noise(rng), noise(rng)
        with BoundSession(tiny_graph((24, 32)), HERE, size_hw=(24, 32), fixed=True) as session:
            labels = session.run(first[np.newaxis])
            again = session.run(second[np.newaxis])
            assert (session.inputs.shape, session.placement) == ((1, 24, 32, 3), {CPU: 3})
        assert np.array_equal(labels[0], brightest_channel(first))
        assert np.array_equal(again[0], brightest_channel(second))

    def test_a_graph_for_any_size_is_opened_for_each(self) -> None:
        rng = np.random.default_rng(5)
        with BoundSession(tiny_graph(), HERE, size_hw=(24, 32), fixed=False) as session:
            assert session.inputs.shape == (1, None, None, 3)
            for size_hw in ((24, 32), (5, 7), (5, 7), (24, 32)):
                frame = noise(rng, size_hw)
                assert np.array_equal(session.run(frame[np.newaxis])[0], brightest_channel(frame))

    def test_a_frame_that_lies_otherwise_in_memory(self) -> None:
        frame = noise(np.random.default_rng(5))[:, ::-1]
        with BoundSession(tiny_graph((24, 32)), HERE, size_hw=(24, 32), fixed=True) as session:
            assert np.array_equal(session.run(frame[np.newaxis])[0], brightest_channel(frame))

    def test_frames_that_do_not_fit_and_closed_sessions_are_refused(self) -> None:
        session = BoundSession(tiny_graph((24, 32)), HERE, size_hw=(24, 32), fixed=True, threads=1, optimised=False)
        with pytest.raises(InputError, match=r"expected frame: uint8 \(1, 24, 32, 3\)"):
            session.run(np.zeros((1, 24, 33, 3), np.uint8))
        session.close()
        session.close()
        with pytest.raises(InputError, match="was closed"):
            session.run(np.zeros((1, 24, 32, 3), np.uint8))

    @pytest.mark.skipif(AZURE not in onnxruntime.get_available_providers(), reason="an onnxruntime without it")
    def test_the_real_package_refuses_what_would_run_on_its_cpu(self) -> None:
        """This provider takes operators of its own alone, so it leaves all of ours to the CPU."""
        with pytest.raises(BackendUnavailable, match="fallback to CPU EP has been explicitly disabled"):
            BoundSession(tiny_graph((24, 32)), Target(((AZURE, {}),), device="cpu"), size_hw=(24, 32), fixed=True)


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setenv("EDGESEG_CACHE", str(tmp_path / "cache"))
    operators = {"fp32": "ArgMax", "int8-cpu": "ArgMax", "int8-trt": "ArgMax"}
    return tiny_bundle(tmp_path / "a.edgeseg", operators=operators)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeOnnxruntime]:
    def install(**how: Any) -> FakeOnnxruntime:
        fake = FakeOnnxruntime(brightest_channel, **how)
        monkeypatch.setitem(sys.modules, "onnxruntime", fake)
        return fake

    return install


Install = Callable[..., FakeOnnxruntime]


def test_cuda_alone_with_buffers_allocated_once(
    bundle: Bundle, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = install()
    rng = np.random.default_rng(2)
    with open_session("onnxruntime-cuda", bundle, precision="int8", threads=2) as session:
        for frame in (noise(rng), noise(rng)):
            assert np.array_equal(session.run(frame[np.newaxis])[0], brightest_channel(frame))
        assert session.backend == "onnxruntime-cuda"
    (opened,) = fake.sessions
    assert [value.device for value in fake.values] == [("cuda", 0)] * 2
    assert fake.values[0].copies_in == opened.runs == 3  # one at birth
    assert list(opened.settings) == [CUDA]
    assert opened.settings[CUDA]["use_tf32"] == "0"
    assert opened.options.entries["session.disable_cpu_ep_fallback"] == "1"
    assert opened.options.graph_optimization_level == 1  # int8-trt is not to be fused
    assert opened.options.intra_op_num_threads == 2
    assert fake.severities == [4, 2]
    assert capsys.readouterr().out == ""


def test_sizes_are_fixed_before_the_graph_is_divided(bundle: Bundle, install: Install) -> None:
    fake = install()
    with open_session("onnxruntime-cuda", bundle) as session:
        session.run(np.zeros((1, 48, 64, 3), np.uint8))
    assert [opened.options.sizes for opened in fake.sessions] == [
        {"height": 24, "width": 32},
        {"height": 48, "width": 64},
    ]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"built_with": (CPU,)}, r"has no CUDAExecutionProvider; .*pip install 'edgeseg\[gpu\]'; on a Jetson .*jetson"),
        ({"drops": (CUDA,)}, "fell back from CUDAExecutionProvider to CPUExecutionProvider"),
        ({"fails_to_open": "nodes that are assigned\nto the default CPU EP"}, "not run .* on CUDA.*alone: nodes that"),
        ({"fails_to_run": "no kernel image is available"}, "alone: no kernel image is available .*edgeseg doctor"),
    ],
)
def test_nothing_falls_back_in_silence(bundle: Bundle, install: Install, how: dict[str, Any], message: str) -> None:
    install(**how)
    with pytest.raises(BackendUnavailable, match=message) as caught:
        open_session("onnxruntime-cuda", bundle)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_frame_that_fails_later_is_one_line(bundle: Bundle, install: Install) -> None:
    fake = install()
    with open_session("onnxruntime-cuda", bundle) as session:
        fake.fails_to_run = "out of\nmemory"
        with pytest.raises(InputError, match=r"onnxruntime-cuda failed on a frame of \(1, 24, 32, 3\): out of memory"):
            session.run(np.zeros((1, 24, 32, 3), np.uint8))


class TestTensorrtProvider:
    def test_precision_is_left_to_the_graph_and_engines_are_kept(self, bundle: Bundle, install: Install) -> None:
        fake = install(keeps={TENSORRT: 1, CUDA: 2})
        with open_session("onnxruntime-tensorrt", bundle, precision="int8") as session:
            assert isinstance(session, BoundSession)
            assert session.placement == {TENSORRT: 1, CUDA: 2}
        settings = fake.sessions[0].settings
        assert list(settings) == [TENSORRT, CUDA]
        assert settings[TENSORRT]["trt_engine_cache_enable"] == "1"
        assert not {"trt_fp16_enable", "trt_int8_enable"} & set(settings[TENSORRT])

    def test_where_it_takes_nothing_it_is_not_called_tensorrt(self, bundle: Bundle, install: Install) -> None:
        install(keeps={CUDA: 9})
        with pytest.raises(BackendUnavailable, match=r"takes no node .* --backend onnxruntime-cuda"):
            open_session("onnxruntime-tensorrt", bundle)

    def test_an_engine_of_unknown_bytes_is_gone_before_the_provider_sees_it(
        self, bundle: Bundle, install: Install
    ) -> None:
        seen: list[list[str]] = []

        def leaves(settings: Mapping[str, str]) -> None:
            folder = Path(settings["trt_engine_cache_path"])
            seen.append(sorted(path.name for path in folder.iterdir()))
            (folder / "graph.engine").write_bytes(f"plan {len(seen)}".encode())

        fake = install(keeps={TENSORRT: 3}, leaves=leaves)
        with open_session("onnxruntime-tensorrt", bundle) as session:
            session.run(np.zeros((1, 48, 64, 3), np.uint8))  # builds another, which is kept too
        open_session("onnxruntime-tensorrt", bundle).close()
        folder = Path(fake.sessions[0].settings[TENSORRT]["trt_engine_cache_path"])
        (folder / "graph.engine").write_bytes(b"evil")
        open_session("onnxruntime-tensorrt", bundle).close()
        (folder / "more.engine").write_bytes(b"evil")
        open_session("onnxruntime-tensorrt", bundle).close()
        folder.with_name(folder.name + ".json").write_text("{")
        open_session("onnxruntime-tensorrt", bundle).close()
        assert seen == [[], ["graph.engine"], ["graph.engine"], [], [], []]
