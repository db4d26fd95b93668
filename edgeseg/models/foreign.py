"""Weight files that other programs wrote: read without running code, and recognised by names and shapes."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from edgeseg.errors import CheckpointError
from edgeseg.labels import CAMVID, KITTI_ROAD, MAX_CLASSES, VOC, LabelMap, distinct_palette
from edgeseg.models.registry import NETWORKS, ModelSpec, build_model
from edgeseg.models.weights import StateDict

_WRAPPERS = ("state_dict", "model", "model_state_dict")
"""Keys under which training scripts commonly keep the weights inside a checkpoint."""

_PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""

_ADVICE = "Save the network's state_dict and try again."

_CODE = re.compile(r"unsupported global: GLOBAL (\S+)|unsupported GLOBAL (\S+)", re.IGNORECASE)
"""How the weights_only reader names a class or function that it will not import."""


def read_plain(path: Path, advice: str) -> Any:
    """The content of a file of `torch.save`: tensors in plain containers, on the CPU. Nothing else is let in.

    Raises `CheckpointError`, ending in `advice`, for a torn file and for one whose loading would run code.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols, which a torn file makes up
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such weights file.") from None
    # Torn pickles raise nearly anything, KeyError and AssertionError included. And torch's own message advises to load
    # without weights_only, which is the one thing not to do with a file from elsewhere.
    except Exception as error:
        if code := _CODE.search(str(error)):
            raise CheckpointError(
                f"{path}: holds {code[1] or code[2]}, and loading that would run code. {advice}"
            ) from error
        reason = str(error).strip().split(". ")[0].splitlines()[:1] or [type(error).__name__]
        raise CheckpointError(f"{path}: not a whole file of tensors ({reason[0]}). {advice}") from error


def read_pth(path: Path | str) -> StateDict:
    """The named tensors of a `.pth` file, without the wrappers and prefixes that training scripts put around them."""
    path = Path(path)
    content = read_plain(path, _ADVICE)
    if isinstance(content, dict):
        if content.keys() >= {"network", "average", "optimiser"}:
            raise CheckpointError(
                f"{path}: the state of a run of `edgeseg train`, which writes its .safetensors when it ends. "
                "Finish it with --resume."
            )
        content = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), dict)), content)
    named = content.items() if isinstance(content, dict) else ()
    tensors = {_bare(name): value for name, value in named if isinstance(name, str) and torch.is_tensor(value)}
    if not tensors:
        raise CheckpointError(f"{path}: holds no named tensors. {_ADVICE}")
    return tensors


def recognise(state: Mapping[str, torch.Tensor], path: Path, network: str | None = None) -> ModelSpec:
    """The network whose tensors have exactly these names and shapes, and its number of classes.

    `network` narrows the search to one. Raises `CheckpointError` where none fits, or more than one.
    """
    found = [spec for name in ([network] if network else NETWORKS) if (spec := _fitting(name, state)) is not None]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(spec.name for spec in found)
        raise CheckpointError(f"{path}: its tensors fit {names} alike. Say which with --network.")
    raise CheckpointError(
        f"{path}: its {len(state)} tensors are not those of {network or 'any network here'} "
        f"(known: {', '.join(NETWORKS)}). A backbone alone is given to `edgeseg train` as pretrained weights."
    )


def label_map_for(num_classes: int) -> LabelMap:
    """The data set known here that has so many classes, else `class_0`, `class_1`, …: weights do not name them."""
    known = {len(label_map): label_map for label_map in (CAMVID, VOC, KITTI_ROAD)}
    if num_classes in known:
        return known[num_classes]
    return LabelMap(tuple(f"class_{index}" for index in range(num_classes)), distinct_palette(num_classes))


def _bare(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _fitting(name: str, state: Mapping[str, torch.Tensor]) -> ModelSpec | None:
    """The spec under which the network `name` has exactly the tensors of `state`, or None."""
    shapes = {key: value.shape for key, value in state.items()}
    auxiliary = any(key.startswith("aux_classifier.") for key in shapes)
    two = _shapes(ModelSpec(name, 2, auxiliary))
    if two.keys() != shapes.keys():
        return None
    # The tensors that grow with the classes are the heads', and their first axis counts the classes.
    three = _shapes(ModelSpec(name, 3, auxiliary))
    counts = {shapes[key][:1] for key in two if two[key] != three[key]}
    classes = counts.pop() if len(counts) == 1 else ()
    if len(classes) != 1 or not 2 <= classes[0] <= MAX_CLASSES:
        return None
    spec = ModelSpec(name, classes[0], auxiliary)
    return spec if _shapes(spec) == shapes else None


def _shapes(spec: ModelSpec) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {key: value.shape for key, value in build_model(spec).state_dict().items()}
