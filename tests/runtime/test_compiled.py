from __future__ import annotations

from pathlib import Path

import pytest

from edgeseg.errors import OutputError
from edgeseg.runtime.compiled import CompiledGraph


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGESEG_CACHE", str(tmp_path))
    return tmp_path


def test_what_is_kept_comes_back(cache: Path) -> None:
    kept = CompiledGraph.of("openvino", b"graph", ["1.0", ("THREADS", "2")])
    assert kept.read() is None
    kept.write(b"compiled")
    assert CompiledGraph.of("openvino", b"graph", ["1.0", ("THREADS", "2")]).read() == b"compiled"
    assert [path.parent for path in cache.rglob("*.bin")] == [cache / "openvino"]


@pytest.mark.parametrize(
    ("runtime", "graph", "circumstances"),
    [("other", b"graph", ["1.0"]), ("openvino", b"Graph", ["1.0"]), ("openvino", b"graph", ["1.1"])],
)
def test_nothing_comes_back_for_another_even_under_its_name(
    runtime: str, graph: bytes, circumstances: list[str]
) -> None:
    kept = CompiledGraph.of("openvino", b"graph", ["1.0"])
    kept.write(b"compiled")
    other = CompiledGraph.of(runtime, graph, circumstances)
    assert other.read() is None
    other.path.parent.mkdir(exist_ok=True)
    kept.path.replace(other.path)
    assert other.read() is None


def test_every_altered_byte_and_every_torn_end_counts_as_absent() -> None:
    kept = CompiledGraph.of("openvino", b"graph", [])
    kept.write(b"compiled")
    sound = kept.path.read_bytes()
    for place in range(len(sound)):
        kept.path.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
        assert kept.read() is None
        kept.path.write_bytes(sound[:place])
        assert kept.read() is None
    kept.path.write_bytes(sound)
    assert kept.read() == b"compiled"


def test_a_place_that_cannot_be_written(cache: Path) -> None:
    (cache / "openvino").write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="cannot be written"):
        CompiledGraph.of("openvino", b"graph", []).write(b"compiled")
