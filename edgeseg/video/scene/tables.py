"""Look-up tables from class ids to a yes or no."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgeseg.labels import LabelMap


def id_table(label_map: LabelMap, belongs: Callable[[str], bool]) -> NDArray[np.uint8]:
    """uint8 (256,): 255 for the ids whose class name `belongs`, 0 for the others and for ids without a class."""
    found = np.zeros(256, np.uint8)
    for index, name in enumerate(label_map.names):
        found[index] = 255 if belongs(name) else 0
    return found
