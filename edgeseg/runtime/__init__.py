"""Running a model: one `Session` protocol, one file per runtime, and `Segmenter` on top."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.errors import ConfigError, InputError
from edgeseg.lazy import require
from edgeseg.types import AUTO

if TYPE_CHECKING:
    from edgeseg.models.checkpoint import TrainedModel
    from edgeseg.runtime.segmenter import Segmenter


def load_segmenter(
    target: Path | None,
    *,
    precision: str = "fp32",
    backend: str | None = None,
    threads: int | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
) -> Segmenter:
    """A segmenter for a bundle (a folder), a checkpoint (a file) or the default model (`None`).

    A bundle runs in ONNX Runtime on the CPU unless `backend` says otherwise, a name in `SESSIONS` or "auto" (see
    `edgeseg.runtime.chain`); a checkpoint, and the default model's too, runs in PyTorch, in FP32, at any camera size. A
    checkpoint alone can look at several `scales` and mirrored (`flip`), and average what it sees:
    `edgeseg.models.multiscale`.
    """
    if target is None or target.is_file():
        return _from_checkpoint(target, precision, backend, threads, scales, flip)
    if not target.exists():
        raise InputError(
            f"{target} does not exist; expected a bundle (a folder) or a checkpoint (a .safetensors or .pth file)."
        )

    if tuple(scales) != (1.0,) or flip:
        raise ConfigError(
            f"{target} is a bundle, whose graph takes one size and no mirror image. Name the checkpoint that it was "
            "exported from, or leave out --scales and --flip."
        )
    from edgeseg.bundle import Bundle
    from edgeseg.runtime.segmenter import Segmenter

    return Segmenter(Bundle.open(target), precision=precision, backend=backend or "onnxruntime", threads=threads)


def _from_checkpoint(
    path: Path | None, precision: str, backend: str | None, threads: int | None, scales: Sequence[float], flip: bool
) -> Segmenter:
    name = "the default model" if path is None else str(path)
    require_torch(name, "a checkpoint", precision, backend)
    require("torch", extra="train")

    from edgeseg.models.checkpoint import load_checkpoint

    return trained_segmenter(load_checkpoint(path), threads=threads, scales=scales, flip=flip)


def require_torch(name: str, kind: str, precision: str, backend: str | None) -> None:
    """Raise `ConfigError` where anything but a bundle is asked to run in another precision or runtime than it does."""
    if backend not in (None, "torch", AUTO):
        raise ConfigError(f"{name} is {kind}, which runs in torch alone; for {backend}, export it and name the bundle.")
    if precision != "fp32":
        raise ConfigError(f"{name} is {kind}, which runs in fp32; for {precision}, export it and name the bundle.")


def trained_segmenter(
    trained: TrainedModel, *, threads: int | None = None, scales: Sequence[float] = (1.0,), flip: bool = False
) -> Segmenter:
    """A segmenter for a trained network in PyTorch, in FP32, at any camera size."""
    from edgeseg.models.multiscale import network_looking
    from edgeseg.models.sealed import Preprocess
    from edgeseg.runtime.segmenter import Segmenter
    from edgeseg.runtime.torch_session import TorchSession

    preprocess = Preprocess(trained.size_hw, trained.mean, trained.std)
    sealed = network_looking(trained.network, preprocess, scales, flip=flip)
    return Segmenter.from_session(TorchSession(sealed, threads=threads), trained.label_map)
