from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import brightest_channel, darkest_channel, noise, tiny_bundle

from edgeseg.bundle import Bundle
from edgeseg.errors import BackendUnavailable, BundleError, ConfigError, InputError
from edgeseg.runtime import load_segmenter
from edgeseg.runtime.chain import CHAIN, Fallback, degraded_note, open_backend
from edgeseg.runtime.fake import FakeSession
from edgeseg.runtime.segmenter import Segmenter
from edgeseg.runtime.session import SESSIONS, Session, SessionOutput
from edgeseg.runtime.verify import verify_bundle
from edgeseg.types import ASKED_BACKENDS, AUTO, GPU_BACKENDS, Frame, precisions_for


class Shop:
    """An opener whose runtimes are sessions, or the errors that they end with."""

    def __init__(self, stock: Mapping[str, Session | Exception]) -> None:
        self.stock = stock
        self.asked: list[tuple[str, str]] = []

    def __call__(self, name: str, bundle: Bundle, *, precision: str, threads: int | None) -> Session:
        assert bundle.precisions
        assert threads is None
        self.asked.append((name, precision))
        found = self.stock[name]
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    operators = {"fp32": "ArgMax", "int8-cpu": "ArgMax", "int8-trt": "ArgMax"}
    return tiny_bundle(tmp_path / "a.edgeseg", operators=operators)


def right() -> FakeSession:
    return FakeSession(brightest_channel)


GONE = BackendUnavailable("no driver. Install one.")


def test_the_first_that_works_is_taken(bundle: Bundle) -> None:
    shop = Shop({"tensorrt": right()})
    opened = open_backend(AUTO, bundle, opener=shop)
    assert (opened.session, opened.fallbacks) == (shop.stock["tensorrt"], ())
    assert shop.asked == [("tensorrt", "fp32")]


def test_each_that_is_passed_over_leaves_its_reason_and_int8_follows_the_runtime(bundle: Bundle) -> None:
    cuda = InputError("no kernel image")
    shop = Shop({"tensorrt": GONE, "onnxruntime-cuda": cuda, "openvino": GONE, "onnxruntime": right()})
    opened = open_backend(AUTO, bundle, precision="int8", opener=shop)
    assert shop.asked == [
        ("tensorrt", "int8-trt"),
        ("onnxruntime-cuda", "int8-trt"),
        ("openvino", "int8-cpu"),
        ("onnxruntime", "int8-cpu"),
    ]
    assert opened.precision == "int8-cpu"
    passed = (Fallback("tensorrt", str(GONE)), Fallback("onnxruntime-cuda", "no kernel image"))
    assert (opened.fallbacks, opened.trials) == ((*passed, Fallback("openvino", str(GONE))), ())
    assert degraded_note("onnxruntime", passed) == (
        "running on onnxruntime. Not on tensorrt: no driver. Install one; onnxruntime-cuda: no kernel image."
    )
    assert degraded_note("tensorrt", ()) is None


def test_a_runtime_that_labels_wrongly_is_passed_over_and_closed(bundle: Bundle) -> None:
    wrong = FakeSession(darkest_channel)
    opened = open_backend(AUTO, bundle, opener=Shop({"tensorrt": wrong, "onnxruntime-cuda": right()}))
    assert [fallback.backend for fallback in opened.fallbacks] == ["tensorrt"]
    assert "of 768 pixels of golden frame day_000 unlike the trained network; 0 may differ" in (
        opened.fallbacks[0].reason
    )
    with pytest.raises(InputError, match="was closed"):
        wrong.run(noise(np.random.default_rng(0))[np.newaxis])


def test_named_is_never_replaced(bundle: Bundle) -> None:
    shop = Shop({"tensorrt": GONE, "onnxruntime": right()})
    with pytest.raises(BackendUnavailable, match="no driver"):
        open_backend("tensorrt", bundle, opener=shop)
    assert shop.asked == [("tensorrt", "fp32")]


def test_what_no_other_runtime_would_mend_is_said_at_once(bundle: Bundle) -> None:
    shop = Shop(dict.fromkeys(CHAIN, GONE))
    with pytest.raises(BackendUnavailable, match=r"no runtime here runs .* tensorrt: no driver.* onnxruntime: no dri"):
        open_backend(AUTO, bundle, opener=shop)
    with pytest.raises(BundleError, match="no fp16 graph; it has: fp32, int8-cpu, int8-trt"):
        open_backend(AUTO, bundle, precision="fp16", opener=shop)
    with pytest.raises(ConfigError, match="threads=0"):
        open_backend(AUTO, bundle, threads=0, opener=shop)
    assert len(shop.asked) == len(CHAIN)
    with pytest.raises(BundleError, match="altered"):
        open_backend(AUTO, bundle, opener=Shop({"tensorrt": BundleError("altered")}))


def test_a_gpu_does_not_get_the_graph_for_processors(bundle: Bundle) -> None:
    opened = open_backend(AUTO, bundle, precision="int8-cpu", opener=Shop({"openvino": GONE, "onnxruntime": right()}))
    assert [fallback.reason for fallback in opened.fallbacks[:2]] == [
        "the bundle has no int8-cpu graph for it, only fp32, int8-trt."
    ] * 2
    assert precisions_for("onnxruntime", bundle.precisions) == bundle.precisions
    assert set(ASKED_BACKENDS) - {AUTO} == set(SESSIONS) - {"torch", "fake"}
    assert set(GPU_BACKENDS) < set(ASKED_BACKENDS)


class Timed(FakeSession):
    """A session that takes `seconds` of a clock which nothing else moves."""

    def __init__(self, backend: str, clock: Ticks, seconds: float) -> None:
        super().__init__(brightest_channel)
        self.backend = backend
        self._ticks = clock
        self._seconds = seconds

    def run_all(self, frame: Frame) -> SessionOutput:
        self._ticks.now_s += self._seconds
        return super().run_all(frame)


class Ticks:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class TestTrial:
    """Of the two for processors the faster is taken, and the other is closed."""

    @pytest.mark.parametrize(("openvino_s", "best"), [(0.03, "openvino"), (0.05, "onnxruntime")])
    def test_the_faster_of_the_rivals(self, bundle: Bundle, openvino_s: float, best: str) -> None:
        clock = Ticks()
        rivals = {
            "openvino": Timed("openvino", clock, openvino_s),
            "onnxruntime": Timed("onnxruntime", clock, 0.04),
        }
        opened = open_backend(
            AUTO, bundle, opener=Shop({"tensorrt": GONE, "onnxruntime-cuda": GONE, **rivals}), clock=clock
        )
        other = "onnxruntime" if best == "openvino" else "openvino"
        assert [trial.backend for trial in opened.trials] == [opened.session.backend, other] == [best, other]
        assert sorted(trial.latency_ms for trial in opened.trials) == pytest.approx(sorted([40, 1000 * openvino_s]))
        assert [fallback.backend for fallback in opened.fallbacks] == ["tensorrt", "onnxruntime-cuda"]
        assert clock() < 0.7
        frame = noise(np.random.default_rng(0))[np.newaxis]
        opened.session.run(frame)
        with pytest.raises(InputError, match="was closed"):
            rivals[other].run(frame)

    def test_a_gpu_that_is_right_is_not_put_on_trial(self, bundle: Bundle) -> None:
        shop = Shop({"tensorrt": GONE, "onnxruntime-cuda": right(), "openvino": right(), "onnxruntime": right()})
        opened = open_backend(AUTO, bundle, opener=shop)
        assert (opened.session, opened.trials) == (shop.stock["onnxruntime-cuda"], ())
        assert [name for name, _ in shop.asked] == ["tensorrt", "onnxruntime-cuda"]

    def test_one_that_fails_in_it_leaves_nothing_open(self, bundle: Bundle) -> None:
        clock = Ticks()
        torn = Timed("openvino", clock, 0.1)

        def failing() -> float:
            if clock.now_s > 0.25:
                raise KeyboardInterrupt
            return clock.now_s

        other = Timed("onnxruntime", clock, 0.1)
        shop = Shop({"tensorrt": GONE, "onnxruntime-cuda": GONE, "openvino": torn, "onnxruntime": other})
        with pytest.raises(KeyboardInterrupt):
            open_backend(AUTO, bundle, opener=shop, clock=failing)
        for session in (torn, other):
            with pytest.raises(InputError, match="was closed"):
                session.run(noise(np.random.default_rng(0))[np.newaxis])


class TestHere:
    """Where there is neither a GPU nor OpenVINO, as on the machines that build this project."""

    @pytest.fixture(autouse=True)
    def _without_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("tensorrt", "onnxruntime-cuda", "openvino"):
            monkeypatch.setitem(SESSIONS, name, "edgeseg.no_such_module:Session")

    def test_a_segmenter_says_what_it_runs_on(self, bundle: Bundle) -> None:
        frame = noise(np.random.default_rng(1))
        with Segmenter(bundle, backend=AUTO) as segmenter:
            assert np.array_equal(segmenter(frame).labels, brightest_channel(frame))
            assert segmenter.degraded is not None
            assert segmenter.degraded.startswith("running on onnxruntime. Not on tensorrt: the backend tensorrt cannot")
            runtime = segmenter.runtime_dict()
        assert (runtime["backend"], runtime["asked_backend"]) == ("onnxruntime", "auto")
        assert [passed["backend"] for passed in runtime["fallbacks"]] == ["tensorrt", "onnxruntime-cuda", "openvino"]
        assert runtime["trials"] == []
        with load_segmenter(bundle.path) as segmenter:
            assert (segmenter.degraded, segmenter.asked_backend) == (None, "onnxruntime")

    def test_verify_says_which_runtime_replayed_each_graph(self, bundle: Bundle) -> None:
        report = verify_bundle(bundle, backend=AUTO)
        assert report.passed
        graphs = report.to_dict()["graphs"]
        assert {name: graph["backend"] for name, graph in graphs.items()} == dict.fromkeys(
            bundle.precisions, "onnxruntime"
        )
        assert graphs["int8-cpu"]["fallbacks"][0]["reason"].startswith("the bundle has no int8-cpu graph for it")
        assert verify_bundle(bundle).to_dict()["graphs"]["fp32"]["fallbacks"] == []
