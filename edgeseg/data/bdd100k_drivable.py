"""BDD100K drivable area (Yu et al., CVPR 2020; doc.bdd100k.com): the lane one drives in, those one could change to.

    images/100k/SPLIT/NAME.jpg     labels/drivable/masks/SPLIT/NAME.png     0 direct, 1 alternative, 2 background

The masks of all 80,000 labelled images; where the folder also holds the semantic labels, say which with --format. The
root may also be the folder above, the one that holds `bdd100k/`.
"""

from __future__ import annotations

from pathlib import Path

from edgeseg.data.bdd100k import Layout, known_splits, open_layouts
from edgeseg.data.format import DatasetFormat, has_any
from edgeseg.data.masks import MaskCoding
from edgeseg.data.pairs import PairedDataset
from edgeseg.labels import LabelMap

BDD100K_DRIVABLE = LabelMap(
    names=("direct", "alternative", "background"), palette=((219, 94, 86), (86, 211, 219), (0, 0, 0)), void=255
)
"""The three areas, in the colours of the published colour maps."""

_LAYOUTS = (Layout("images/100k", "labels/drivable/masks", ".png"),)


def open_bdd100k_drivable(root: Path | str, split: str) -> PairedDataset:
    """Drivable areas of BDD100K's split `train` or `val`, ordered by name; raises `DataError`."""
    return open_layouts("bdd100k-drivable", root, split, _LAYOUTS, MaskCoding(BDD100K_DRIVABLE))


FORMAT = DatasetFormat(
    open_bdd100k_drivable,
    lambda root: known_splits(root, _LAYOUTS),
    has_any("labels/drivable/masks", "bdd100k/labels/drivable/masks"),
    "labels/drivable/masks/",
)
