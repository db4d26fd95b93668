"""On real hardware, where there is some (`pytest -m gpu`): CUDA's buffers and graphs, and engines of TensorRT's.

What can be is run on the stand-in too, so that the test is known to be right before it meets a GPU.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fake_cuda import FakeCuda
from tiny_bundle import noise, tiny_bundle

from edgeseg.engine.buffers import TRANSFERS
from edgeseg.engine.cuda import Cuda, Graph, Stream
from edgeseg.engine.driver import Gpu, require_gpu
from edgeseg.errors import BackendUnavailable
from edgeseg.runtime.session import open_session
from edgeseg.runtime.verify import verify_bundle

SIZE = 48 * 64 * 3


@pytest.fixture
def gpu() -> Gpu:
    try:
        return require_gpu()
    except BackendUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(params=["stand-in", pytest.param("real", marks=pytest.mark.gpu)])
def cuda(request: pytest.FixtureRequest) -> Cuda:
    if request.param == "stand-in":
        return Cuda(0, FakeCuda())
    try:
        return Cuda(request.getfixturevalue("gpu").index)
    except BackendUnavailable as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_bytes_go_to_the_gpu_and_back_step_by_step_and_as_a_graph(cuda: Cuda, transfer: str) -> None:
    stream = Stream(cuda)
    there, back = TRANSFERS[transfer](cuda, SIZE), TRANSFERS[transfer](cuda, SIZE)
    kind = cuda.runtime.cudaMemcpyKind.cudaMemcpyDefault

    def work() -> None:
        there.to_device(SIZE, stream)
        cuda.call("cudaMemcpyAsync", back.device, there.device, SIZE, kind, stream.handle)
        back.to_host(SIZE, stream)

    rng = np.random.default_rng(0)
    graph: Graph | None = None
    for _ in range(4):
        there.host[:] = rng.integers(0, 256, SIZE, dtype=np.uint8)
        if graph is None:
            work()
        else:
            graph.launch()
        stream.synchronize()
        np.testing.assert_array_equal(back.host, there.host)
        graph = graph or Graph(cuda, stream, work)
    assert graph is not None
    for held in (graph, back, there, stream):
        held.close()
        held.close()


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("camera_hw", [(24, 32), None])
def test_an_engine_labels_the_golden_frames(
    camera_hw: tuple[int, int] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("tensorrt", "cuda.bindings.runtime"):
        pytest.importorskip(module)
    monkeypatch.setenv("EDGESEG_CACHE", str(tmp_path / "cache"))
    bundle = tiny_bundle(tmp_path / "road.edgeseg", camera_hw)
    verify_bundle(bundle, backend="tensorrt").raise_if_failed()
    rng = np.random.default_rng(1)
    with open_session("tensorrt", bundle) as session:
        for size_hw in [camera_hw or (24, 32)] * 3 + [camera_hw or (48, 64)] * 3:
            frame = noise(rng, size_hw)
            np.testing.assert_array_equal(session.run(frame[np.newaxis])[0], frame.argmax(axis=2))
