"""Contact sheets: rows of pictures side by side under a heading, with a legend of the classes below."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.files import write_bytes
from edgeseg.labels import LabelMap, Rgb
from edgeseg.types import Frame, Labels

VOID_RGB: Rgb = (215, 215, 215)
"""Void in a picture of classes: black, its colour in palettes, is also a class's in many of them."""

_PANEL_WIDTH = 400
_GAP = 10
_CAPTION = 30
"""Height of a line of text between rows of panels, in pixels."""
_PAPER, _INK, _FAINT = (255, 255, 255), (40, 40, 40), (120, 120, 120)


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """BGR uint8 (H, W, 3) panels of one height and width, the first a photograph, and a line of text below them."""

    panels: tuple[Frame, ...]
    caption: str


def class_panel(labels: Labels, label_map: LabelMap) -> Frame:
    """BGR uint8 (H, W, 3): each pixel in its class's colour, void light."""
    panel = label_map.colourise(labels)
    panel[labels == label_map.void] = VOID_RGB[::-1]
    return panel


def draw_sheet(
    rows: Sequence[Row],
    columns: Sequence[str],
    title: str,
    label_map: LabelMap,
    *,
    classes: Collection[int] | None = None,
    extra: Sequence[tuple[str, Rgb]] = (),
    panel_width: int = _PANEL_WIDTH,
) -> Frame:
    """BGR picture with a heading for each column, the rows, and a legend of classes, void and `extra`.

    `classes` are the ids that the legend shows; all of them by default.
    """
    width = len(columns) * (panel_width + _GAP) + _GAP
    shown = range(len(label_map)) if classes is None else sorted(index for index in classes if index < len(label_map))
    entries = [*((label_map.names[index], label_map.palette[index]) for index in shown), ("void", VOID_RGB), *extra]
    heading, legend = _heading(title, columns, width, panel_width), _legend(entries, width)
    return np.vstack([heading, *[_drawn(row, width, panel_width) for row in rows], legend])


def draw_grid(tiles: Sequence[tuple[Frame, str]], title: str, *, columns: int = 4, panel_width: int = 260) -> Frame:
    """BGR picture of photographs, uint8 (H, W, 3) of any size, each with a line of text, `columns` side by side."""
    columns = min(columns, len(tiles))
    width = columns * (panel_width + _GAP) + _GAP
    strips = [_heading(title, (), width, panel_width)[: _CAPTION + _GAP]]
    for start in range(0, len(tiles), columns):
        row = tiles[start : start + columns]
        heights = [max(1, round(frame.shape[0] * panel_width / frame.shape[1])) for frame, _ in row]
        strip = np.full((max(heights) + _CAPTION, width, 3), _PAPER, np.uint8)
        for column, ((frame, caption), height) in enumerate(zip(row, heights, strict=True)):
            left = _GAP + column * (panel_width + _GAP)
            strip[:height, left : left + panel_width] = cv2.resize(
                frame, (panel_width, height), interpolation=cv2.INTER_AREA
            )
            _write(strip, caption, left, max(heights) + 19, scale=0.42, colour=_FAINT)
        strips.append(strip)
    return np.vstack(strips)


def save_picture(path: Path, picture_bgr: Frame) -> None:
    """Write a BGR picture as PNG, atomically."""
    _, png = cv2.imencode(".png", picture_bgr)
    write_bytes(path, png.tobytes())


def _drawn(row: Row, width: int, panel_width: int) -> Frame:
    image = row.panels[0]
    height = max(1, round(image.shape[0] * panel_width / image.shape[1]))
    drawn = np.full((height + _CAPTION, width, 3), _PAPER, np.uint8)
    for column, panel in enumerate(row.panels):
        # Labels and errors keep hard edges: a blend of two class colours would be a third class to the eye.
        interpolation = cv2.INTER_NEAREST_EXACT if column else cv2.INTER_AREA
        left = _GAP + column * (panel_width + _GAP)
        drawn[:height, left : left + panel_width] = cv2.resize(
            panel, (panel_width, height), interpolation=interpolation
        )
    _write(drawn, row.caption, _GAP, height + 19, colour=_FAINT)
    return drawn


def _heading(title: str, columns: Sequence[str], width: int, panel_width: int) -> Frame:
    strip = np.full((2 * _CAPTION + 4, width, 3), _PAPER, np.uint8)
    _write(strip, title, _GAP, 24, scale=min(0.6, 0.5 * (width - 2 * _GAP) / max(1, _text_width(title))))
    for column, name in enumerate(columns):
        _write(strip, name, _GAP + column * (panel_width + _GAP), 56)
    return strip


def _legend(entries: Sequence[tuple[str, Rgb]], sheet_width: int) -> Frame:
    """A swatch and a name for each entry, wrapped to the sheet's width."""
    places, left, line = [], _GAP, 0
    for name, _ in entries:
        width = 40 + _text_width(name)
        if left + width > sheet_width:
            left, line = _GAP, line + 1
        places.append((left, line))
        left += width
    strip = np.full(((line + 1) * 24 + 2 * _GAP, sheet_width, 3), _PAPER, np.uint8)
    for (name, (red, green, blue)), (x, line) in zip(entries, places, strict=True):
        y = _GAP + 24 * line
        strip[y : y + 16, x : x + 16] = (blue, green, red)
        _write(strip, name, x + 22, y + 13)
    return strip


def _write(
    picture: NDArray[np.uint8], text: str, x: int, baseline: int, *, scale: float = 0.5, colour: Rgb = _INK
) -> None:
    # OpenCV's built-in font has ASCII alone.
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(picture, plain, (x, baseline), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)


def _text_width(text: str) -> int:
    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)[0][0])
