"""A model by whatever names it: a bundle's folder, a checkpoint's file, or a network with weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.bundle import Bundle
from edgeseg.errors import ConfigError, InputError
from edgeseg.lazy import require
from edgeseg.runtime import require_torch, trained_segmenter
from edgeseg.runtime.segmenter import Segmenter

if TYPE_CHECKING:
    from edgeseg.models.checkpoint import TrainedModel

Hw = tuple[int, int]


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A segmenter, what it was made of, and at which size its network runs."""

    segmenter: Segmenter
    name: str
    network_hw: Hw
    """Height and width in pixels."""
    sealed: bool
    """Whether that size is a bundle's, which only another export changes."""


def open_model(
    model: str | None,
    weights: str | None = None,
    *,
    default: Callable[[], Path],
    size_hw: Hw | None = None,
    precision: str = "fp32",
    backend: str | None = None,
    threads: int | None = None,
) -> NamedModel:
    """The segmenter that `model` and `weights` name; `default` gives a bundle where neither is there.

    `model` is a bundle, a checkpoint, or a network's name, which needs `weights`: a file, or "pretrained" for those
    that torchvision publishes. `weights` alone is a checkpoint. `size_hw` is the size at which the network runs, in
    place of that of its training; a bundle's is sealed. A bundle runs in ONNX Runtime, or in what `backend` names, and
    needs no torch; all else runs in PyTorch, in FP32 alone. Raises `ConfigError` for names that contradict each other,
    and what reading the files raises.
    """
    if model is None and weights is None:
        return _bundle(default(), size_hw, precision, backend, threads)
    if model is not None and not _is_path(model):
        require_torch(model, "a network", precision, backend)
        require("torch", extra="train")
        from edgeseg.models.pretrained import load_named

        return _trained(load_named(model, weights), f"{model} ({weights})", size_hw, threads)
    if model is not None and weights is not None:
        raise ConfigError(f"{model} has weights of its own: name a network instead, or leave --weights out.")
    path = Path(model or weights or "")
    if path.is_dir():
        return _bundle(path, size_hw, precision, backend, threads)
    if not path.exists():
        raise InputError(
            f"{path} does not exist; expected a bundle (a folder), a checkpoint (a file), or --model NAME --weights "
            f"{'pretrained' if model is None else 'FILE'}."
        )
    require_torch(str(path), "a checkpoint", precision, backend)
    require("torch", extra="train")
    from edgeseg.models.checkpoint import load_checkpoint

    return _trained(load_checkpoint(path), str(path), size_hw, threads)


def _is_path(model: str) -> bool:
    """Whether a file or a folder is meant, be it there or not: networks' names have neither dots nor slashes."""
    return "." in model or os.sep in model or Path(model).exists()


def _trained(trained: TrainedModel, name: str, size_hw: Hw | None, threads: int | None) -> NamedModel:
    sized = trained if size_hw is None else replace(trained, size_hw=size_hw)
    return NamedModel(trained_segmenter(sized, threads=threads), name, sized.size_hw, sealed=False)


def _bundle(path: Path, size_hw: Hw | None, precision: str, backend: str | None, threads: int | None) -> NamedModel:
    if size_hw is not None:
        raise ConfigError(
            f"{path} is a bundle, whose network runs at one size. Leave --size out, or name a checkpoint."
        )
    bundle = Bundle.open(path)
    segmenter = Segmenter(bundle, precision=precision, backend=backend or "onnxruntime", threads=threads)
    return NamedModel(segmenter, str(path), bundle.contract.network_hw, sealed=True)
