"""Weight files that other programs wrote: read without running code, and recognised by names and shapes."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from edgeseg.errors import CheckpointError
from edgeseg.labels import CAMVID, KITTI_ROAD, MAX_CLASSES, VOC, LabelMap, distinct_palette
from edgeseg.models.registry import ANY_UPSAMPLING, NETWORKS, ModelSpec, build_model
from edgeseg.models.upsampling import UPSAMPLINGS
from edgeseg.models.weights import StateDict

_WRAPPERS = ("state_dict", "model", "model_state_dict")
"""Keys under which training scripts commonly keep the weights inside a checkpoint."""

_PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""

_ADVICE = "Save the network's state_dict and try again."

_TRUNKS = {
    (2, 0, False): "resnet18",
    (6, 0, False): "resnet34",
    (6, 0, True): "resnet50",
    (23, 0, True): "resnet101",
    (0, 18, False): "mobilenet_v2",
    (0, 13, False): "mobilenet_v3_small",
    (0, 17, False): "mobilenet_v3_large",
    (0, 29, False): "vgg16",
    (0, 42, False): "vgg16",  # with batch normalisation
}
"""Blocks of layer3, blocks of one chain of features, bottlenecks or not → trunk; networks on it end in its name."""

_TRUNK_NAMES = tuple(_TRUNKS.values())

_BLOCK = re.compile(r"backbone\.(layer3\.|features\.|)(\d+)\.")

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
    likely = [network] if network else candidates(state)
    found = [spec for name in likely if (spec := _fitting(name, state)) is not None]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(spec.name for spec in found)
        raise CheckpointError(f"{path}: its tensors fit {names} alike. Say which with --network.")
    raise CheckpointError(
        f"{path}: its {len(state)} tensors are not those of {network or 'any network here'} "
        f"(known: {', '.join(NETWORKS)}). A backbone alone is given to `edgeseg train` as pretrained weights."
    )


def candidates(names: Collection[str]) -> list[str]:
    """The networks that tensors of these names can belong to: those on the trunk that the names tell, or on none of
    the trunks known here.

    To build a network, even without memory, takes a tenth of a second; there are many, and few share a trunk.
    """
    trunk = _trunk(names)
    return [name for name in NETWORKS if trunk is None or name.endswith(trunk) or not name.endswith(_TRUNK_NAMES)]


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


def _trunk(names: Collection[str]) -> str | None:
    """The ImageNet classifier whose trunk has tensors of these names, if it is one that can be told."""
    stages = chain = 0
    for match in filter(None, map(_BLOCK.match, names)):
        blocks = int(match[2]) + 1
        if match[1] == "layer3.":
            stages = max(stages, blocks)
        else:
            chain = max(chain, blocks)
    return _TRUNKS.get((stages, chain, "backbone.layer3.0.conv3.weight" in names))


def _fitting(name: str, state: Mapping[str, torch.Tensor]) -> ModelSpec | None:
    """The spec under which the network `name` has exactly the tensors of `state`, or None."""
    shapes = {key: value.shape for key, value in state.items()}
    auxiliary = any(key.startswith("aux_classifier.") for key in shapes)
    upsample = _upsample(name, shapes)
    two = _shapes(ModelSpec(name, 2, auxiliary, upsample))
    if two.keys() != shapes.keys():
        return None
    # The tensors that grow with the classes are the heads', along their first axis: by one, or by a square of pixels.
    three = _shapes(ModelSpec(name, 3, auxiliary, upsample))
    growing = [key for key in two if three[key][:1] > two[key][:1]]
    counts = {tuple(size // (three[key][0] - two[key][0]) for size in shapes[key][:1]) for key in growing}
    classes = counts.pop() if len(counts) == 1 else ()
    if len(classes) != 1 or not 2 <= classes[0] <= MAX_CLASSES:
        return None
    spec = ModelSpec(name, classes[0], auxiliary, upsample)
    return spec if _shapes(spec) == shapes else None


def _upsample(name: str, names: Collection[str]) -> str | None:
    """The upsampling whose tensors are among these names, None if it is the network's own."""
    if name not in ANY_UPSAMPLING:
        return None
    found = {key.removeprefix("upsample.") for key in names if key.startswith("upsample.")}
    for upsample, make in UPSAMPLINGS.items():
        own = make(2, 2).state_dict().keys()
        if own <= found and bool(own) == bool(found):
            return None if upsample == ANY_UPSAMPLING[name] else upsample
    return None


def _shapes(spec: ModelSpec) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {key: value.shape for key, value in build_model(spec).state_dict().items()}
