"""A dataset under other classes: each sample's labels through a table."""

from __future__ import annotations

from pathlib import Path

import cv2

from edgeseg.data.base import Sample, SegmentationDataset, files_of
from edgeseg.data.mapping import ClassMapping, Mappable
from edgeseg.types import Labels


class MappedDataset:
    """`dataset` with the target classes of `mapping`; raises `ConfigError` at birth where the two do not fit."""

    def __init__(self, dataset: SegmentationDataset, mapping: ClassMapping) -> None:
        self.source, self.mapping = dataset, mapping
        self.name, self.label_map = f"{dataset.name}, {mapping.name}", mapping.target
        self._table = mapping.lut(dataset.label_map)

    def __len__(self) -> int:
        return len(self.source)

    def files(self, index: int) -> tuple[Path, ...]:
        """Files that sample `index` is read from, the image first."""
        return files_of(self.source, index)

    def __getitem__(self, index: int) -> Sample:
        sample = self.source[index]
        labels: Labels = cv2.LUT(sample.labels, self._table)  # type: ignore[assignment]  # OpenCV knows no dtypes
        return Sample(sample.name, sample.image_bgr, labels)


def map_classes(dataset: SegmentationDataset, mapping: ClassMapping) -> SegmentationDataset:
    """`dataset` with the mapping's target classes; raises `ConfigError` for a source class that it does not name."""
    return dataset.mapped(mapping) if isinstance(dataset, Mappable) else MappedDataset(dataset, mapping)
