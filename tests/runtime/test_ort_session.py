from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto
from tiny_bundle import brightest_channel, noise, tiny_bundle, tiny_graph

from edgeseg.errors import BackendUnavailable, BundleError, ConfigError, InputError
from edgeseg.runtime.ort import CPU, OrtSession
from edgeseg.runtime.session import open_session

RNG_SEED = 3


@pytest.mark.parametrize("camera_hw", [None, (24, 32)])
def test_labels_are_those_of_the_graph(camera_hw: tuple[int, int] | None) -> None:
    frame = noise(np.random.default_rng(RNG_SEED))
    with OrtSession(tiny_graph(camera_hw)) as session:
        labels = session.run(frame[np.newaxis])
        assert session.backend == "onnxruntime"
        assert session.inputs.shape == (1, *(camera_hw or (None, None)), 3)
        assert session.outputs.shape == (1, *(camera_hw or (None, None)))
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels[0], brightest_channel(frame))


def test_a_dynamic_graph_takes_any_size() -> None:
    rng = np.random.default_rng(RNG_SEED)
    with OrtSession(tiny_graph()) as session:
        for size_hw in ((1, 1), (5, 3), (48, 64)):
            frame = noise(rng, size_hw)
            np.testing.assert_array_equal(session.run(frame[np.newaxis])[0], brightest_channel(frame))


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((1, 24, 33, 3), np.uint8),
        np.zeros((2, 24, 32, 3), np.uint8),
        np.zeros((24, 32, 3), np.uint8),
        np.zeros((1, 24, 32, 3), np.int8),
    ],
)
def test_a_frame_that_does_not_fit_says_what_fits(frame: Any) -> None:
    with (
        OrtSession(tiny_graph((24, 32))) as session,
        pytest.raises(InputError, match=r"expected frame: uint8 \(1, 24, 32, 3\)"),
    ):
        session.run(frame)


def test_a_closed_session_refuses_frames() -> None:
    session = OrtSession(tiny_graph())
    session.close()
    session.close()
    with pytest.raises(InputError, match="was closed"):
        session.run(np.zeros((1, 4, 4, 3), np.uint8))


@pytest.mark.parametrize("model", [b"", b"no graph at all", tiny_graph()[:100]])
def test_a_model_that_does_not_load_is_one_line(model: bytes) -> None:
    with pytest.raises(InputError, match=r"onnxruntime \S+ cannot load road\.onnx: ") as caught:
        OrtSession(model, name="road.onnx")
    assert "\n" not in str(caught.value)


def test_a_graph_that_is_not_sealed_is_refused() -> None:
    with pytest.raises(InputError, match=r"not a sealed graph.*found frame: float32 \(1, \?, \?, 3\); labels: uint8"):
        OrtSession(tiny_graph(frame_type=TensorProto.FLOAT))


def test_a_provider_that_is_not_built_in() -> None:
    with pytest.raises(BackendUnavailable, match="this onnxruntime has no DmlExecutionProvider; it has: "):
        OrtSession(tiny_graph(), providers=["DmlExecutionProvider", CPU])


class FakeOrt:
    """An onnxruntime that records its options and may fall back to the CPU without a word, as the real one does."""

    __version__ = "0"

    def __init__(self, run: Callable[..., Any] = lambda *_: []) -> None:
        self.entries: dict[str, str] = {}
        self.threads = 0
        self._run = run

    def get_available_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", CPU]

    def SessionOptions(self) -> Any:  # noqa: N802 (its name in onnxruntime)
        return SimpleNamespace(add_session_config_entry=self.entries.__setitem__)

    def InferenceSession(self, _model: bytes, options: Any, **_: Any) -> Any:  # noqa: N802
        self.threads = getattr(options, "intra_op_num_threads", 0)
        node = SimpleNamespace(name="frame", type="tensor(uint8)", shape=[1, "height", "width", 3])
        labels = SimpleNamespace(name="labels", type="tensor(uint8)", shape=[1, "height", "width"])
        return SimpleNamespace(
            get_providers=lambda: [CPU],
            get_inputs=lambda: [node],
            get_outputs=lambda: [labels],
            run=self._run,
        )


def test_a_silent_fallback_is_not_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", FakeOrt())
    with pytest.raises(BackendUnavailable, match=r"fell back from CUDAExecutionProvider, .* to CPUExecutionProvider"):
        OrtSession(b"", providers=["CUDAExecutionProvider", CPU])


def test_threads_do_not_spin_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeOrt()
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    OrtSession(b"", threads=3)
    assert (fake.threads, fake.entries["session.intra_op.allow_spinning"]) == (3, "0")
    OrtSession(b"", allow_spinning=True)
    assert fake.entries["session.intra_op.allow_spinning"] == "1"


@pytest.mark.parametrize("output", [np.zeros((1, 4, 4), np.int64), np.zeros((1, 2, 2), np.uint8)])
def test_an_output_that_breaks_the_contract_is_not_passed_on(monkeypatch: pytest.MonkeyPatch, output: Any) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", FakeOrt(lambda *_: [output]))
    with pytest.raises(InputError, match=r"onnxruntime gave .* expected uint8 \(1, 4, 4\)"):
        OrtSession(b"").run(np.zeros((1, 4, 4, 3), np.uint8))


def test_a_graph_that_fails_on_a_frame_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("Non-zero status code\n  returned while running Conv node")

    monkeypatch.setitem(sys.modules, "onnxruntime", FakeOrt(fail))
    with pytest.raises(InputError, match=r"failed on a frame of \(1, 4, 4, 3\): Non-zero status code returned while"):
        OrtSession(b"").run(np.zeros((1, 4, 4, 3), np.uint8))


def test_without_onnxruntime_the_message_is_an_install_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "a.edgeseg")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'edgeseg\[cpu\]'"):
        open_session("onnxruntime", bundle)


def test_what_an_uninstall_of_the_other_onnxruntime_leaves_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace())
    with pytest.raises(BackendUnavailable, match=r"damaged.*edgeseg doctor"):
        OrtSession(tiny_graph())


class TestOpenSession:
    def test_opens_the_verified_bytes_of_the_precision_asked_for(self, tmp_path: Path) -> None:
        bundle = tiny_bundle(tmp_path / "a.edgeseg", operators={"fp32": "ArgMax", "fp16": "ArgMin"})
        frame = noise(np.random.default_rng(RNG_SEED))
        with open_session("onnxruntime", bundle, threads=1) as session:
            np.testing.assert_array_equal(session.run(frame[np.newaxis])[0], frame.argmax(axis=2))
        with open_session("onnxruntime", bundle, precision="fp16") as session:
            np.testing.assert_array_equal(session.run(frame[np.newaxis])[0], frame.argmin(axis=2))
        bundle.graph_path("fp32").write_bytes(tiny_graph(operator="ArgMin"))
        with pytest.raises(BundleError, match="damaged or altered"):
            open_session("onnxruntime", bundle)

    def test_what_cannot_be_opened(self, tmp_path: Path) -> None:
        bundle = tiny_bundle(tmp_path / "a.edgeseg")
        with pytest.raises(ConfigError, match=r"no backend 'tflite'; known: tensorrt, onnxruntime, .*torch, fake"):
            open_session("tflite", bundle)
        with pytest.raises(ConfigError, match="threads=0"):
            open_session("onnxruntime", bundle, threads=0)
        with pytest.raises(BundleError, match="no int8-cpu graph"):
            open_session("onnxruntime", bundle, precision="int8")

    def test_without_torch_the_torch_backend_is_unavailable(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bundle = tiny_bundle(tmp_path / "a.edgeseg")
        monkeypatch.delitem(sys.modules, "edgeseg.runtime.torch_session", raising=False)
        monkeypatch.setitem(sys.modules, "torch", None)
        with pytest.raises(BackendUnavailable, match="backend torch cannot be loaded here"):
            open_session("torch", bundle)
