"""A folder of labelme annotations (github.com/wkentaro/labelme), read as they are, without converting them first.

    NAME.json         the shapes of one image; the image is in it, or beside it, or where imagePath says
    labels.txt        optional: classes, one a line, in id order
    SPLIT.txt         optional: names without suffix, one a line; without such lists the one split is `all`

The annotations may also lie in data_annotated/ below the root, as in labelme's own examples. In labels.txt `__ignore__`
is void and `_background_` is class 0, called background here, which there is always: what no shape covers. Without
labels.txt every annotation is read when the folder is opened, and its labels are the classes, sorted.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgeseg.data.base import Sample
from edgeseg.data.format import DatasetFormat, head_matches, stems
from edgeseg.data.labelme_json import image_file, paint_annotation, read_annotated_image, read_annotation
from edgeseg.data.pairs import read_list, require_folder
from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import LabelMap, distinct_palette

_BACKGROUND = "background"
_BACKGROUND_NAMES = ("_background_", _BACKGROUND)
_IGNORE = "__ignore__"
_VOID = 255
_NO_SPLITS = ("labels", "flags")
"""Text files of labelme's that are no lists of names."""

_HEAD = re.compile(rb'\s*\{.*"(shapes|imagePath)"\s*:', re.DOTALL)
_HEADS_READ = 8


class LabelmeDataset:
    """Annotation files, read and painted when asked for; raises `DataError` at birth for none or one twice."""

    def __init__(self, name: str, files: list[Path], label_map: LabelMap) -> None:
        self.name, self.label_map, self._files = name, label_map, tuple(files)
        if not self._files:
            raise DataError(f"{name}: no annotation in this split. Check the list or choose another split.")
        if len(set(self._files)) != len(self._files):
            twice = sorted({file.stem for file in self._files if self._files.count(file) > 1})
            raise DataError(f"{name}: listed twice: {', '.join(twice)}. Keep one line of each.")
        self._ids = {label: index for index, label in enumerate(label_map.names)}
        self._ids.update({_IGNORE: label_map.void, **dict.fromkeys(_BACKGROUND_NAMES, 0)})

    def __len__(self) -> int:
        return len(self._files)

    def files(self, index: int) -> tuple[Path, ...]:
        """Image and annotation of sample `index`; the annotation alone where the image is in it."""
        annotation = read_annotation(self._files[index])
        return tuple(dict.fromkeys((image_file(annotation), annotation.path)))

    def __getitem__(self, index: int) -> Sample:
        """Read an annotation and its image; raises `DataError` for one that cannot be used."""
        annotation = read_annotation(self._files[index])
        image = read_annotated_image(annotation)
        return Sample(annotation.path.stem, image, paint_annotation(annotation, self._ids, image.shape[:2]))


def open_labelme(root: Path | str, split: str) -> LabelmeDataset:
    """Split of a labelme folder: from its list in the list's order, or, as `all`, every file by name.

    Raises `DataError` for whatever is missing, and for labels that make no classes.
    """
    folder = require_folder(root)
    where, files = _annotations(folder)
    listed = folder / f"{split}.txt"
    if split in _splits(folder) and listed.is_file():
        chosen = _listed(listed, where, files)
    elif split == "all":
        chosen = files
    else:
        raise DataError(f"{folder}: no split {split!r}: no {listed.name}. Try {', '.join(_splits(folder))}.")
    return LabelmeDataset(f"labelme {split}", chosen, _label_map(folder / "labels.txt", files))


def _listed(path: Path, where: Path, files: list[Path]) -> list[Path]:
    by_name = {file.stem: file for file in files}
    names = [name.removesuffix(".json") for name in read_list(path)]
    if missing := [name for name in names if name not in by_name]:
        raise DataError(f"{path}: no annotation {missing[0]}.json in {where}. Restore it or take it off the list.")
    return [by_name[name] for name in names]


def _annotations(root: Path) -> tuple[Path, list[Path]]:
    """The folder that holds the annotations, and all of them by name."""
    folder = root / "data_annotated" if (root / "data_annotated").is_dir() else root
    return folder, sorted(folder.glob("*.json"))


def _splits(root: Path) -> list[str]:
    return [*(name for name in stems(root) if name not in _NO_SPLITS), "all"]


def _label_map(listed: Path, files: list[Path]) -> LabelMap:
    if listed.is_file():
        source, names = listed, read_list(listed)
    else:
        source = files[0].parent if files else listed.parent
        names = sorted({shape.label for file in files for shape in read_annotation(file).shapes})
    names = [name for name in names if name not in (*_BACKGROUND_NAMES, _IGNORE)]
    try:
        return LabelMap((_BACKGROUND, *names), distinct_palette(len(names) + 1), _VOID)
    except ConfigError as error:
        raise DataError(f"{source}: {error} Label the images, or list the classes in labels.txt.") from error


def _recognises(root: Path) -> bool:
    return any(head_matches(file, _HEAD) for file in _annotations(root)[1][:_HEADS_READ])


FORMAT = DatasetFormat(open_labelme, _splits, _recognises, "labelme's NAME.json with shapes")
