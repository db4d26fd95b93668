"""Semantic Boundaries Dataset (Hariharan et al., ICCV 2011): outlines of VOC's 20 classes in 11,355 images.

    dataset/img/NAME.jpg                   in benchmark_RELEASE/, in the root, or as the root
    dataset/cls/NAME.mat                   GTcls.Segmentation: uint8, value = VOC class id; there is no void
    dataset/train.txt, val.txt             one NAME a line
    dataset/train_noval.txt                those of both that are not in VOC 2012's val, where somebody has added it

VOC's val images are among SBD's train: train on `train_noval`, or a result on VOC's val means nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeseg.data.format import DatasetFormat, stems
from edgeseg.data.pairs import Pair, PairedDataset, read_list, require_folder
from edgeseg.errors import DataError
from edgeseg.labels import VOC, LabelMap
from edgeseg.lazy import require
from edgeseg.types import Labels

_PLACES = ("benchmark_RELEASE/dataset", "dataset", ".")


@dataclass(frozen=True)
class MatCoding:
    """SBD's MATLAB files."""

    label_map: LabelMap = VOC

    def read(self, path: Path) -> Labels:
        """GTcls.Segmentation of a .mat file → class ids uint8 (H, W); raises `DataError` naming the file."""
        io = require("scipy.io", "train")
        try:
            values = io.loadmat(path, squeeze_me=True, struct_as_record=False, variable_names=["GTcls"])["GTcls"]
            labels = np.asarray(values.Segmentation)
        except Exception as error:  # scipy's reader raises whatever a torn file makes it stumble over
            raise DataError(f"{path}: no GTcls.Segmentation of SBD can be read ({error}). Copy it again.") from error
        if labels.ndim != 2 or labels.dtype.kind not in "ui":
            raise DataError(
                f"{path}: GTcls.Segmentation is {labels.dtype} {labels.shape}; expected whole numbers (H, W)."
            )
        if labels.min() < 0 or labels.max() >= len(self.label_map):
            raise DataError(f"{path}: class id {labels.max()}, where VOC has 0 to {len(self.label_map) - 1}.")
        return np.ascontiguousarray(labels, np.uint8)


def open_sbd(root: Path | str, split: str) -> PairedDataset:
    """SBD split `train`, `val` or any other list, in the list's order; raises `DataError`."""
    folder = _dataset(require_folder(root))
    images, masks = require_folder(folder, "img"), require_folder(folder, "cls")
    pairs = [Pair(images / f"{name}.jpg", masks / f"{name}.mat") for name in read_list(folder / f"{split}.txt")]
    return PairedDataset(f"sbd {split}", pairs, MatCoding())


def _dataset(root: Path) -> Path:
    return next((root / place for place in _PLACES if (root / place / "cls").is_dir()), root)


def _recognises(root: Path) -> bool:
    """`cls/` also has other datasets' masks: one file has to be MATLAB's."""
    folder = _dataset(root) / "cls"
    return folder.is_dir() and next(folder.glob("*.mat"), None) is not None


FORMAT = DatasetFormat(open_sbd, lambda root: stems(_dataset(root)), _recognises, "dataset/cls/*.mat")
