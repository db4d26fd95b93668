"""What ONNX Runtime's optimiser made of a graph is kept, used once more, and never trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from tiny_bundle import brightest_channel, noise, tiny_graph

from edgeseg.runtime import ort_compiled
from edgeseg.runtime.compiled import MOST_KEPT, CompiledGraph
from edgeseg.runtime.ort import OrtSession

FRAME = noise(np.random.default_rng(3))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGESEG_CACHE", str(tmp_path))
    monkeypatch.setattr(ort_compiled, "WORTH_KEEPING_BYTES", 0)
    return tmp_path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every graph that ONNX Runtime opened, in order."""
    graphs: list[bytes] = []
    made = ort.InferenceSession

    def noted(graph: bytes, *args: Any, **kwargs: Any) -> ort.InferenceSession:
        graphs.append(graph)
        return made(graph, *args, **kwargs)

    monkeypatch.setattr(ort, "InferenceSession", noted)
    return graphs


def _answers_rightly() -> None:
    with OrtSession(tiny_graph((24, 32)), keep=True) as session:
        np.testing.assert_array_equal(session.run(FRAME[np.newaxis])[0], brightest_channel(FRAME))


def _kept(cache: Path) -> list[Path]:
    return sorted((cache / "onnxruntime").glob("*"))


def test_the_second_session_opens_what_the_first_has_kept(cache: Path, opened: list[bytes]) -> None:
    _answers_rightly()
    (kept,) = _kept(cache)
    before = kept.stat().st_mtime_ns
    _answers_rightly()
    first, second = opened
    assert first == tiny_graph((24, 32))
    assert kept.read_bytes().endswith(second)
    assert second != first
    assert kept.stat().st_mtime_ns == before


@pytest.mark.parametrize("found", [b"", b"no graph at all"])
def test_a_kept_file_that_onnx_runtime_refuses_is_replaced(cache: Path, opened: list[bytes], found: bytes) -> None:
    graph = tiny_graph((24, 32))
    CompiledGraph.of("onnxruntime", graph, [ort.__version__, *ort_compiled.processor()]).write(found)
    _answers_rightly()
    assert opened == [found, graph]
    _answers_rightly()
    assert opened[-1] not in (found, graph)
    assert len(_kept(cache)) == 1


def test_an_altered_file_is_not_opened(cache: Path, opened: list[bytes]) -> None:
    _answers_rightly()
    (kept,) = _kept(cache)
    data = bytearray(kept.read_bytes())
    data[-9] ^= 1
    kept.write_bytes(data)
    _answers_rightly()
    assert opened == [tiny_graph((24, 32))] * 2


def test_another_processor_makes_its_own(
    cache: Path, opened: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _answers_rightly()
    other = tmp_path / "cpuinfo"
    other.write_text("processor : 0\nmodel name : another\nflags : fpu\n")
    monkeypatch.setattr(ort_compiled, "_CPUINFO", other)
    assert "flags : fpu" in ort_compiled.processor()
    _answers_rightly()
    assert opened == [tiny_graph((24, 32))] * 2
    assert len(_kept(cache)) == 2


def test_a_cache_that_cannot_be_written_costs_nothing_else(cache: Path, opened: list[bytes]) -> None:
    (cache / "onnxruntime").write_text("a file where the folder should be")
    _answers_rightly()
    _answers_rightly()
    assert len(opened) == 2


def test_small_graphs_and_those_run_as_written_are_not_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with OrtSession(tiny_graph((24, 32)), keep=True, optimised=False) as session:
        session.run(FRAME[np.newaxis])
    monkeypatch.setattr(ort_compiled, "WORTH_KEEPING_BYTES", 1 << 20)
    _answers_rightly()
    assert _kept(cache) == []


def test_the_oldest_files_go(cache: Path) -> None:
    kept = [CompiledGraph.of("onnxruntime", bytes([number]), []) for number in range(MOST_KEPT + 3)]
    for graph in kept:
        graph.write(b"compiled")
    assert [graph.read() for graph in kept] == [None] * 3 + [b"compiled"] * MOST_KEPT
