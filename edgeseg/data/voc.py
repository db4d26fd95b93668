"""PASCAL VOC segmentation (host.robots.ox.ac.uk/pascal/VOC/voc2012), and what labelme and others write in its layout.

ImageSets/Segmentation/SPLIT.txt    one image name a line
JPEGImages/NAME.jpg
SegmentationClass/NAME.png          palette PNG, index = class id, 255 = void; or the same as an RGB colour map
class_names.txt                     optional: other classes than VOC's 21, one a line, background first
"""

from __future__ import annotations

from pathlib import Path

from edgeseg.data.format import DatasetFormat, has_any, stems
from edgeseg.data.masks import MaskCoding
from edgeseg.data.pairs import Pair, PairedDataset, read_list, require_folder
from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import VOC, LabelMap, Rgb, distinct_palette

VOC_VOID_COLOUR: Rgb = (224, 224, 192)
"""Colour 255 of VOC's colour map, drawn around objects; black is its background."""


def open_voc(root: Path | str, split: str) -> PairedDataset:
    """VOC split `train`, `val`, `trainval` or any other list, in the list's order; raises `DataError`."""
    folder = require_folder(root)
    lists = require_folder(root, "ImageSets", "Segmentation")
    images, masks = require_folder(root, "JPEGImages"), require_folder(root, "SegmentationClass")
    pairs = [Pair(images / f"{name}.jpg", masks / f"{name}.png") for name in read_list(lists / f"{split}.txt")]
    return PairedDataset(f"voc {split}", pairs, MaskCoding(_label_map(folder), void_colour=VOC_VOID_COLOUR))


def _label_map(folder: Path) -> LabelMap:
    path = folder / "class_names.txt"
    if not path.is_file():
        return VOC
    # labelme writes _background_ for what VOC calls background; one name lets the two be compared.
    names = tuple("background" if name == "_background_" else name for name in read_list(path))
    try:
        return LabelMap(names, distinct_palette(len(names)), VOC.void)
    except ConfigError as error:
        raise DataError(f"{path}: {error}") from error


FORMAT = DatasetFormat(
    open_voc,
    lambda root: stems(root / "ImageSets" / "Segmentation"),
    has_any("ImageSets/Segmentation"),
    "ImageSets/Segmentation/",
)
