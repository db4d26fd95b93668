"""The datasets that a recipe names, opened."""

from __future__ import annotations

from pathlib import Path

from edgeseg.data import SegmentationDataset, open_dataset
from edgeseg.data.loaders import Part
from edgeseg.training.recipe import DataConfig, ValidationConfig


def open_parts(entries: tuple[DataConfig, ...], data_root: Path) -> list[Part]:
    """The training data, in the recipe's order. Raises `DataError` for a folder that cannot be used."""
    return [Part(open_entry(entry, data_root), entry.per_epoch) for entry in entries]


def open_entry(entry: DataConfig | ValidationConfig, data_root: Path) -> SegmentationDataset:
    """A dataset of the recipe; the synthetic drive has a description instead of a folder."""
    root = entry.root if entry.format == "synthetic" else data_root / entry.root
    return open_dataset(entry.format, root, entry.split)
