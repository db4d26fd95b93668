"""Checkpoints: one safetensors file that says by itself which network it is, its classes and its input.

The description is JSON under the key "edgeseg" of the safetensors metadata. Published weights keep matrices as float16
and vectors (biases, batch-norm statistics) as float32: half the size, and what is evaluated is this very file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgeseg.errors import CheckpointError, ConfigError
from edgeseg.files import atomic_path, sha256_file
from edgeseg.labels import CAMVID, KITTI_ROAD, VOC, LabelMap, distinct_palette
from edgeseg.models.registry import NETWORKS, ModelSpec, build_model
from edgeseg.models.weights import StateDict, load_partial, read_pth

SCHEMA = 1
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""RGB mean and standard deviation on the scale 0..1, as torchvision publishes them with its ImageNet weights."""

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
    from safetensors.torch import save_file

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
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={_METADATA_KEY: json.dumps(description)})


def load_checkpoint(path: Path | str | None = None) -> TrainedModel:
    """Read a checkpoint; None means the default model. A `.pth` is recognised by its tensors' names and shapes.

    Raises `CheckpointError` for a file that is missing, torn or foreign, or whose tensors do not fit its network.
    """
    path = default_checkpoint() if path is None else Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint. Give a .safetensors file of edgeseg, or a .pth.")
    if path.suffix in {".pth", ".pt"}:
        return _load_foreign(path)
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
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise CheckpointError(
            f"{path}: its description cannot be read ({error}). Save it again with edgeseg."
        ) from error
    if spec.num_classes != len(label_map):
        raise CheckpointError(f"{path}: names {len(label_map)} classes for a network of {spec.num_classes}.")
    network = _fill(build_model(spec), state, path)
    return TrainedModel(network, spec, label_map, (height, width), mean, std, sha256_file(path), str(path), lineage)


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
    report = load_partial(
        network, {name: value.to(own[name].dtype) if name in own else value for name, value in state.items()}
    )
    if report.missing or report.unexpected or report.mismatched:
        raise CheckpointError(f"{path}: does not fit {type(network).__name__}: {report}.")
    return network.eval()


def _load_foreign(path: Path) -> TrainedModel:
    """Weights without a description: find the network whose tensors have these names, and the classes by the head."""
    state = read_pth(path)
    spec = _recognise(state, path)
    label_map = _label_map_for(spec.num_classes)
    network = _fill(build_model(spec), state, path)
    return TrainedModel(
        network,
        spec,
        label_map,
        _FOREIGN_SIZE_HW,
        sha256=sha256_file(path),
        source=str(path),
        lineage={"origin": path.name},
    )


def _recognise(state: StateDict, path: Path) -> ModelSpec:
    names = set(state)
    for name in NETWORKS:
        for auxiliary in (True, False):
            with torch.device("meta"):
                own = build_model(ModelSpec(name, 2, auxiliary)).state_dict()
            if set(own) != names:
                continue
            # With 2 classes as a probe, the tensors whose first axis differs are those of the head.
            sizes = {state[key].shape[0] for key in own if own[key].ndim and state[key].shape[:1] != own[key].shape[:1]}
            if len(sizes) <= 1:
                return ModelSpec(name, sizes.pop() if sizes else 2, auxiliary)
    raise CheckpointError(
        f"{path}: its {len(names)} tensors are those of no network here ({', '.join(NETWORKS)}). "
        "A backbone alone is given to `edgeseg train` as pretrained weights."
    )


def _label_map_for(num_classes: int) -> LabelMap:
    known = {len(label_map): label_map for label_map in (CAMVID, VOC, KITTI_ROAD)}
    if num_classes in known:
        return known[num_classes]
    names = tuple(f"class_{index}" for index in range(num_classes))
    return LabelMap(names, distinct_palette(num_classes), 255)


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
