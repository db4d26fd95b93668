"""Which bundle is meant when none is named: the default model's, in this folder, in the cache, or exported now."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

from edgeseg.errors import UnavailableError
from edgeseg.files import sha256_file

DEFAULT_NAME = "edgeseg-default"
"""Name of the model that ships with the package, and stem of the bundle that `edgeseg export` makes of it."""

WEIGHTS = Path(__file__).resolve().parents[1] / "assets" / "default.safetensors"


def default_bundle(export: Callable[[Path], object] | None, *, folder: Path | None = None) -> Path:
    """Path of a bundle of the default model: in `folder` (the current one), in the cache, or exported into the cache.

    `export` writes the default model's bundle to a path; it is passed in, because it needs the workstation side and
    this does not. The cache is `$EDGESEG_CACHE` or `~/.cache/edgeseg`; the bundle's name there carries the hash of the
    weights, so an upgrade of edgeseg never meets an old one. Raises `UnavailableError` where there is no bundle and
    nothing to make one with.
    """
    here = (folder or Path()) / f"{DEFAULT_NAME}.edgeseg"
    if here.is_dir():
        return here
    how = "Export one where torch is (edgeseg export), copy the folder here, and name it"
    if not WEIGHTS.is_file():
        raise UnavailableError(f"no {here} here, and this installation ships no weights to make it of. {how}.")
    cached = cache_folder() / f"{DEFAULT_NAME}-{sha256_file(WEIGHTS)[:12]}.edgeseg"
    if cached.is_dir():
        return cached
    if export is None or importlib.util.find_spec("torch") is None:
        raise UnavailableError(f"no {here} here, none in {cached.parent}, and no torch to export one with. {how}.")
    export(cached)
    return cached


def cache_folder() -> Path:
    """Where edgeseg keeps what it can make again: `$EDGESEG_CACHE`, else `~/.cache/edgeseg`."""
    chosen = os.environ.get("EDGESEG_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "edgeseg"
