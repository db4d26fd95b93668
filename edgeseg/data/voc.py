"""PASCAL VOC segmentation (host.robots.ox.ac.uk/pascal/VOC/voc2012), and what labelme and others write in its layout.

    ImageSets/Segmentation/SPLIT.txt    one image name a line; what follows it is passed over
    ImageSets/SegmentationAug/SPLIT.txt more lists, as some write VOC-augmented: trainaug …
    JPEGImages/NAME.jpg                 or .jpeg, .png
    SegmentationClass/NAME.png          palette PNG, index = class id, 255 = void; or the same as an RGB colour map
    SegmentationClassAug/NAME.png       VOC-augmented: SBD's outlines, for images that have no mask of VOC's own
    class_names.txt                     optional: other classes than VOC's 21, one a line, background first

DeepLab's lists ("/JPEGImages/NAME.jpg /SegmentationClassAug/NAME.png") name their images too. Where an image has both
masks, VOC's is taken: SBD's lacks the void along borders.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from edgeseg.data.format import DatasetFormat, has_any, stems
from edgeseg.data.images import IMAGE_SUFFIXES
from edgeseg.data.masks import MaskCoding
from edgeseg.data.pairs import Pair, PairedDataset, read_list, require_folder
from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import VOC, LabelMap, Rgb, distinct_palette

VOC_VOID_COLOUR: Rgb = (224, 224, 192)
"""Colour 255 of VOC's colour map, drawn around objects; black is its background."""
_LISTS = ("ImageSets/Segmentation", "ImageSets/SegmentationAug")


def open_voc(root: Path | str, split: str) -> PairedDataset:
    """VOC split `train`, `val`, `trainval` or any other list, in the list's order; raises `DataError`."""
    folder = require_folder(root)
    require_folder(root, "ImageSets", "Segmentation")
    images, masks = require_folder(root, "JPEGImages"), require_folder(root, "SegmentationClass")
    lists = [folder / place / f"{split}.txt" for place in _LISTS]
    path = next((path for path in lists if path.is_file()), lists[0])
    pairs = [Pair(image, _mask(folder, masks, image.stem)) for image in _images(images, read_list(path))]
    return PairedDataset(f"voc {split}", pairs, MaskCoding(_label_map(folder), void_colour=VOC_VOID_COLOUR))


def _images(folder: Path, lines: list[str]) -> Iterator[Path]:
    """The image of each line; a whole line is tried as a name before its first word, for names with spaces."""
    for line in lines:
        words = (line, line.split()[0])
        names = [PurePosixPath(word).stem if "/" in word else word for word in words]
        files = [folder / f"{name}{suffix}" for name in names for suffix in IMAGE_SUFFIXES]
        yield next((file for file in files if file.is_file()), folder / f"{names[1]}.jpg")


def _mask(root: Path, masks: Path, name: str) -> Path:
    own, augmented = masks / f"{name}.png", root / "SegmentationClassAug" / f"{name}.png"
    return augmented if augmented.is_file() and not own.is_file() else own


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
    lambda root: sorted({name for place in _LISTS for name in stems(root / place)}),
    has_any("ImageSets/Segmentation"),
    "ImageSets/Segmentation/",
)
