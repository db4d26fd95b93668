"""Where a run starts: on which device, and from which weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgeseg.errors import CheckpointError, UnavailableError
from edgeseg.files import sha256_file
from edgeseg.models.checkpoint import load_checkpoint
from edgeseg.models.foreign import read_pth
from edgeseg.models.weights import LoadReport, StateDict, as_convolutions, load_partial


def choose_device(name: str | None) -> torch.device:
    """The device called `name`, or CUDA where there is one and else the CPU; raises `UnavailableError`."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # AssertionError: PyTorch without CUDA
        reason = str(error).splitlines()[0]
        raise UnavailableError(f"device {name!r} cannot be used here ({reason}). Leave --device out.") from error
    return device


def start_from(path: Path, network: nn.Module, say: Callable[[str], None]) -> dict[str, Any]:
    """Load start weights and say what fitted; returns what the checkpoint tells of them. Raises `CheckpointError`."""
    report = load_start_weights(network, path)
    say(f"{path.name}: {report}")
    return {"file": path.name, "sha256": sha256_file(path), "taken": len(report.taken)}


def average_with(paths: Sequence[Path], network: nn.Module) -> list[dict[str, Any]]:
    """Make `network` the mean of itself and the checkpoints at `paths`; returns which they were.

    Fine-tuned from one start, networks lie in one valley, and their mean is often better than each of them (Wortsman et
    al. 2022, "Model soups"). An auxiliary head, which a published file leaves out, stays as it is. Raises
    `CheckpointError` for a file of another network.
    """
    own = network.state_dict()
    states = [load_checkpoint(path).network.state_dict() for path in paths]
    for path, state in zip(paths, states, strict=True):
        for name, value in state.items():
            if name not in own or own[name].shape != value.shape:
                raise CheckpointError(
                    f"{path}: cannot be averaged with; {name} {tuple(value.shape)} is no tensor of this "
                    f"{type(network).__name__}. Name checkpoints of the same network and classes."
                )
    with torch.no_grad():
        for name, value in own.items():
            # Those of whole numbers count batches.
            if value.is_floating_point() and all(name in state for state in states):
                value.copy_(torch.stack([value, *(state[name] for state in states)]).mean(0))
    return [{"file": path.name, "sha256": sha256_file(path)} for path in paths]


def load_start_weights(network: nn.Module, path: Path) -> LoadReport:
    """Copy what fits from a whole network's weights (.safetensors, .pth) or from an ImageNet classifier's (.pth).

    Of a network with other classes, that is all but the tensors that have one row for each class. A classifier has the
    backbone's names without `backbone.` before them; of VGG's, the linear layers become the convolutions that take
    their place. Raises `CheckpointError`.
    """
    state = load_checkpoint(path).network.state_dict() if path.suffix == ".safetensors" else read_pth(path)
    whole = any(name.startswith("backbone.") for name in state)
    target = network if whole else network.get_submodule("backbone")
    try:
        return load_partial(target, as_convolutions(target, state if whole else _named_as_in(target, state)))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _named_as_in(backbone: nn.Module, state: StateDict) -> StateDict:
    """An ImageNet classifier's tensors under the backbone's names.

    They are the same but for torchvision's segmentation networks on MobileNetV3, which call `features.0` just `0`.
    """
    if any(name.startswith("features.") for name in backbone.state_dict()):
        return state
    return {name.removeprefix("features."): value for name, value in state.items()}
