"""The datasets that a recipe names, opened."""

from __future__ import annotations

from pathlib import Path

from edgeseg.data import SegmentationDataset, open_dataset
from edgeseg.data.cache import cached
from edgeseg.data.loaders import Part
from edgeseg.data.sizes import LargeEnough
from edgeseg.training.recipe import DataConfig, ValidationConfig


def open_parts(entries: tuple[DataConfig, ...], data_root: Path, least_hw: tuple[int, int] | None = None) -> list[Part]:
    """The training data, in the recipe's order. Raises `DataError` for a folder that cannot be used."""
    return [Part(open_entry(entry, data_root, least_hw), entry.per_epoch) for entry in entries]


def open_entry(
    entry: DataConfig | ValidationConfig, data_root: Path, least_hw: tuple[int, int] | None = None
) -> SegmentationDataset:
    """A dataset of the recipe, in other classes and kept decoded where it says so; with `least_hw`, no smaller images.

    The synthetic drive has a description instead of a folder.
    """
    root = entry.root if entry.format == "synthetic" else data_root / entry.root
    mapping: Path | str | None = entry.mapping
    if entry.mapping is not None and entry.mapping.endswith(".toml"):
        mapping = data_root / entry.mapping
    dataset = open_dataset(entry.format, root, entry.split, mapping)
    if least_hw is not None:
        dataset = LargeEnough(dataset, least_hw)
    if entry.cache == "memory":
        return cached(dataset, "memory")
    return cached(dataset, "disk", data_root / ".cache") if entry.cache == "disk" else dataset
