"""Weights that torchvision publishes, by the network's name, with the classes and the preprocessing they belong to.

A file is fetched once into PyTorch's own cache, where torchvision looks too, and checked by the hash in its name.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torchvision.models import get_model_weights

from edgeseg.errors import CheckpointError, ConfigError, UnavailableError
from edgeseg.files import sha256_file
from edgeseg.labels import LabelMap, distinct_palette
from edgeseg.models.checkpoint import TrainedModel, load_checkpoint, load_foreign
from edgeseg.models.registry import NETWORKS

PRETRAINED = "pretrained"
"""What stands for torchvision's weights where a file of weights can be named."""

IMAGENET, COCO = "imagenet", "coco"
"""What stands for them in a recipe: the backbone's weights; a whole network's, from COCO's images in VOC's classes."""

SEGMENTATION = tuple(name for name, where in NETWORKS.items() if where.startswith("edgeseg.models.torchvision_zoo:"))
"""Networks for which torchvision publishes segmentation weights."""

_ASPECT = 4 / 3
_MULTIPLE = 8
"""torchvision resizes a photo's shorter side to 520 pixels and keeps its shape; a sealed network has one size. It is
that of a 4:3 photo in landscape, 520 × 696 with sides that the output stride of 8 divides."""

_BACKBONE = re.compile(r"(resnet\d+|mobilenet_v2|mobilenet_v3_small|mobilenet_v3_large|vgg16)$")
_WITH_BATCH_NORM = {"segnet_vgg16": "vgg16_bn"}
"""Network → torchvision's name of its backbone, where the network's own does not end in it."""

_HASH = re.compile(r"-([0-9a-f]{8,})\.pth$")
"""torchvision writes the beginning of a file's SHA-256 into its name."""


def load_named(network: str, weights: str | None) -> TrainedModel:
    """The network of this name with the weights in a file (.pth, .safetensors), or `PRETRAINED`.

    Raises `ConfigError` for a name that is none, without weights, or where the file holds another network.
    """
    if network not in NETWORKS:
        raise ConfigError(f"{network!r} is neither a file or folder here nor a network; known: {', '.join(NETWORKS)}.")
    if weights is None:
        have = f" or {PRETRAINED}" if network in SEGMENTATION else ""
        raise ConfigError(f"{network} knows nothing without weights. Add --weights with a file{have}.")
    if weights == PRETRAINED:
        return load_pretrained(network)
    path = Path(weights)
    if path.suffix == ".safetensors":
        model = load_checkpoint(path)
        if model.spec.name != network:
            raise ConfigError(f"{path}: holds {model.spec.name}, not {network}. Leave the network's name out.")
        return model
    return load_foreign(path, network=network)


def load_pretrained(network: str) -> TrainedModel:
    """torchvision's segmentation weights for the network of this name: 21 classes of PASCAL VOC, learned from COCO.

    Raises `ConfigError` where torchvision has none, `UnavailableError` where the file is not here and cannot be
    fetched, `CheckpointError` where it is not what torchvision published.
    """
    weights = _segmentation_weights(network)
    preset = weights.transforms()
    # Theirs are VOC's names, but for "__background__".
    names = tuple(category.strip("_") for category in weights.meta["categories"])
    height = int(preset.resize_size[0])
    model = load_foreign(
        fetch(weights.url),
        network=network,
        label_map=LabelMap(names, distinct_palette(len(names))),
        size_hw=(height, round(height * _ASPECT / _MULTIPLE) * _MULTIPLE),
    )
    red, green, blue = preset.mean
    red_std, green_std, blue_std = preset.std
    return replace(
        model,
        mean=(red, green, blue),
        std=(red_std, green_std, blue_std),
        lineage={"origin": weights.url, "weights": str(weights)},
    )


def start_file(pretrained: str, network: str, folder: Path) -> Path:
    """The file behind a recipe's `model.pretrained`: `IMAGENET` and `COCO` by name, else a file in `folder`."""
    if pretrained == IMAGENET:
        return fetch(_imagenet_weights(network).url)
    if pretrained == COCO:
        return fetch(_segmentation_weights(network).url)
    return folder / pretrained


def fetch(url: str) -> Path:
    """The file behind `url` in PyTorch's cache (`torch.hub.get_dir()`), fetched if it is not there yet.

    Raises `UnavailableError` where it cannot be fetched, `CheckpointError` where its SHA-256 is not the one that its
    name tells.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), progress=sys.stderr.isatty())
        except (OSError, HTTPException) as error:
            raise UnavailableError(
                f"{url} cannot be fetched ({error}). Fetch it on a machine that can, and put it here: {path}"
            ) from error
    expected = _HASH.search(path.name)
    if expected and not sha256_file(path).startswith(expected[1]):
        raise CheckpointError(
            f"{path}: not the file that was published, whose SHA-256 begins with {expected[1]}. "
            "Delete it; it is then fetched anew."
        )
    return path


def _segmentation_weights(network: str) -> Any:
    if network not in SEGMENTATION:
        raise ConfigError(
            f"there are no pretrained weights for {network}; torchvision has them for: {', '.join(SEGMENTATION)}."
        )
    return get_model_weights(network).DEFAULT


def _imagenet_weights(network: str) -> Any:
    """Of the first edition (IMAGENET1K_V1): those that torchvision's segmentation networks were trained from."""
    match = _BACKBONE.search(network)
    if match is None:
        raise ConfigError(f"pretrained={IMAGENET!r}: {network} has no backbone of an ImageNet classifier.")
    return get_model_weights(_WITH_BATCH_NORM.get(network, match[1])).IMAGENET1K_V1
