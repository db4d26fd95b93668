"""From what a mask file stores to class ids: the one place where void, ids and colours are interpreted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.data.images import PngFile, read_mask
from edgeseg.errors import ConfigError, DataError
from edgeseg.labels import LabelMap, Rgb
from edgeseg.types import Frame, Labels

_UNKNOWN = -1


@dataclass(frozen=True)
class MaskCoding:
    """How a dataset writes classes into its masks.

    `ids`: a grey value or palette index is the class id, `label_map.void` is void; an RGB file is read by colour.
    `colours`: every file is read by colour, palette files too, since image optimisers turn RGB into any palette order.
    """

    label_map: LabelMap
    kind: Literal["ids", "colours"] = "ids"
    void_colour: Rgb | None = None
    """Colour that stands for void in masks read by colour; None where they have no void."""

    def __post_init__(self) -> None:
        colours = [*self.label_map.palette, *([self.void_colour] if self.void_colour is not None else [])]
        twice = sorted({colour for colour in colours if colours.count(colour) > 1})
        if twice:
            raise ConfigError(f"colour {twice[0]} stands for two classes, or a class and void; give each its own.")

    def read(self, path: Path) -> Labels:
        """PNG mask → class ids uint8 (H, W); raises `DataError` naming the file, the value and a pixel that has it."""
        mask = read_mask(path)
        if self.kind == "ids" and mask.single_channel:
            return self._from_values(mask)
        return self._from_colours(path, mask.pixels_bgr())

    def _from_values(self, mask: PngFile) -> Labels:
        values = mask.values()
        count, void = len(self.label_map), self.label_map.void
        bad = (values >= count) & (values != void)
        if bad.any():
            x, y = _first(bad)
            raise DataError(
                f"{mask.path}: id {values[y, x]} at x={x}, y={y} ({np.count_nonzero(bad)} pixels like it) is neither "
                f"a class 0..{count - 1} nor void {void}. Correct the mask or the label map."
            )
        return values.astype(np.uint8, copy=False)

    def _from_colours(self, path: Path, pixels_bgr: Frame) -> Labels:
        packed = cv2.cvtColor(pixels_bgr, cv2.COLOR_BGR2BGRA).view("<u4")[..., 0] & 0xFFFFFF
        labels = _colour_table(self.label_map, self.void_colour).take(packed)
        if labels.min() == _UNKNOWN:
            bad = labels == _UNKNOWN
            x, y = _first(bad)
            colour = tuple(int(value) for value in pixels_bgr[y, x, ::-1])
            raise DataError(
                f"{path}: colour RGB {colour} at x={x}, y={y} ({np.count_nonzero(bad)} pixels unknown) belongs to no "
                "class. Add it to the palette, or redraw the mask without smoothing or resizing."
            )
        return labels.astype(np.uint8)


@lru_cache(maxsize=2)
def _colour_table(label_map: LabelMap, void_colour: Rgb | None) -> NDArray[np.int16]:
    """int16 (256³): the class of every colour, at its 0xRRGGBB. 32 MB, built in 15 ms, and one look-up per pixel

    then: 11 ms for 1920×1080, where a comparison with each of 21 colours takes 49.
    """
    table = np.full(1 << 24, _UNKNOWN, np.int16)
    for index, (red, green, blue) in enumerate(label_map.palette):
        table[red << 16 | green << 8 | blue] = index
    if void_colour is not None:
        red, green, blue = void_colour
        table[red << 16 | green << 8 | blue] = label_map.void
    return table


def _first(bad: NDArray[np.bool_]) -> tuple[int, int]:
    """x, y of the first pixel that is set, in reading order."""
    y, x = divmod(int(bad.argmax()), bad.shape[1])
    return x, y
