"""TensorRT sessions on stand-ins for TensorRT and CUDA: the right labels, nothing allocated for a frame, all freed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_cuda import Error, FakeCuda
from fake_driver import ORIN, RTX_4070
from fake_tensorrt import VERSIONS, Tensor
from tiny_bundle import brightest_channel, noise, tiny_bundle
from tiny_engine import CAMERA_HW, Machine, other_gpu

from edgeseg.engine.cuda import CudaError
from edgeseg.engine.runner import EngineRunner
from edgeseg.errors import BackendUnavailable, ConfigError, InputError
from edgeseg.runtime.session import open_session
from edgeseg.runtime.verify import verify_bundle
from edgeseg.types import Frame, TensorSpec


def frames(count: int, size_hw: tuple[int, int] = CAMERA_HW, seed: int = 0) -> list[Frame]:
    rng = np.random.default_rng(seed)
    return [noise(rng, size_hw)[np.newaxis] for _ in range(count)]


def assert_right(session: Any, given: list[Frame]) -> None:
    """Each frame gets its own labels, and keeps them while others are run."""
    results = [session.run(frame) for frame in given]
    for frame, labels in zip(given, results, strict=True):
        np.testing.assert_array_equal(labels, brightest_channel(frame[0])[np.newaxis])


@pytest.mark.trt_api
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("camera_hw", [CAMERA_HW, None])
def test_labels_with_every_release(version: str, camera_hw: tuple[int, int] | None) -> None:
    machine = Machine(version, camera_hw=camera_hw)
    height, width = camera_hw or (None, None)
    with machine.open() as session:
        assert session.inputs == TensorSpec("frame", "uint8", (1, height, width, 3))
        assert session.outputs == TensorSpec("labels", "uint8", (1, height, width))
        assert_right(session, frames(5))
    assert machine.cuda.live == {}


class TestBuffers:
    @pytest.mark.parametrize("transfer", ["copied", "mapped", "measured"])
    @pytest.mark.parametrize("cuda_graph", [True, False])
    def test_nothing_is_allocated_for_a_frame(self, transfer: str, cuda_graph: bool) -> None:
        machine = Machine(camera_hw=None)
        with machine.open(transfer=transfer, cuda_graph=cuda_graph) as session:
            before = machine.cuda.allocations
            for size_hw in ((24, 32), (48, 64), (8, 8), (24, 32)):
                assert_right(session, frames(4, size_hw))
            assert machine.cuda.allocations == before
        assert machine.cuda.live == {}

    def test_mapped_buffers_are_not_copied(self) -> None:
        machine = Machine()
        with machine.open(transfer="mapped") as session:
            assert_right(session, frames(4))
            assert session.transfer == "mapped"
        assert machine.cuda.calls["cudaMemcpyAsync"] == 0
        assert machine.cuda.calls["cudaMalloc"] == 0

    def test_the_faster_transfer_is_taken_where_memory_is_shared(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The clock says that a frame takes 2 ms with copies and 1 ms without, or the other way round."""
        for slow in ("copied", "mapped"):
            now = [0.0]
            run = EngineRunner.run

            def timed(self: EngineRunner, frame: Frame, run: Any = run, now: Any = now, slow: str = slow) -> Any:
                now[0] += 0.002 if self.transfer == slow else 0.001
                return run(self, frame)

            with monkeypatch.context() as patched:
                patched.setattr(EngineRunner, "run", timed)
                machine = Machine()
                with machine.open(clock=lambda now=now: now[0]) as session:
                    assert session.transfer != slow
                    fast = session.transfer
                    assert session.transfer_ms == {slow: pytest.approx(2.0), fast: pytest.approx(1.0)}
                    assert_right(session, frames(3))
            assert machine.cuda.live == {}

    def test_a_card_with_memory_of_its_own_is_not_measured(self) -> None:
        machine = Machine(gpu=RTX_4070)
        with machine.open() as session:
            assert session.transfer == "copied"
            assert session.transfer_ms == {}
        assert machine.cuda.calls["cudaHostGetDevicePointer"] == 0

    def test_an_unknown_transfer(self) -> None:
        with pytest.raises(ConfigError, match="transfer='teleported'"):
            Machine().open(transfer="teleported")


class TestGraph:
    def test_the_second_frame_is_captured_and_the_rest_launched(self) -> None:
        machine = Machine(gpu=RTX_4070)
        with machine.open() as session:
            assert_right(session, frames(1))
            first = session.cuda_graph
            assert_right(session, frames(5, seed=1))
            assert (first, session.cuda_graph, session.graph_refused) == (False, True, None)
            assert machine.launches == 2
            assert machine.cuda.calls["cudaGraphLaunch"] == 5

    def test_each_size_gets_its_own(self) -> None:
        machine = Machine(camera_hw=None, gpu=RTX_4070)
        with machine.open() as session:
            for size_hw in ((24, 32), (16, 16)):
                assert_right(session, frames(3, size_hw))
            assert machine.cuda.calls["cudaGraphInstantiate"] == 2
            for frame in [*frames(1), *frames(1, (16, 16)), *frames(1)]:
                assert_right(session, [frame])
            assert machine.cuda.calls["cudaGraphInstantiate"] == 2, "sizes that take turns are not worth a capture"
            assert machine.cuda.calls["cudaGraphExecDestroy"] == 2

    def test_an_engine_that_cannot_be_captured_runs_step_by_step(self) -> None:
        machine = Machine(gpu=RTX_4070)
        machine.capturable = False
        with machine.open() as session:
            assert_right(session, frames(5))
            assert not session.cuda_graph
            assert session.graph_refused is not None
            assert "could not run a frame" in session.graph_refused
            assert machine.cuda.calls["cudaStreamBeginCapture"] == 1, "and is not tried again"
        assert machine.cuda.live == {}

    @pytest.mark.parametrize(
        "function",
        [
            "cudaStreamBeginCapture",
            "cudaStreamEndCapture",
            "cudaGraphInstantiate",
            "cudaGraphDestroy",
            "cudaGraphLaunch",
        ],
    )
    def test_where_a_step_of_it_fails_frames_go_on(self, function: str) -> None:
        machine = Machine(gpu=RTX_4070)
        with machine.open() as session:
            machine.cuda.fail(function, Error.cudaErrorStreamCaptureUnsupported)
            assert_right(session, frames(4))
            assert not session.cuda_graph
            assert session.graph_refused is not None
            assert function in session.graph_refused
            assert machine.cuda.live.get("graphs", 0) == (1 if function == "cudaGraphDestroy" else 0)
            assert machine.cuda.last == Error.cudaSuccess, "the error was left for the next call to report"

    def test_a_later_launch_that_fails(self) -> None:
        machine = Machine(gpu=RTX_4070)
        with machine.open() as session:
            assert_right(session, frames(3))
            machine.cuda.fail("cudaGraphLaunch", Error.cudaErrorInvalidResourceHandle)
            assert_right(session, frames(3, seed=1))
            assert not session.cuda_graph
        assert machine.cuda.live == {}

    def test_not_asked_for(self) -> None:
        machine = Machine()
        with machine.open(cuda_graph=False) as session:
            assert_right(session, frames(3))
            assert not session.cuda_graph
        assert machine.cuda.calls["cudaStreamBeginCapture"] == 0


class TestFrames:
    def test_a_frame_of_another_kind(self) -> None:
        with Machine().open() as session:
            with pytest.raises(InputError, match="expected frame: uint8"):
                session.run(np.zeros((1, 24, 33, 3), np.uint8))
            with pytest.raises(InputError, match="float32"):
                session.run(np.zeros((1, 24, 32, 3), np.float32))
            assert_right(session, frames(1))

    @pytest.mark.parametrize("size_hw", [(7, 8), (8, 7), (49, 64), (48, 65)])
    def test_a_frame_outside_the_engines_range(self, size_hw: tuple[int, int]) -> None:
        with Machine(camera_hw=None).open() as session:
            with pytest.raises(InputError, match=f"from 8x8 to 48x64, this one is {size_hw[0]}x{size_hw[1]}"):
                session.run(frames(1, size_hw)[0])
            assert_right(session, frames(1))

    def test_a_frame_that_is_no_block_of_memory(self) -> None:
        wide = frames(1, (24, 64))[0][:, :, ::2]
        with Machine().open() as session:
            assert_right(session, [wide] * 3)

    def test_after_close(self) -> None:
        session = Machine().open()
        session.run(frames(1)[0])
        session.close()
        session.close()
        with pytest.raises(InputError, match="closed"):
            session.run(frames(1)[0])

    def test_an_engine_that_refuses_a_frame(self) -> None:
        machine = Machine()
        with machine.open(transfer="copied") as session:
            machine.refused = True
            with pytest.raises(BackendUnavailable, match="TensorRT could not run a frame"):
                session.run(frames(1)[0])
            machine.refused = False
            assert_right(session, frames(3))
        assert machine.cuda.live == {}

    def test_an_error_of_the_gpu_is_told_and_all_is_freed(self) -> None:
        machine = Machine(gpu=RTX_4070)
        session = machine.open()
        machine.cuda.fail("cudaStreamSynchronize", Error.cudaErrorIllegalAddress)
        with pytest.raises(CudaError, match=r"cudaStreamSynchronize: cudaErrorIllegalAddress \(error 700\)") as caught:
            session.run(frames(1)[0])
        assert caught.value.code == 700
        assert caught.value.exit_code == 3
        session.close()
        assert machine.cuda.live == {}


class TestOpening:
    @pytest.mark.parametrize("transfer", ["copied", "mapped", "measured"])
    def test_whatever_fails_all_is_freed(self, transfer: str) -> None:
        """Every call of CUDA's while a session opens fails once."""
        machine = Machine()
        machine.open(transfer=transfer).close()
        freeing = ("Free", "Destroy")
        calls = {name: n for name, n in machine.cuda.calls.items() if not any(part in name for part in freeing)}
        assert len(calls) > 3
        refused = 0
        for function, count in calls.items():
            for call in range(1, min(count, 6) + 1):
                machine.cuda = FakeCuda()
                machine.cuda.fail(function, Error.cudaErrorMemoryAllocation, call=call)
                try:
                    machine.open(transfer=transfer).close()
                except CudaError:
                    refused += 1
                assert machine.cuda.live == {}, (function, call)
        assert refused > len(calls)

    @pytest.mark.parametrize("function", ["cudaFree", "cudaFreeHost", "cudaStreamDestroy", "cudaStreamSynchronize"])
    def test_a_failing_close_frees_the_rest(self, function: str) -> None:
        machine = Machine()
        session = machine.open(transfer="copied")
        held = sum(machine.cuda.live.values())
        machine.cuda.fail(function, Error.cudaErrorIllegalAddress)
        with pytest.raises(CudaError, match=function):
            session.close()
        left = 0 if function == "cudaStreamSynchronize" else 1
        assert held == 5
        assert sum(machine.cuda.live.values()) == left
        session.close()

    def test_a_plan_of_another_release(self) -> None:
        machine = Machine()
        other = Machine("10.7.0").tensorrt.plan()
        with pytest.raises(BackendUnavailable, match=r"TensorRT 10\.3\.0 cannot load the engine: .*Version tag"):
            machine.open(plan=other)
        assert machine.cuda.live == {}

    @pytest.mark.parametrize(
        "tensors",
        [
            (Tensor("frame", "FLOAT", (1, 24, 32, 3), True), Tensor("labels", "UINT8", (1, 24, 32), False)),
            (Tensor("frame", "UINT8", (1, 3, 24, 32), True), Tensor("labels", "UINT8", (1, 24, 32), False)),
            (Tensor("frame", "UINT8", (1, 24, 32, 3), True), Tensor("labels", "UINT8", (1, 12, 16), False)),
            (Tensor("frame", "UINT8", (1, 24, 32, 3), True), Tensor("logits", "FLOAT", (1, 3, 24, 32), False)),
            (Tensor("frame", "UINT8", (1, 24, 32, 3), True),),
        ],
    )
    def test_an_engine_of_another_contract(self, tensors: tuple[Tensor, ...]) -> None:
        machine = Machine()
        machine.tensorrt.tensors = tensors
        with pytest.raises(InputError, match=r"not a sealed engine: expected uint8 .* found "):
            machine.open()
        assert machine.cuda.live == {}

    def test_settings_of_the_build_reach_the_runtime(self) -> None:
        machine = Machine()
        machine.open(dla_core=1, allow_host_code=True).close()
        assert machine.tensorrt.called("Runtime.DLA_core") == [(1,)]
        assert machine.tensorrt.called("Runtime.engine_host_code_allowed") == [(True,)]
        plain = Machine()
        plain.open().close()
        assert plain.tensorrt.called("Runtime.engine_host_code_allowed") == []

    def test_another_device_is_made_the_threads_own(self) -> None:
        machine = Machine(gpu=other_gpu(index=2))
        with machine.open(transfer="copied") as session:
            before = machine.cuda.calls["cudaSetDevice"]
            session.run(frames(1)[0])
            assert machine.cuda.calls["cudaSetDevice"] == before + 1


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESEG_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("cache")
class TestBundle:
    def test_a_bundle_is_built_once_and_verifies(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        bundle = tiny_bundle(tmp_path / "road.edgeseg", CAMERA_HW)
        machine = Machine()
        machine.install(monkeypatch)
        for _ in range(2):
            report = verify_bundle(bundle, backend="tensorrt")
            assert report.passed
        assert [graph.precision for graph in report.graphs] == ["fp32", "fp16"]
        assert len(machine.tensorrt.called("Builder.build_serialized_network")) == 2
        assert machine.cuda.live == {}

    def test_int8_is_the_graph_for_tensorrt(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        graphs = {"fp32": "ArgMax", "int8-cpu": "ArgMin", "int8-trt": "ArgMax"}
        bundle = tiny_bundle(tmp_path / "road.edgeseg", CAMERA_HW, operators=graphs)
        machine = Machine()
        machine.install(monkeypatch)
        with open_session("tensorrt", bundle, precision="int8") as session:
            assert_right(session, frames(2))
        assert (bundle.path / "engines" / "int8-trt.plan").is_file()
        with pytest.raises(ConfigError, match="int8-cpu"):
            open_session("tensorrt", bundle, precision="int8-cpu")

    def test_without_a_driver_nothing_of_tensorrt_is_touched(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bundle = tiny_bundle(tmp_path / "road.edgeseg", CAMERA_HW)
        machine = Machine()
        machine.install(monkeypatch)

        def no_gpu() -> Any:
            raise BackendUnavailable("no NVIDIA driver")

        monkeypatch.setattr("edgeseg.engine.session.require_gpu", no_gpu)
        with pytest.raises(BackendUnavailable, match="no NVIDIA driver"):
            open_session("tensorrt", bundle)
        assert machine.tensorrt.calls == []
        assert machine.cuda.calls == {}


def test_the_fake_gpu_is_as_late_as_a_real_one() -> None:
    """What guards the tests above: labels read before the stream is synchronised are old."""
    machine = Machine()
    with machine.open(transfer="copied", cuda_graph=False) as session:
        runner = session._running()
        black, red = np.zeros((1, *CAMERA_HW, 3), np.uint8), np.zeros((1, *CAMERA_HW, 3), np.uint8)
        red[..., 2] = 255
        session.run(black)
        np.copyto(runner._frame, red)
        runner._queue()
        assert not runner._given[0].any()
        runner._stream.synchronize()
        assert (runner._given[0] == 2).all()
    assert ORIN.integrated
