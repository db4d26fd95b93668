"""The machine as the doctor sees it. All that touches it goes through `Host`, so that tests can make up a Jetson."""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_COMMAND_TIMEOUT_S = 5.0


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution; `None` if it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def has_module(name: str) -> bool:
    """Whether a top-level module can be found, without importing it."""
    return importlib.util.find_spec(name) is not None


def command_output(command: Sequence[str]) -> str | None:
    """What a command prints; `None` if it is not there, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


@dataclass(frozen=True)
class Host:
    """Ways to ask this machine; each may be replaced."""

    root: Path = Path("/")
    """Where /proc, /sys, /dev and /etc are."""
    platform: str = sys.platform
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    version: Callable[[str], str | None] = installed_version
    has_module: Callable[[str], bool] = has_module
    load_module: Callable[[str], Any] = importlib.import_module
    load_library: Callable[[str], Any] = ctypes.CDLL
    output: Callable[[Sequence[str]], str | None] = command_output

    def text(self, path: str) -> str | None:
        """Content of a file below `root`, without the NUL that ends device-tree strings; `None` if unreadable."""
        try:
            return (self.root / path).read_text(errors="replace").strip("\0 \n")
        except OSError:
            return None


@dataclass(frozen=True)
class Finding:
    """What there is of one part of the machine."""

    title: str
    summary: str
    """One line for a person."""
    facts: Mapping[str, Any]
    """The same for a program: plain data."""
    mend: str | None = None
    """What to do about it, where something is wrong."""
