"""Which commands will work on this machine, and what to install for those that will not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgeseg.video.opencv import GUI_INSTALL

Facts = Mapping[str, Mapping[str, Any]]
"""Part of the machine → its facts."""


@dataclass(frozen=True)
class Obstacle:
    """What a command lacks here, and the line that brings it."""

    missing: str
    install: str


def _workstation(facts: Facts) -> Obstacle | None:
    missing = facts["workstation"]["missing"]
    return Obstacle(", ".join(missing), "pip install 'edgeseg[train]'") if missing else None


def _runtime(facts: Facts) -> Obstacle | None:
    if facts["onnxruntime"]["providers"]:
        return None
    return Obstacle("ONNX Runtime", "pip install 'edgeseg[cpu]'")


def _window(facts: Facts) -> Obstacle | None:
    if facts["opencv"]["gui"] is None:
        return Obstacle("an OpenCV with windows", GUI_INSTALL)
    if not facts["opencv"]["display"]:
        return Obstacle("a display", "log in with ssh -X, or use --headless")
    return _runtime(facts)


def _live_page(facts: Facts) -> Obstacle | None:
    missing = facts["live_page"]["missing"]
    return Obstacle(" and ".join(missing), "pip install 'edgeseg[web]'") if missing else _runtime(facts)


def _tensorrt(facts: Facts) -> Obstacle | None:
    if not facts["cuda"]["devices"]:
        return Obstacle("an NVIDIA GPU and its driver", "on a PC: sudo ubuntu-drivers install")
    if not facts["tensorrt"]["installed"]:
        return Obstacle(
            "TensorRT", "pip install 'edgeseg[tensorrt]' (on a Jetson: sudo apt install python3-libnvinfer)"
        )
    return None


def _onnx(facts: Facts) -> Obstacle | None:
    missing = "onnx" in facts["workstation"]["missing"]
    return Obstacle("onnx", "pip install onnx") if missing else None


def _nothing(_facts: Facts) -> Obstacle | None:
    return None


COMMANDS: Mapping[str, Callable[[Facts], Obstacle | None]] = {
    "data": _nothing,
    "train": _workstation,
    "convert": _workstation,
    "evaluate CHECKPOINT": _workstation,
    "evaluate BUNDLE": _runtime,
    "calibrate": _workstation,
    "export": _workstation,
    "engine build": _tensorrt,
    "engine build --dry-run": _nothing,
    "parity": _workstation,
    "lint": _onnx,
    "verify": _runtime,
    "selftest": _runtime,
    "selftest --gpu": _tensorrt,
    "predict": _runtime,
    "benchmark": _runtime,
    "profile": _runtime,
    "run --headless": _runtime,
    "run (in a window)": _window,
    "serve": _live_page,
    "recover": _nothing,
}
"""Command → what it lacks here, or `None`."""
