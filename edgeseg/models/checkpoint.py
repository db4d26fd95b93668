"""Checkpoints: one safetensors file that says by itself which network it is, its classes and its input.

The description is JSON under the key "edgeseg" of the safetensors metadata. Published weights keep matrices as float16
and vectors (biases, batch-norm statistics) as float32: half the size, and what is evaluated is this very file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgeseg.errors import CheckpointError, ConfigError
from edgeseg.files import sha256_file, write_bytes
from edgeseg.labels import LabelMap
from edgeseg.models.foreign import label_map_for, read_pth, recognise
from edgeseg.models.registry import ModelSpec, build_model
from edgeseg.models.sealed import Preprocess
from edgeseg.models.weights import StateDict, load_partial

SCHEMA = 1
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""RGB mean and standard deviation on the scale 0..1, as torchvision publishes them with its ImageNet weights."""

ACCURACY = "accuracy"
"""Key of the lineage under which `edgeseg evaluate --record` keeps what it measured."""

_METADATA_KEY = "edgeseg"
_FOREIGN_SIZE_HW = (360, 480)
"""Network size assumed for weights that do not say theirs; `edgeseg export --size` changes it."""


@dataclass(frozen=True)
class TrainedModel:
    """A trained network with all that is needed to feed it and to read its answer."""

    network: nn.Module
    """In eval mode, float32, on the CPU."""
    spec: ModelSpec
    label_map: LabelMap
    size_hw: tuple[int, int]
    """Network input height and width in pixels."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    sha256: str = ""
    """Of the file it was read from."""
    source: str = ""
    lineage: dict[str, Any] = field(default_factory=dict)
    """How it was trained: recipe, data, tool versions, metrics."""


def default_checkpoint() -> Path:
    """The weights that ship with the package."""
    return Path(__file__).resolve().parents[1] / "assets" / "default.safetensors"


def save_checkpoint(path: Path | str, model: TrainedModel, *, half: bool = False) -> None:
    """Write `model` to `path` atomically; `half` stores matrices as float16 and leaves out auxiliary heads."""
    from safetensors.torch import save

    tensors: StateDict = {}
    for name, value in model.network.state_dict().items():
        if half and name.startswith("aux_classifier."):
            continue
        smaller = half and value.is_floating_point() and value.ndim > 1
        tensors[name] = (value.half() if smaller else value).detach().cpu().contiguous()
    spec = model.spec.to_dict() | ({"auxiliary": False} if half else {})
    description = {
        "schema": SCHEMA,
        "spec": spec,
        "label_map": model.label_map.to_dict(),
        "size_hw": list(model.size_hw),
        "mean": list(model.mean),
        "std": list(model.std),
        "lineage": model.lineage,
    }
    # Not save_file, whose own errors for a full disk are not OSErrors.
    write_bytes(path, save(tensors, metadata={_METADATA_KEY: json.dumps(description)}))


def record_accuracy(path: Path, figures: Mapping[str, Any]) -> None:
    """Write what was measured on a labelled dataset into the checkpoint itself; no weight changes by a bit."""
    from safetensors.torch import save

    description, tensors = _read_safetensors(path)
    description["lineage"] = {**description.get("lineage", {}), ACCURACY: dict(figures)}
    write_bytes(path, save(tensors, metadata={_METADATA_KEY: json.dumps(description)}))


def load_checkpoint(path: Path | str | None = None) -> TrainedModel:
    """Read a checkpoint; None means the default model. A `.pth` is recognised by its tensors' names and shapes.

    Raises `CheckpointError` for a file that is missing, torn or foreign, or whose tensors do not fit its network.
    """
    path = default_checkpoint() if path is None else Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint. Give a .safetensors file of edgeseg, or a .pth.")
    if path.suffix.lower() in {".pth", ".pt"}:
        return load_foreign(path)
    description, state = _read_safetensors(path)
    try:
        if description["schema"] != SCHEMA:
            raise CheckpointError(
                f"{path}: checkpoint schema {description['schema']}, this edgeseg reads {SCHEMA}. Upgrade edgeseg."
            )
        spec = ModelSpec(**description["spec"])
        label_map = LabelMap.from_dict(description["label_map"])
        height, width = (int(value) for value in description["size_hw"])
        mean, std = _triple(description["mean"]), _triple(description["std"])
        lineage = dict(description.get("lineage", {}))
        Preprocess((height, width), mean, std)  # refuses what cannot be fed
    except (KeyError, TypeError, ValueError, OverflowError, ConfigError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise CheckpointError(
            f"{path}: its description cannot be used ({reason}). Save it again with edgeseg."
        ) from error
    if spec.num_classes != len(label_map):
        raise CheckpointError(f"{path}: names {len(label_map)} classes for a network of {spec.num_classes}.")
    network = _fill(build_model(spec), state, path)
    return TrainedModel(network, spec, label_map, (height, width), mean, std, sha256_file(path), str(path), lineage)


def load_foreign(
    path: Path,
    *,
    network: str | None = None,
    label_map: LabelMap | None = None,
    size_hw: tuple[int, int] = _FOREIGN_SIZE_HW,
) -> TrainedModel:
    """Weights in a `.pth`, which say nothing of themselves: the network is found by its tensors' names and shapes.

    What cannot be found in them is taken from the arguments or assumed: classes as `label_map_for` tells by their
    number, normalisation as for ImageNet, from which such networks start. Raises `CheckpointError`, and `ConfigError`
    for an impossible size or an unknown network.
    """
    Preprocess(size_hw, IMAGENET_MEAN, IMAGENET_STD)  # refuses a size that cannot be fed
    state = read_pth(path)
    spec = recognise(state, path, network)
    label_map = label_map_for(spec.num_classes) if label_map is None else label_map
    if spec.num_classes != len(label_map):
        raise CheckpointError(
            f"{path}: a network of {spec.num_classes} classes cannot take the {len(label_map)} names given. "
            "Name each class once, in id order."
        )
    return TrainedModel(
        _fill(build_model(spec), state, path),
        spec,
        label_map,
        size_hw,
        sha256=sha256_file(path),
        source=str(path),
        lineage={"origin": path.name},
    )


def _read_safetensors(path: Path) -> tuple[dict[str, Any], StateDict]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata() or {}
            state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a whole safetensors file ({error}). Copy or train it again.") from error
    if _METADATA_KEY not in metadata:
        raise CheckpointError(f"{path}: safetensors without edgeseg's description. Expected a file of `edgeseg train`.")
    try:
        return json.loads(metadata[_METADATA_KEY]), state
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: its description is not JSON ({error}). Save it again with edgeseg.") from error


def _fill(network: nn.Module, state: Mapping[str, torch.Tensor], path: Path) -> nn.Module:
    """Load all of `state` into `network`, strictly, and put it in eval mode."""
    own = network.state_dict()
    try:
        report = load_partial(
            network, {name: value.to(own[name].dtype) if name in own else value for name, value in state.items()}
        )
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    if not report.whole:
        raise CheckpointError(f"{path}: does not fit {type(network).__name__}: {report.misfit()}.")
    broken = next((name for name, value in network.state_dict().items() if not bool(value.isfinite().all())), None)
    if broken is not None:
        # Every comparison with NaN is false, so argmax would call the whole scene class 0 without a word.
        raise CheckpointError(f"{path}: {broken} holds NaN or infinity. Train again with a lower learning rate.")
    return network.eval()


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    if not all(math.isfinite(value) for value in (red, green, blue)):
        raise ValueError(f"{values} are not three finite numbers")
    return red, green, blue
