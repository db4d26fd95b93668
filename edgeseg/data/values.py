"""Masks whose stored ids are not the class ids: a table from one to the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.data.images import read_mask
from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import LabelMap
from edgeseg.types import Labels

_VALUES = 256


@dataclass(frozen=True)
class ValueTable:
    """How a dataset's mask values (grey value or palette index) become class ids and void."""

    label_map: LabelMap
    ids: Mapping[int, int]
    """Stored value, 0 to 255 → class id, or `label_map.void`. A value that is not here is an error in the mask."""

    def __post_init__(self) -> None:
        for value, label in self.ids.items():
            if not 0 <= value < _VALUES:
                raise ConfigError(f"mask value {value} does not fit 8 bits; a table takes 0 to {_VALUES - 1}.")
            if not 0 <= label < len(self.label_map) and label != self.label_map.void:
                raise ConfigError(f"mask value {value} becomes {label}, which is neither a class nor void.")

    def read(self, path: Path) -> Labels:
        """PNG mask → class ids uint8 (H, W); raises `DataError` naming the file, the value and a pixel that has it."""
        mask = read_mask(path)
        if not mask.single_channel:
            raise DataError(f"{path}: a colour picture where ids are expected. Take the mask of ids of the same image.")
        values = mask.values()
        self._check(path, values)
        table = np.zeros(_VALUES, np.uint8)
        table[list(self.ids)] = list(self.ids.values())
        labels: Labels = cv2.LUT(values.astype(np.uint8, copy=False), table)  # type: ignore[assignment]
        return labels

    def _check(self, path: Path, values: NDArray[np.integer]) -> None:
        """Masks of 12 megapixels and more pass here, so nothing wider than a byte per pixel is made."""
        known = np.zeros(int(values.max()) + 1, bool)
        known[[value for value in self.ids if value < len(known)]] = True
        bad = ~known[values]
        if bad.any():
            y, x = divmod(int(bad.argmax()), bad.shape[1])
            raise DataError(
                f"{path}: id {values[y, x]} at x={x}, y={y} ({np.count_nonzero(bad)} pixels like it) is not in the "
                f"dataset's table of {len(self.ids)} ids. Check that this is the mask of class ids."
            )
