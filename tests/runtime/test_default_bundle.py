from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
from tiny_bundle import tiny_bundle

from edgeseg.errors import UnavailableError
from edgeseg.runtime import default
from edgeseg.runtime.default import DEFAULT_NAME, cache_folder, default_bundle


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights as shipped, an empty cache and an empty current folder."""
    file = tmp_path / "default.safetensors"
    file.write_bytes(b"weights")
    (tmp_path / "here").mkdir()
    monkeypatch.setattr(default, "WEIGHTS", file)
    monkeypatch.setenv("EDGESEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path / "here")
    return file


def refuse(path: Path) -> None:
    raise AssertionError(f"nothing was to be exported, least of all to {path}")


def cached_name(weights: Path) -> str:
    return f"{DEFAULT_NAME}-{hashlib.sha256(weights.read_bytes()).hexdigest()[:12]}.edgeseg"


def test_the_one_in_the_current_folder_comes_first(weights: Path) -> None:
    tiny_bundle(cache_folder() / cached_name(weights))
    tiny_bundle(Path(f"{DEFAULT_NAME}.edgeseg"))
    assert default_bundle(refuse) == Path(f"{DEFAULT_NAME}.edgeseg")


def test_then_the_one_in_the_cache(weights: Path) -> None:
    tiny_bundle(cache_folder() / cached_name(weights))
    assert default_bundle(refuse) == cache_folder() / cached_name(weights)
    assert default_bundle(None) == cache_folder() / cached_name(weights)


def test_else_it_is_exported_into_the_cache_once(weights: Path) -> None:
    path = default_bundle(tiny_bundle)
    assert path.name == cached_name(weights)
    assert (path / "manifest.json").is_file()
    assert default_bundle(refuse) == path


def test_other_weights_are_another_bundle(weights: Path) -> None:
    before = default_bundle(tiny_bundle)
    weights.write_bytes(b"better weights")
    assert default_bundle(tiny_bundle) != before


def test_without_torch_the_message_says_how_to_get_one(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnavailableError, match=r"no torch to export one with.*edgeseg export"):
        default_bundle(None)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UnavailableError, match=r"no torch to export one with.*edgeseg export"):
        default_bundle(refuse)


def test_an_installation_without_weights(weights: Path) -> None:
    weights.unlink()
    with pytest.raises(UnavailableError, match="ships no weights"):
        default_bundle(refuse)


def test_the_cache_is_in_the_home_folder_unless_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("EDGESEG_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "edgeseg"
    monkeypatch.setenv("EDGESEG_CACHE", "")
    assert cache_folder() == tmp_path / ".cache" / "edgeseg"
